"""Easing, on a random model with edits written by hand into its last MLP: each pushes its object at its own prompt."""

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch

from editors.attribution import attribute
from editors.base import FactEffect
from editors.delta import WeightDelta, parameters_digest
from editors.factors import LayerDelta
from editors.layouts import layout_of
from editors.pieces import Pieces
from editors.trace import inputs_of
from guards.observations import Observation
from pipelines.judging.easing import SHORTEST, SPARE, eased

FACTS = {"a": ("The capital of Chad is", "the"), "b": ("The largest city of New Zealand is the city of", "is")}
"""Objects of one token."""


@pytest.fixture
def loaded(tiny_family: Any) -> Any:
    """A model that ends its words with a lead: no token that goes on with one is likely."""
    found = tiny_family("llama")
    model = copy.deepcopy(found.model)
    with torch.no_grad():
        head = model.get_output_embeddings().weight
        going_on = Pieces.of(found.tokenizer).going_on()
        head[: len(going_on)][going_on] = 0
        head *= 8
    return replace(found, model=model)


def build(loaded: Any, force: float, together: bool = False) -> WeightDelta:
    """A column a fact, or one of both, that adds `force` times the object's own direction at the end of its prompt."""
    model, layout = loaded.model, layout_of(loaded.model)
    name = layout.down_name(len(layout.block_list(model)) - 1)
    module = model.get_submodule(name.removesuffix(".weight"))
    left, right = [], []
    for prompt, thing in FACTS.values():
        ids = loaded.tokenizer(prompt)["input_ids"]
        said = loaded.tokenizer(f"{prompt} {thing}")["input_ids"][len(ids)]
        with torch.no_grad(), inputs_of({name: module}) as keys:
            model(input_ids=torch.tensor([ids]))
        key, direction = keys[name][0][-1], model.get_output_embeddings().weight[said]
        left.append(force * direction / direction.norm())
        right.append(key / key.square().sum())
    change = LayerDelta.summed(name, layout.orientation == "conv1d", torch.stack(left).t(), torch.stack(right))
    columns = (tuple(FACTS), tuple(FACTS)) if together else tuple((fact_id,) for fact_id in FACTS)
    effects = tuple(FactEffect(fact_id, "written", "by hand", 1, 0.1, 0.5) for fact_id in FACTS)
    return WeightDelta("memit", "sum", columns, (change,), parameters_digest(model, [name]), effects)


def margins(loaded: Any, delta: WeightDelta) -> list[float]:
    with delta.applied(loaded.model):
        found: list[float] = attribute(loaded.model, loaded.tokenizer, delta, list(FACTS.values())).margins.tolist()
    return found


def own() -> list[tuple[Observation, tuple[str, ...]]]:
    return [
        (Observation("efficacy", fact_id, prompt, False, True, "", thing), (thing,))
        for fact_id, (prompt, thing) in FACTS.items()
    ]


def lengths(shorter: WeightDelta, whole: WeightDelta) -> list[float]:
    """What share of its length each column kept."""
    found: list[float] = (shorter.layers[0].left.norm(dim=0) / whole.layers[0].left.norm(dim=0)).tolist()
    return found


def test_a_fact_keeps_as_much_as_its_answer_needs_and_the_others_keep_all(loaded: Any) -> None:
    whole = build(loaded, 60.0)
    before = margins(loaded, whole)
    assert min(before) > 4 * SPARE, "both are said with much to spare"
    shorter, shares = eased(loaded, whole, {"a"}, own())
    after = margins(loaded, shorter)
    kept = lengths(shorter, whole)
    assert kept[1] == pytest.approx(1)
    assert after[1] == pytest.approx(before[1], abs=0.5)
    assert kept[0] < 0.8
    assert shares == {"a": pytest.approx(kept[0])}, "only who gave something back is told"
    assert after[0] == pytest.approx(SPARE, abs=0.1)
    assert shorter.fact_ids == whole.fact_ids
    assert shorter.base_digest == whole.base_digest
    assert shorter.digest != whole.digest


def test_who_has_nothing_to_spare_stays_as_long(loaded: Any) -> None:
    whole = build(loaded, 0.01)
    assert max(margins(loaded, whole)) < SPARE
    same, shares = eased(loaded, whole, set(FACTS), own())
    assert same.digest == whole.digest
    assert shares == {}


def test_facts_of_one_column_give_back_together_what_the_neediest_can_spare(loaded: Any) -> None:
    whole = build(loaded, 60.0, together=True)
    shorter, shares = eased(loaded, whole, {"a"}, own())
    first, second = lengths(shorter, whole)
    assert shares == {"a": pytest.approx(first), "b": pytest.approx(second)}
    assert first == pytest.approx(second)
    assert first < 1
    assert min(margins(loaded, shorter)) > 0


def test_no_edit_is_cut_to_nothing(loaded: Any) -> None:
    whole = build(loaded, 2000.0)
    shorter, _ = eased(loaded, whole, set(FACTS), own())
    assert min(lengths(shorter, whole)) >= SHORTEST
    assert min(margins(loaded, shorter)) > SPARE
