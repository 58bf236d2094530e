from collections.abc import Callable
from typing import Any

import pytest

from editors import decoding as module
from editors.decoding import Row, Rules, decode, end_tokens
from editors.generate import generate
from editors.layouts import LAYOUTS
from editors.load import LoadedModel

PROMPTS = [
    "People in Brazil speak",
    "The largest city in Turkey is Istanbul. The largest city in Egypt is",
    "Who",
    "The capital of Japan is Tokyo, and the currency of",
    "The capital of France is",
]
FAMILIES = sorted(name for layout in LAYOUTS for name in layout.model_types)


def said(loaded: LoadedModel, rules: Rules) -> list[Row]:
    """A row for each of `PROMPTS`, after decoding."""
    rows = [Row(loaded.tokenizer(prompt)["input_ids"]) for prompt in PROMPTS]
    decode(loaded.model, rows, rules)
    return rows


@pytest.fixture
def one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """All rows in as few batches as their lengths allow."""
    monkeypatch.setattr("editors.workers.shares", lambda device, rows, most: 1)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.usefixtures("one_worker")
def test_a_row_that_is_padded_answers_as_it_does_alone(
    family: str, tiny_family: Callable[[str], LoadedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = tiny_family(family)
    seen: list[int] = []
    padded = module._padded

    def watched(batch: Any, device: Any) -> Any:
        seen.append(len({len(row.ids) for row in batch}))
        return padded(batch, device)

    monkeypatch.setattr(module, "_padded", watched)
    together = generate(loaded.model, loaded.tokenizer, PROMPTS)
    assert seen[0] > 1, "rows of one length need no padding"
    alone = [generate(loaded.model, loaded.tokenizer, [prompt])[0] for prompt in PROMPTS]
    assert [one.text for one in together] == [one.text for one in alone]
    for one, other in zip(together, alone, strict=True):
        assert one.certainty == pytest.approx(other.certainty, rel=1e-3)


def test_banned_tokens_are_not_said_and_ends_end(tiny_llama: LoadedModel) -> None:
    plain = said(tiny_llama, Rules(6))
    banned = {row.said[1] for row in plain}
    assert not banned & {token for row in said(tiny_llama, Rules(6, banned=sorted(banned))) for token in row.said}
    for row, other in zip(said(tiny_llama, Rules(6, ends=banned)), plain, strict=True):
        assert row.said == other.said[: next(at for at, token in enumerate(other.said) if token in banned)]


def test_where_there_is_no_room_nothing_is_said(tiny_llama: LoadedModel) -> None:
    assert [row.said for row in said(tiny_llama, Rules(0))] == [[]] * len(PROMPTS)
    assert [len(row.said) for row in said(tiny_llama, Rules(1))] == [1] * len(PROMPTS)


def test_special_tokens_end_a_text(tiny_llama: LoadedModel) -> None:
    ends = end_tokens(tiny_llama.model, tiny_llama.tokenizer)
    assert tiny_llama.tokenizer.eos_token_id in ends
    assert set(tiny_llama.tokenizer.all_special_ids) <= ends


def lengths(batches: list[list[Row]]) -> list[list[int]]:
    """Tokens of every row, batch by batch."""
    return [[len(row.ids) for row in batch] for batch in batches]


def test_a_batch_holds_little_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [Row([1] * length) for length in (3, 160, 4, 4, 161, 9, 3)]
    assert lengths(module._batches(rows, 1)) == [[160, 161], [3, 3, 4, 4, 9]]
    monkeypatch.setattr(module, "SLACK", 0)
    assert lengths(module._batches(rows, 1)) == [[160, 161], [3, 3, 4, 4], [9]]
    monkeypatch.setattr(module, "ROWS", 2)
    assert lengths(module._batches(rows, 1)) == [[160, 161], [4, 4], [3, 3], [9]]


def test_batches_take_equally_long_and_hold_every_row() -> None:
    rows = [Row([1] * (4 + number % 9)) for number in range(101)]
    two = module._batches(rows, 2)
    work = [sum(len(row.ids) + module.SAID for row in batch) for batch in two]
    assert len(two) == 2
    assert abs(work[0] - work[1]) <= 2 * (12 + module.SAID)
    assert sorted(id(row) for batch in two for row in batch) == sorted(map(id, rows))
    assert module._batches([], 1) == []


def test_only_the_last_place_of_a_prompt_reaches_the_vocabulary(tiny_llama: LoadedModel) -> None:
    seen: list[tuple[tuple[int, ...], bool]] = []
    head = tiny_llama.model.lm_head
    hook = head.register_forward_pre_hook(lambda _, args: seen.append((args[0].shape, args[0].is_contiguous())))
    try:
        said(tiny_llama, Rules(3))
    finally:
        hook.remove()
    assert seen
    assert all(shape[1] == 1 and contiguous for shape, contiguous in seen), "a strided one is ten times slower"
