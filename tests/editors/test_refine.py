"""Solved targets moved for others' sake: what is held, that it helps, and that nothing else changes."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch

from editors.anchors import COMMON, drift, of_others, said_in
from editors.bystanders import BystanderConfig
from editors.delta import WeightDelta, deltas_on, parameters_digest
from editors.fitting import object_scores
from editors.layouts import layout_of
from editors.load import LoadedModel
from editors.memit.config import MemitConfig
from editors.memit.editor import MemitEditor
from editors.memit.refine import RefineConfig, hooked
from editors.others import MORE_NAMES, RELATIONS
from editors.rows import group_requests
from editors.well_known import WELL_KNOWN
from registry.records import EditRequest, Fact
from registry.text import normalise

NONE = RefineConfig()
REFINE = RefineConfig(steps=8, batch=32, each=40, lr=0.05, hold=100.0, stay=0.0, slack=3.0)


def config_of(loaded: Any, lab: Any, refine: RefineConfig = NONE) -> MemitConfig:
    few = BystanderConfig(most=0, earlier=0.0)
    config = MemitConfig(targets=lab.targets, bystanders=few, spread=2, corrections=0, refine=refine)
    return replace(config, moments=lab.moments(loaded, config.edited(loaded.model)))


def fitted(loaded: Any, lab: Any, refine: RefineConfig = NONE) -> WeightDelta:
    return MemitEditor().fit(loaded.model, loaded.tokenizer, lab.requests(), config_of(loaded, lab, refine))


def strayed(loaded: Any, lab: Any, delta: WeightDelta) -> float:
    """How far what is said of others, of whom no fit with the seed 0 has seen all, has moved."""
    layout = layout_of(loaded.model)
    found = of_others(loaded.tokenizer, lab.requests(), 160, 5)
    held = said_in(loaded.model, loaded.tokenizer, layout, found)
    with delta.applied(loaded.model), torch.no_grad():
        return float(drift(loaded.model, layout, held, range(len(held))))


def greedy(loaded: Any, lab: Any, delta: WeightDelta) -> int:
    groups, _ = group_requests(loaded.tokenizer, lab.requests(), **lab.targets.contexts)
    rows = [row for group in groups for row in group.rows if row.plain]
    with delta.applied(loaded.model):
        return sum(score.greedy for score in object_scores(loaded.model, layout_of(loaded.model), rows))


def test_others_are_moved_less_and_the_facts_are_still_said(tiny_llama: Any, lab: Any) -> None:
    plain, refined = fitted(tiny_llama, lab), fitted(tiny_llama, lab, REFINE)
    assert greedy(tiny_llama, lab, refined) >= greedy(tiny_llama, lab, plain) > 0
    before = strayed(tiny_llama, lab, plain)
    assert strayed(tiny_llama, lab, refined) < 0.9 * before
    held_to_nothing = fitted(tiny_llama, lab, replace(REFINE, hold=0.0))
    assert strayed(tiny_llama, lab, held_to_nothing) > 0.95 * before


def test_keys_stay_and_targets_move(tiny_llama: Any, lab: Any) -> None:
    plain, refined = fitted(tiny_llama, lab), fitted(tiny_llama, lab, REFINE)
    for one, other in zip(plain.layers, refined.layers, strict=True):
        assert torch.equal(one.right, other.right)
        assert torch.equal(one.gram, other.gram)
        moved = float((one.left - other.left).norm() / one.left.norm())
        assert 0.01 < moved < REFINE.lr * REFINE.steps
    assert refined.notes["refine"]["steps"] == REFINE.steps
    gone = refined.fact_ids[0]
    rest = refined.without([gone])
    assert rest.fact_ids == refined.fact_ids[1:]
    assert torch.equal(rest.layers[0].left, refined.layers[0].left[:, 1:])


def test_the_model_comes_out_as_it_went_in_and_the_seed_decides(tiny_llama: Any, lab: Any) -> None:
    model = tiny_llama.model
    names = [name for name, _ in model.named_parameters()]
    before = parameters_digest(model, names)
    asked = [parameter.requires_grad for parameter in model.parameters()]
    digest = fitted(tiny_llama, lab, REFINE).digest
    assert parameters_digest(model, names) == before
    assert [parameter.requires_grad for parameter in model.parameters()] == asked
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())
    assert fitted(tiny_llama, lab, REFINE).digest == digest
    assert fitted(tiny_llama, lab, replace(REFINE, seed=1)).digest != digest


def test_a_refinement_that_loses_an_object_is_not_taken(tiny_llama: Any, lab: Any) -> None:
    careless = replace(REFINE, lr=3.0, slack=1000.0)
    assert fitted(tiny_llama, lab, careless).digest == fitted(tiny_llama, lab).digest
    assert fitted(tiny_llama, lab, REFINE).digest != fitted(tiny_llama, lab).digest


@pytest.mark.parametrize("family", ["tiny_llama", "tiny_gpt2"])
def test_what_is_trained_is_what_is_applied(request: Any, lab: Any, family: str) -> None:
    loaded = request.getfixturevalue(family)
    delta = fitted(loaded, lab)
    ids = torch.tensor([loaded.tokenizer("The capital of New Zealand")["input_ids"]])
    added = [torch.zeros_like(layer.left) for layer in delta.layers]
    with torch.no_grad():
        bare = loaded.model(input_ids=ids).logits
        with hooked(loaded.model, delta.layers, added):
            seen = loaded.model(input_ids=ids).logits
        with delta.applied(loaded.model):
            weighed = loaded.model(input_ids=ids).logits
    assert float((seen - weighed).abs().max()) < 1e-4
    assert float((bare - weighed).abs().max()) > 1e-2


def test_what_is_held_is_about_well_known_others_alone(tiny_llama: Any) -> None:
    tokenizer = tiny_llama.tokenizer
    asked = EditRequest(Fact("Norway", "capital", "Rome"), "ADD", "The capital of Norway is", ("Rome",))
    texts = [tokenizer.decode(list(one.tokens)) for one in of_others(tokenizer, [asked], 80, 0)]
    own = [text for text in texts if text.startswith("The capital of")]
    assert len(texts) <= 80
    assert len(own) >= 80 - 80 // COMMON
    assert not [text for text in texts if "Norway" in text]
    beginnings = {form.split("{}")[0] for form in RELATIONS}
    assert all(any(text.startswith(begin) for begin in beginnings) for text in texts)
    assert any(not text.startswith("The capital of") for text in texts)


def test_each_well_known_name_stands_once() -> None:
    assert len({normalise(name) for name in WELL_KNOWN}) == len(WELL_KNOWN) > 700
    assert set(MORE_NAMES) <= set(WELL_KNOWN)
    assert all(name and name == name.strip() and "  " not in name for name in WELL_KNOWN)


@pytest.mark.parametrize(("family", "dtype"), [("gemma2", torch.float32), ("gpt_neox", torch.bfloat16)])
def test_other_families_and_precisions_are_refined(
    tiny_family: Callable[[str], LoadedModel], lab: Any, family: str, dtype: torch.dtype
) -> None:
    loaded = tiny_family(family)
    loaded = replace(loaded, model=deepcopy(loaded.model).to(dtype))
    plain, refined = fitted(loaded, lab), fitted(loaded, lab, REFINE)
    assert refined.fact_ids
    assert refined.digest != plain.digest
    assert strayed(loaded, lab, refined) < strayed(loaded, lab, plain)


def test_a_second_delta_is_refined_on_the_first(tiny_llama: Any, lab: Any) -> None:
    model = deepcopy(tiny_llama.model)
    loaded = replace(tiny_llama, model=model)
    first, *others = lab.requests()
    config = config_of(tiny_llama, lab, REFINE)
    before = parameters_digest(model, [name for name, _ in model.named_parameters()])
    one = MemitEditor().fit(model, loaded.tokenizer, [first], config)
    one.apply(model)
    two = MemitEditor().fit(model, loaded.tokenizer, others, config)
    two.apply(model)
    assert len(deltas_on(model)) == 2
    two.revert(model)
    one.revert(model)
    assert parameters_digest(model, [name for name, _ in model.named_parameters()]) == before
