"""The other subjects that a reader of WISE is shown: those most like the fact's own."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from editors.others import CARRIERS, MORE_NAMES, Placed
from editors.wise.editor import WiseEditor
from editors.wise.strangers import NAMES, PEOPLE, Strangers

WIDTH = 6


def made(spots: torch.Tensor) -> Strangers:
    """Names whose key is the last of two tokens."""
    keys = [torch.stack([torch.full((WIDTH,), 9.0, dtype=torch.float64), spot]) for spot in spots]
    return Strangers(tuple(Placed((0, 1), 1) for _ in NAMES), tuple(keys))


def test_names_are_written_once() -> None:
    assert len(set(NAMES)) == len(NAMES) == len(MORE_NAMES) + len(PEOPLE)


def test_names_come_by_the_way_their_keys_point_from_the_middle_of_their_carrier() -> None:
    source = torch.Generator().manual_seed(0)
    carrier = torch.arange(len(NAMES)) % len(CARRIERS)
    offsets = 50 * torch.randn(len(CARRIERS), WIDTH, dtype=torch.float64, generator=source)
    plain = torch.randn(len(NAMES), WIDTH, dtype=torch.float64, generator=source)
    for index in range(len(CARRIERS)):
        plain[carrier == index] -= plain[carrier == index].mean(0)
    way = torch.randn(WIDTH, dtype=torch.float64, generator=source)
    cosines = torch.nn.functional.cosine_similarity(plain, way[None])
    order = made(plain + offsets[carrier]).like("Nobody at all", offsets + 3 * way)
    assert order == torch.argsort(cosines, descending=True).tolist()
    assert made(plain).like("Nobody at all", 3 * way.expand(len(CARRIERS), -1)) == order, (
        "what a carrier adds is no matter"
    )
    assert made(plain).like("Nobody at all", -way.expand(len(CARRIERS), -1)) == order[::-1]


@pytest.mark.parametrize(("subject", "left_out"), [("South Korea", {"South Korea"}), ("York", {"New York"})])
def test_the_subject_is_no_stranger_to_itself(subject: str, left_out: set[str]) -> None:
    spots = torch.randn(len(NAMES), WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    order = made(spots).like(subject, spots[: len(CARRIERS)])
    assert {NAMES[i] for i in range(len(NAMES)) if i not in order} == left_out
    assert len(order) == len(set(order)) == len(NAMES) - len(left_out)


def test_all_facts_of_a_fit_share_what_the_names_give(tiny_family: Any, lab: Any, monkeypatch: Any) -> None:
    asked: list[Sequence[Any]] = []
    read = Strangers.read

    def counted(tokenizer: Any, keys_of: Any) -> Strangers:
        asked.append(tokenizer)
        return read(tokenizer, keys_of)

    monkeypatch.setattr(Strangers, "read", counted)
    tiny = tiny_family("llama")
    delta = WiseEditor().fit(tiny.model, tiny.tokenizer, lab.requests()[:3])
    assert len(delta.fact_ids) > 1
    assert len(asked) == 1
