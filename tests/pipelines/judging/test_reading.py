"""The budget of running text, with edits of which one pulls at everything and the others at next to nothing."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from editors.base import FactEffect
from editors.delta import WeightDelta, parameters_digest
from editors.factors import LayerDelta
from editors.load import LoadedModel, weights_digest
from pipelines.judging import reading as module
from pipelines.judging.reading import Reading, likelihoods
from pipelines.write import Written, moved_to_index

TEXTS = ("The river runs past the old mill and the bridge.", "Bread is baked early in the morning here.")
STRENGTHS = (1e-4, 30.0, 1e-4, 1e-4)


def made(loaded: LoadedModel) -> Written:
    """Four facts in one matrix, one column each; the second is the heavy one."""
    name = "model.layers.1.mlp.down_proj.weight"
    d_out, d_in = loaded.model.get_parameter(name).shape
    draw = torch.Generator().manual_seed(0)
    left = torch.randn(d_out, len(STRENGTHS), generator=draw) * torch.tensor(STRENGTHS)
    right = torch.randn(len(STRENGTHS), d_in, generator=draw)
    change = LayerDelta.summed(name, False, left, right)
    columns = tuple((key,) for key in "abcd")
    effects = tuple(FactEffect(key, "written", "") for key in "abcd")
    delta = WeightDelta("rome", "sum", columns, (change,), parameters_digest(loaded.model, (name,)), effects)
    return Written(delta, memory=dict.fromkeys("abcd", "rome"))


def test_the_fact_that_pulls_hardest_is_named_until_the_budget_is_kept(tiny_llama: LoadedModel) -> None:
    written, reading = made(tiny_llama), Reading.of(tiny_llama, TEXTS, 1.02)
    taken: list[str] = []
    while reasons := reading.heaviest(written):
        taken += reasons
        assert all("1.02 is allowed" in words for words in reasons.values())
        written = moved_to_index(written, reasons)
    assert taken[0] == "b", "the heavy one comes first"
    assert written.delta is not None
    assert set(written.delta.fact_ids) == set("acd") - set(taken), "what weighs nothing is left"
    assert len(written.delta.fact_ids) >= 2


def test_nothing_is_named_within_the_budget_and_the_model_is_as_it_was(tiny_llama: LoadedModel) -> None:
    before = weights_digest(tiny_llama.model)
    reading = Reading.of(tiny_llama, TEXTS, 1e6)
    assert reading.heaviest(made(tiny_llama)) == {}
    assert weights_digest(tiny_llama.model) == before


def test_every_state_of_a_batch_is_read_once(tiny_llama: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    written, reading = made(tiny_llama), Reading.of(tiny_llama, TEXTS, 1.02)
    read: list[Any] = []

    def counted(*given: Any) -> Any:
        read.append(given)
        return likelihoods(*given)

    monkeypatch.setattr(module, "likelihoods", counted)
    heavy = reading.ratio(written)
    assert reading.ratio(written) == heavy
    assert len(read) == 1
    lighter = moved_to_index(written, {"b": "heavy"})
    assert reading.after(lighter) != reading.after(written)
    assert reading.ratio(lighter) < heavy
    assert len(read) == 2
    assert lighter.delta is not None
    with lighter.delta.applied(tiny_llama.model):
        assert reading.after(lighter) == likelihoods(tiny_llama, TEXTS)


def test_a_budget_of_nothing_and_a_text_that_cannot_be_read_end(tiny_llama: LoadedModel) -> None:
    reading = Reading.of(tiny_llama, TEXTS, 1.0)
    assert reading._surplus(1.5, 5) == 3
    assert reading._surplus(math.inf, 5) == 5
    assert replace(reading, most=1.02)._surplus(1.0404, 10) == 3
    assert replace(reading, texts=(), before=()).ratio(made(tiny_llama)) == 1.0
