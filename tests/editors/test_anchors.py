"""What is held while facts are trained: which sentences, how far they have moved, and that holding them holds them."""

import copy
from typing import Any

import pytest
import torch

from editors.anchors import EACH, Anchors, drift, take_down
from editors.layouts import layout_of
from editors.lora.config import LoraSettings
from editors.lora.editor import LoraEditor
from editors.training import TrainingConfig
from registry.records import EditRequest, Fact


@pytest.fixture
def taken(tiny_llama: Any, lab: Any) -> Anchors:
    return taken_of(tiny_llama, lab, 40)


def taken_of(loaded: Any, lab: Any, most: int, seed: int = 0) -> Anchors:
    layout = layout_of(loaded.model)
    return take_down(loaded.model, loaded.tokenizer, layout, lab.requests(), most, seed)


def named(loaded: Any, taken: Anchors) -> list[str]:
    """What is held, up to the name."""
    decode = loaded.tokenizer.decode
    return [decode(list(own[: places[0] + 1])) for own, places in zip(taken.tokens, taken.places, strict=True)]


def moved(loaded: Any) -> Any:
    """A copy of the model that says other things."""
    model = copy.deepcopy(loaded.model)
    generator = torch.Generator().manual_seed(3)
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)
    return model


def test_what_is_held_is_about_others_or_says_other_things(tiny_llama: Any, lab: Any, taken: Anchors) -> None:
    texts = named(tiny_llama, taken)
    subjects = [request.fact.subject for request in lab.requests()]
    asked = [text for text in texts if text.startswith(("The capital of", "The largest city of"))]
    assert len(asked) >= 20
    own = [text for text in texts if any(subject in text for subject in subjects)]
    assert 0 < len(own) <= 10
    assert not set(own) & {text for request in lab.requests() for text in (request.prompt, *request.paraphrases)}
    assert all(len(places) > 1 for places in taken.places), "what the model goes on to say is held too"


def test_the_seed_and_the_number_of_facts_decide_what_is_held(tiny_llama: Any, lab: Any, taken: Anchors) -> None:
    assert taken_of(tiny_llama, lab, 40).tokens == taken.tokens
    assert taken_of(tiny_llama, lab, 40, seed=1).tokens != taken.tokens
    many = taken_of(tiny_llama, lab, 10_000)
    assert len(taken) <= 40 < len(many) <= 3 * EACH


def test_nothing_has_moved_in_the_model_itself(tiny_llama: Any, taken: Anchors) -> None:
    layout, every = layout_of(tiny_llama.model), range(len(taken))
    with torch.no_grad():
        assert float(drift(tiny_llama.model, layout, taken, every)) == pytest.approx(0, abs=1e-5)
        assert float(drift(moved(tiny_llama), layout, taken, every)) > 0.01


@pytest.mark.parametrize("likeliest", [5, 10_000])
def test_the_divergence_is_the_whole_one_or_a_bound_of_it(
    tiny_llama: Any, lab: Any, monkeypatch: pytest.MonkeyPatch, likeliest: int
) -> None:
    monkeypatch.setattr("editors.anchors.LIKELIEST", likeliest)
    taken, other = taken_of(tiny_llama, lab, 12), moved(tiny_llama)
    whole = []
    for tokens, places in zip(taken.tokens, taken.places, strict=True):
        ids = torch.tensor([tokens])
        with torch.no_grad():
            before, now = (
                model(input_ids=ids).logits[0].double().log_softmax(-1) for model in (tiny_llama.model, other)
            )
        whole += [float((before[i].exp() * (before[i] - now[i])).sum()) for i in places]
    with torch.no_grad():
        found = float(drift(other, layout_of(other), taken, range(len(taken))))
    expected = sum(whole) / len(whole)
    if likeliest > 600:
        assert found == pytest.approx(expected, rel=1e-4)
    else:
        assert 0 < found < expected


def test_its_gradient_is_that_of_finite_differences(tiny_llama: Any, taken: Anchors) -> None:
    model = moved(tiny_llama).double()
    weight, layout = model.model.layers[1].mlp.down_proj.weight, layout_of(model)
    weight.requires_grad_(True)
    drift(model, layout, taken, [0, 3]).backward()  # type: ignore[no-untyped-call]
    way = torch.randn(weight.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ends = []
    with torch.no_grad():
        for step in (1e-3, -1e-3):
            weight += step * way
            ends.append(float(drift(model, layout, taken, [0, 3])))
            weight -= step * way
    assert float((weight.grad * way).sum()) == pytest.approx((ends[0] - ends[1]) / 2e-3, rel=2e-3)


def test_a_fit_that_holds_moves_others_less(tiny_llama: Any, lab: Any, taken: Anchors) -> None:
    drifts = []
    for anchors in (0, 40):
        training = TrainingConfig(steps=60, lr=0.05, warmup=1, end_probability=1e-9, anchors=anchors, hold=1.0)
        config = LoraSettings(training=training)
        delta = LoraEditor().fit(tiny_llama.model, tiny_llama.tokenizer, lab.requests(), config)
        assert len(delta.fact_ids) == 3
        with delta.applied(tiny_llama.model), torch.no_grad():
            drifts.append(float(drift(tiny_llama.model, layout_of(tiny_llama.model), taken, range(len(taken)))))
    assert drifts[1] < 0.8 * drifts[0]


def test_a_name_that_is_the_subject_in_other_words_is_nobody_else(
    tiny_llama: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("editors.anchors.EACH", 10_000)
    model, layout = tiny_llama.model, layout_of(tiny_llama.model)
    request = EditRequest(
        Fact("United Kingdom", "capital", "Rome"), "ADD", "The capital of United Kingdom is", ("Rome",)
    )
    taken = take_down(model, tiny_llama.tokenizer, layout, [request], 10_000, 0)
    texts = named(tiny_llama, taken)
    assert "The capital of Kenya" in texts
    about = [text for text in texts if "United Kingdom" in text]
    assert about
    assert not any("capital" in text for text in about)
