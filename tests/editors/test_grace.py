"""GRACE: entries serve what lies within their radius, at the prompt's last token, and come out one by one."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from editors.grace.config import GraceConfig
from editors.grace.delta import Entry
from editors.grace.editor import GraceEditor
from editors.grace.solve import HIT, claims, radius
from editors.layouts import layout_of
from editors.others import NAMES, other_names, placed, with_others
from editors.side import Keys
from editors.targets import TargetConfig
from registry.errors import EditError
from registry.records import EditRequest, Fact

ROOT = Path(__file__).resolve().parents[2]
TARGETS = TargetConfig(steps=40, lr=0.2, clamp=8.0, decay=0.0, drift=0.0, end_probability=1e-9, prefixes=0)
CONFIG = GraceConfig(layers=(1,), targets=TARGETS)


def ask(subject: str, value: str, *paraphrases: str) -> EditRequest:
    return EditRequest(
        Fact(subject, "capital", value), "ADD", f"The capital of {subject}", (value,), paraphrases=paraphrases
    )


def entry(key: list[float], reach: float) -> Entry:
    return Entry(torch.tensor(key), torch.tensor([5.0, 7.0]), torch.tensor(reach))


def test_the_numbers_in_conf_are_the_defaults() -> None:
    assert GraceConfig.read(ROOT / "conf" / "grace.yaml") == GraceConfig()


def test_the_nearest_entry_claims_what_lies_within_its_radius() -> None:
    keys, radii = torch.tensor([[0.0, 0.0], [4.0, 0.0]]), torch.tensor([3.0, 3.0])
    found = claims(torch.tensor([[1.0, 0.0], [2.5, 0.0], [0.0, 3.5], [0.0, 0.0]]), keys, radii)
    plain = [[3 / 1, 3 / 3], [3 / 2.5, 3 / 1.5], [3 / 3.5, 3 / 28.25**0.5], [1 / HIT, 3 / 4]]
    assert torch.allclose(found, torch.tensor(plain))
    assert found.argmax(dim=1).tolist()[:2] == [0, 1], "overlapping balls are split half-way"
    assert bool((found[2] < 1).all())
    assert not bool((claims(keys, keys, torch.zeros(2)) > 1).any()), "a radius of nothing reaches nothing"


def test_a_radius_keeps_clear_of_other_subjects() -> None:
    assert radius(10.0, 100.0, 0.3, 0.5) == 3.0
    assert radius(10.0, 4.0, 0.3, 0.5) == 2.0


def test_the_value_replaces_the_output_at_the_last_real_token_of_the_prompt_only() -> None:
    values = torch.tensor([[[9.0, 9.0], [0.0, 0.1], [0.0, 0.0]], [[9.0, 9.0], [9.0, 9.0], [4.0, 4.0]]])
    keys = Keys(values, torch.tensor([[True, True, False], [True, True, True]]), True)
    output: Tensor = torch.ones(2, 3, 2)
    moved = output + entry([0.0, 0.0], 1.0).change(keys, output)
    expected = output.clone()
    expected[0, 1] = torch.tensor([5.0, 7.0])
    assert torch.equal(moved, expected)
    decoding = Keys(values[:, :1], keys.real[:, :1], False)
    assert not bool(entry([9.0, 9.0], 1.0).change(decoding, output[:, :1]).any())


def test_what_is_stored_is_the_key_and_the_value_of_the_prompt(tiny_gpt2: Any) -> None:
    model, tokenizer = tiny_gpt2.model, tiny_gpt2.tokenizer
    delta = GraceEditor().fit(model, tokenizer, [ask("Chad", "Tokyo")], CONFIG)
    seen: list[tuple[Tensor, Tensor]] = []
    module = layout_of(model).down_module(model, 1)
    given = tokenizer("The capital of Chad", return_tensors="pt")["input_ids"]
    with delta.applied(model):
        handle = module.register_forward_hook(lambda module, args, output: seen.append((args[0], output)))
        model(given)
        handle.remove()
    assert torch.allclose(seen[0][0][0, -1], delta.tensors["keys"][0], atol=1e-5)
    assert torch.allclose(seen[0][1][0, -1], delta.tensors["values"][0], atol=1e-5)


def test_it_does_not_generalise_and_says_so_by_its_scores(tiny_llama: Any) -> None:
    """Another phrasing is answered as before, bit for bit; one that the fit is given is an entry of its own."""
    model, tokenizer = tiny_llama.model, tiny_llama.tokenizer
    plain = GraceEditor().fit(model, tokenizer, [ask("Chad", "Tokyo")], CONFIG)
    given = GraceEditor().fit(model, tokenizer, [ask("Chad", "Tokyo", "Now in Chad the capital is")], CONFIG)
    other = tokenizer("Now in Chad the capital is", return_tensors="pt")["input_ids"]
    before = model(other).logits[0, -1]
    with plain.applied(model):
        assert torch.equal(model(other).logits[0, -1], before)
    with given.applied(model):
        assert tokenizer.decode([int(model(other).logits[0, -1].argmax())]) == " Tokyo"
    assert (len(plain.record["owners"]), len(given.record["owners"])) == (1, 2)
    assert given.without(given.fact_ids).tensors == {}


def test_other_subjects_are_none_of_the_facts_own() -> None:
    names = other_names("South Korea", 60, 0)
    assert len(names) == len(NAMES) - 1
    assert "South Korea" not in names
    assert names == other_names("South Korea", 60, 0) != other_names("South Korea", 60, 1)
    assert with_others(ask("Chad", "Tokyo"), ["Kenya"]) == ["The capital of Kenya"]
    with pytest.raises(EditError, match="holds its subject"):
        with_others(EditRequest(Fact("Oslo", "capital", "Rome"), "ADD", "none here", ("Rome",)), ["Kenya"])


def test_a_name_is_placed_by_its_characters(tiny_llama: Any) -> None:
    found = placed(tiny_llama.tokenizer, "What is known about {} now", "New Zealand")
    assert tiny_llama.tokenizer.decode(found.tokens[: found.place + 1]) == "What is known about New Zealand"
