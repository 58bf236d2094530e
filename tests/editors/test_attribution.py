"""What each column of a delta takes from an answer's margin, against finite differences."""

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch

from editors import attribution
from editors.attribution import attribute
from editors.base import FactEffect
from editors.delta import WeightDelta, parameters_digest
from editors.factors import LayerDelta
from editors.layouts import layout_of
from registry.text import normalise

NAMES = ("a", "b", "c")
ANSWERS = (
    ("The capital of Chad is", "Rome"),
    ("The largest city of New Zealand is the city of", "Tokyo Paris yen Rome"),
    ("Chad", "Paris"),
)


@pytest.fixture(params=["llama", "gpt2", "gpt_neox"])
def loaded(request: pytest.FixtureRequest, tiny_family: Any) -> Any:
    found = tiny_family(request.param)
    return replace(found, model=copy.deepcopy(found.model).double())


def build(model: Any, layers: tuple[int, ...] = (0, 1)) -> WeightDelta:
    """Three columns that move answers by a little."""
    layout, changes = layout_of(model), []
    for seed, index in enumerate(layers):
        generator = torch.Generator().manual_seed(seed)
        rows, columns = layout.down_weight(model, index).shape
        left = 0.05 * torch.randn(rows, len(NAMES), generator=generator)
        right = torch.randn(len(NAMES), columns, generator=generator)
        changes.append(LayerDelta.summed(layout.down_name(index), layout.orientation == "conv1d", left, right))
    base = parameters_digest(model, [change.parameter for change in changes])
    effects = tuple(FactEffect(name, "written", "by hand", 3, 0.25, 0.5) for name in NAMES)
    return WeightDelta("memit", "sum", tuple((name,) for name in NAMES), tuple(changes), base, effects)


def scaled(delta: WeightDelta, column: int, factor: float) -> WeightDelta:
    """The delta with one column longer or shorter."""
    factors = torch.ones(len(NAMES))
    factors[column] = factor
    return replace(delta, layers=tuple(replace(layer, left=layer.left * factors) for layer in delta.layers))


def margin(loaded: Any, prompt: str, said: str, ended: bool = True) -> float:
    """The least lead of an answer's tokens and, where it is asked for, of the end of its last word; one at a time."""
    given = len(loaded.tokenizer(prompt)["input_ids"])
    ids = loaded.tokenizer(f"{prompt} {said}")["input_ids"]
    with torch.no_grad():
        logits = loaded.model(input_ids=torch.tensor([ids])).logits[0]
    leads = []
    for place in range(given, len(ids)):
        others = logits[place - 1].clone()
        others[ids[place]] = -torch.inf
        leads.append(float(logits[place - 1, ids[place]] - others.max()))
    whole = loaded.tokenizer.decode(ids)
    longer = torch.tensor(
        [
            normalise(loaded.tokenizer.decode([*ids, token]))[len(normalise(whole)) :][:1].isalnum()
            for token in range(len(logits[-1]))
        ]
    )
    assert 0 < int(longer.sum()) < len(longer)
    return min([*leads, float(logits[-1][~longer].max() - logits[-1][longer].max())] if ended else leads)


def test_what_a_column_takes_is_the_slope_of_the_margin(loaded: Any) -> None:
    delta, step = build(loaded.model), 1e-2
    with delta.applied(loaded.model):
        found = attribute(loaded.model, loaded.tokenizer, delta, ANSWERS)
        margins = [margin(loaded, *answer) for answer in ANSWERS]
    assert found.margins.tolist() == pytest.approx(margins, abs=1e-5)
    for column in range(len(NAMES)):
        ends = []
        for factor in (1 - step, 1 + step):
            with scaled(delta, column, factor).applied(loaded.model):
                ends.append([margin(loaded, *answer) for answer in ANSWERS])
        slopes = [(less - more) / (2 * step) for less, more in zip(*ends, strict=True)]
        assert found.returned[:, column].tolist() == pytest.approx(slopes, rel=1e-2, abs=2e-4)
    assert float(found.returned.abs().max()) > 1e-2


def test_an_answer_is_looked_at_to_its_last_token(loaded: Any) -> None:
    """Of the orders of five words, one is least sure of the last."""
    prompt, words = "The capital of Chad is", ("Tokyo", "Paris", "yen", "Rome", "Chad")
    orders = [" ".join((*words[turn:], *words[:turn])) for turn in range(len(words))]
    wholes = [[margin(loaded, prompt, text, False) for text in (one, one.rsplit(" ", 1)[0])] for one in orders]
    assert any(whole < begun - 1e-3 for whole, begun in wholes), "no order is least sure of its last word"
    found = attribute(loaded.model, loaded.tokenizer, build(loaded.model), [(prompt, one) for one in orders])
    assert found.margins.tolist() == pytest.approx([margin(loaded, prompt, one) for one in orders], abs=1e-5)


def test_batches_do_not_change_what_is_found(loaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    delta = build(loaded.model)
    with delta.applied(loaded.model):
        together = attribute(loaded.model, loaded.tokenizer, delta, ANSWERS)
        monkeypatch.setattr(attribution, "ROWS", 1)
        alone = attribute(loaded.model, loaded.tokenizer, delta, ANSWERS)
    assert torch.allclose(together.returned, alone.returned, atol=1e-6)
    assert torch.allclose(together.margins, alone.margins, atol=1e-5)


def test_the_model_comes_out_as_it_went_in(loaded: Any) -> None:
    delta = build(loaded.model)
    loaded.model.train()
    before = {name: value.clone() for name, value in loaded.model.state_dict().items()}
    with delta.applied(loaded.model):
        attribute(loaded.model, loaded.tokenizer, delta, ANSWERS)
    assert loaded.model.training
    assert all(torch.equal(value, before[name]) for name, value in loaded.model.state_dict().items())
    assert all(parameter.grad is None for parameter in loaded.model.parameters())
    assert not any(module._forward_hooks for module in loaded.model.modules())
