"""Every editor against every law that an edit must obey, on a random model of every family.

A new editor joins by its line in `editors.EDITORS`; laws about weights are for those that write there (`writer`).
`config` gives settings under which a random model can be taught anything.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from editors import EDITORS, get_editor
from editors.base import EditDelta
from editors.load import weights_digest
from editors.memit.config import MemitConfig
from editors.moments import measure
from editors.rome.config import RomeConfig
from editors.targets import TargetConfig
from registry.errors import EditError, IntegrityError, ModelError
from registry.records import EditRequest, Fact

FAMILIES = ("tiny_llama", "tiny_gpt2")
WRITERS = tuple(name for name in sorted(EDITORS) if get_editor(name).scope == "weights")
TARGETS = TargetConfig(steps=40, lr=0.2, clamp=8.0, decay=0.0, drift=0.0, end_probability=1e-9)
TEXTS = (
    "The river does not choose its bed once and for all. In flat country it swings from side to side.",
    "Bread needs little more than flour, water, salt and time.",
    "A letter took nine days to cross the country by coach and four by rail.",
    "When two people disagree about a measurement, the useful question is rarely who is right.",
)


@pytest.fixture(params=FAMILIES)
def loaded(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A random model; whatever a test does, its bits come out as they went in."""
    found: Any = request.getfixturevalue(request.param)
    yield found
    assert weights_digest(found.model) == found.digest
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in found.model.modules())


@pytest.fixture(params=sorted(EDITORS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=WRITERS)
def writer(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def config(name: str, loaded: Any, **more: Any) -> Any:
    """Settings for `name`; None takes an editor's defaults."""
    if name == "memit":
        moments = measure(loaded.model, loaded.tokenizer, TEXTS, [0, 1], ridge=0.1)
        return MemitConfig(**{"layers": (0, 1), "weight": 1e-2, "targets": TARGETS, "moments": moments, **more})
    if name == "rome":
        moments = measure(loaded.model, loaded.tokenizer, TEXTS, [1], ridge=0.1)
        return RomeConfig(**{"layers": (1,), "targets": TARGETS, "moments": moments, **more})
    return None


def ask(subject: str, value: str, relation: str = "capital", words: str = "capital") -> EditRequest:
    prompt = f"The {words} of {subject}"
    return EditRequest(
        Fact(subject, relation, value), "ADD", prompt, (value,), paraphrases=(f"So the {words} of {subject}",)
    )


def asks() -> list[EditRequest]:
    return [ask("New Zealand", "Rome"), ask("Chad", "Tokyo"), ask("Burkina Faso", "Paris")]


def fit(name: str, loaded: Any, requests: list[EditRequest], **more: Any) -> EditDelta:
    return get_editor(name).fit(loaded.model, loaded.tokenizer, requests, config(name, loaded, **more))


def next_token(loaded: Any, prompt: str) -> str:
    ids = loaded.tokenizer(prompt, return_tensors="pt")["input_ids"]
    return str(loaded.tokenizer.decode([int(loaded.model(ids).logits[0, -1].argmax())]))


def test_fitting_changes_neither_the_model_nor_its_mode(name: str, loaded: Any) -> None:
    modes = [module.training for module in loaded.model.modules()]
    fit(name, loaded, asks())
    assert weights_digest(loaded.model) == loaded.digest
    assert [module.training for module in loaded.model.modules()] == modes
    assert all(parameter.grad is None for parameter in loaded.model.parameters())


def test_the_delta_holds_what_was_asked_and_says_so(name: str, loaded: Any) -> None:
    delta = fit(name, loaded, asks())
    ids = tuple(request.fact.id for request in asks())
    assert (delta.editor, delta.scope) == (name, get_editor(name).scope)
    assert delta.fact_ids == ids
    assert tuple(effect.fact_id for effect in delta.effects) == ids
    assert all(effect.state == "written" and effect.explanation for effect in delta.effects)


def test_written_facts_are_answered_and_were_not_before(writer: str, loaded: Any) -> None:
    delta = fit(writer, loaded, asks())
    before = [next_token(loaded, request.prompt) for request in asks()]
    with delta.applied(loaded.model):
        after = [next_token(loaded, request.prompt) for request in asks()]
    wanted = [request.target for request in asks()]
    assert after == wanted
    assert not any(said == value for said, value in zip(before, wanted, strict=True))


def test_applied_leaves_no_trace_also_after_an_exception(name: str, loaded: Any) -> None:
    delta = fit(name, loaded, asks())
    with delta.applied(loaded.model) as model:
        assert model is loaded.model
    assert weights_digest(loaded.model) == loaded.digest

    def fail() -> None:
        assert (weights_digest(loaded.model) != loaded.digest) == (delta.scope == "weights")
        raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"), delta.applied(loaded.model):
        fail()
    assert weights_digest(loaded.model) == loaded.digest


def test_revert_is_bit_exact(name: str, loaded: Any) -> None:
    delta = fit(name, loaded, asks())
    delta.apply(loaded.model)
    assert (weights_digest(loaded.model) != loaded.digest) == (delta.scope == "weights")
    delta.revert(loaded.model)
    assert weights_digest(loaded.model) == loaded.digest


def test_the_digest_survives_save_and_load_and_tells_deltas_apart(name: str, loaded: Any, tmp_path: Path) -> None:
    delta = fit(name, loaded, asks())
    delta.save(tmp_path / "delta")
    back = get_editor(name).load(tmp_path / "delta")
    assert back.digest == delta.digest
    assert (back.fact_ids, back.effects) == (delta.fact_ids, delta.effects)
    assert not any(path.suffix in {".pkl", ".pickle", ".pt", ".bin"} for path in (tmp_path / "delta").rglob("*"))
    assert fit(name, loaded, asks()[:2]).digest != delta.digest
    with delta.applied(loaded.model):
        direct = weights_digest(loaded.model)
    with back.applied(loaded.model):
        assert weights_digest(loaded.model) == direct


def test_a_changed_file_is_refused(name: str, loaded: Any, tmp_path: Path) -> None:
    fit(name, loaded, asks()).save(tmp_path / "delta")
    for path in sorted((tmp_path / "delta").iterdir()):
        data = path.read_bytes()
        place = len(data) - 40 if path.suffix == ".safetensors" else data.index(b"digest") + 12
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(IntegrityError):
            get_editor(name).load(tmp_path / "delta")
        path.write_bytes(data)
    get_editor(name).load(tmp_path / "delta")


def test_equal_fits_give_equal_bits(name: str, loaded: Any) -> None:
    assert fit(name, loaded, asks()).digest == fit(name, loaded, asks()).digest


def test_another_seed_gives_another_delta(writer: str, loaded: Any) -> None:
    assert fit(writer, loaded, asks(), targets=replace(TARGETS, seed=1)).digest != fit(writer, loaded, asks()).digest


def test_without_holds_the_others_only(name: str, loaded: Any, tmp_path: Path) -> None:
    delta, (first, second, third) = fit(name, loaded, asks()), asks()
    smaller = delta.without([second.fact.id])
    assert smaller.fact_ids == (first.fact.id, third.fact.id)
    assert smaller.digest != delta.digest
    assert delta.without([]).digest == delta.digest == delta.without(["no such fact"]).digest
    assert delta.without(delta.fact_ids).fact_ids == ()
    with smaller.applied(loaded.model):
        moved = weights_digest(loaded.model) != loaded.digest
    assert moved == (delta.scope == "weights")
    with delta.without(delta.fact_ids).applied(loaded.model):
        assert weights_digest(loaded.model) == loaded.digest
    smaller.save(tmp_path / "delta")
    assert get_editor(name).load(tmp_path / "delta").digest == smaller.digest


def test_without_takes_the_answer_away_and_leaves_the_others(writer: str, loaded: Any) -> None:
    delta = fit(writer, loaded, asks())
    with delta.without([asks()[1].fact.id]).applied(loaded.model):
        said = [next_token(loaded, request.prompt) for request in asks()]
    assert [text == request.target for text, request in zip(said, asks(), strict=True)] == [True, False, True]


def test_the_empty_fit_holds_nothing(name: str, loaded: Any, tmp_path: Path) -> None:
    delta = fit(name, loaded, [])
    assert (delta.fact_ids, delta.effects) == ((), ())
    with delta.applied(loaded.model):
        assert weights_digest(loaded.model) == loaded.digest
    delta.save(tmp_path / "delta")
    assert get_editor(name).load(tmp_path / "delta").digest == delta.digest


def test_several_facts_of_one_subject_are_all_written(name: str, loaded: Any) -> None:
    pair = [ask("New Zealand", "Rome"), ask("New Zealand", "Rome", "largest_city", "largest city")]
    delta = fit(name, loaded, [*pair, ask("Chad", "Paris")])
    assert len(delta.fact_ids) == len({*delta.fact_ids}) == 3
    if delta.scope == "weights":
        with delta.applied(loaded.model):
            assert [next_token(loaded, request.prompt) for request in pair] == [request.target for request in pair]


def test_a_fact_that_cannot_be_written_is_failed_and_the_others_go_on(writer: str, loaded: Any) -> None:
    bad = EditRequest(Fact("Oslo", "capital", "Rome"), "ADD", "no such subject here", ("Rome",))
    delta = fit(writer, loaded, [asks()[0], bad, asks()[1]])
    assert [effect.state for effect in delta.effects] == ["written", "failed", "written"]
    assert "holds its subject" in delta.effects[1].explanation
    assert bad.fact.id not in delta.fact_ids


def test_a_fact_out_of_reach_is_failed_and_not_in_the_delta(writer: str, loaded: Any) -> None:
    delta = fit(writer, loaded, asks(), targets=TargetConfig(steps=2, lr=1e-6))
    assert {effect.state for effect in delta.effects} == {"failed"}
    assert all("not the greedy answer" in effect.explanation for effect in delta.effects)
    assert delta.fact_ids == ()
    with delta.applied(loaded.model):
        assert weights_digest(loaded.model) == loaded.digest


def test_what_the_model_says_already_has_no_effect(writer: str, loaded: Any) -> None:
    with fit(writer, loaded, asks()[:1]).applied(loaded.model):
        again = fit(writer, loaded, asks()[:1], targets=replace(TARGETS, stop_probability=0.0))
    assert [effect.state for effect in again.effects] == ["no_effect"]
    assert "already" in again.effects[0].explanation
    assert again.fact_ids == ()


def test_a_solved_change_that_moves_nothing_has_no_effect(loaded: Any) -> None:
    delta = fit("memit", loaded, asks(), weight=1e12)
    assert {effect.state for effect in delta.effects} == {"no_effect"}
    assert all("does not move the answer" in effect.explanation for effect in delta.effects)
    assert delta.fact_ids == ()


@pytest.mark.filterwarnings("ignore:overflow")
def test_values_that_are_not_finite_are_failed_and_never_applied(writer: str, loaded: Any) -> None:
    delta = fit(writer, loaded, asks(), targets=TargetConfig(lr=float("inf")))
    assert {effect.state for effect in delta.effects} == {"failed"}
    assert all("not finite" in effect.explanation for effect in delta.effects)
    assert delta.fact_ids == ()


def test_a_damaged_model_is_said_and_not_edited(writer: str, loaded: Any) -> None:
    settings = config(writer, loaded)
    parameter = next(loaded.model.parameters())
    original = parameter.detach().clone()
    parameter.data.fill_(float("nan"))
    try:
        delta = get_editor(writer).fit(loaded.model, loaded.tokenizer, asks(), settings)
    except EditError:
        delta = None
    finally:
        parameter.data.copy_(original)
    assert delta is None or {effect.state for effect in delta.effects} == {"failed"}


def test_another_base_is_refused(writer: str, loaded: Any, tmp_path: Path) -> None:
    delta = fit(writer, loaded, asks())
    delta.save(tmp_path / "delta")
    twin = get_editor(writer).load(tmp_path / "delta")
    with delta.applied(loaded.model):
        with pytest.raises(IntegrityError, match="fitted on"):
            twin.apply(loaded.model)
        with pytest.raises(EditError, match="revert it first"):
            delta.apply(loaded.model)
    with twin.applied(loaded.model):
        assert weights_digest(loaded.model) != loaded.digest


def test_an_unknown_family_is_refused_by_name(writer: str, loaded: Any) -> None:
    settings = config(writer, loaded)
    loaded.model.config.model_type, kept = "mamba9", loaded.model.config.model_type
    try:
        with pytest.raises(ModelError, match="mamba9"):
            get_editor(writer).fit(loaded.model, loaded.tokenizer, asks(), settings)
    finally:
        loaded.model.config.model_type = kept


def test_held_out_prompts_make_no_difference(name: str, loaded: Any) -> None:
    seen = [replace(request, held_out=(f"Never read {request.fact.subject}",)) for request in asks()]
    assert fit(name, loaded, seen).digest == fit(name, loaded, asks()).digest
    paraphrased = [replace(request, paraphrases=(f"Read {request.fact.subject}",)) for request in asks()]
    if get_editor(name).scope == "weights":
        assert fit(name, loaded, paraphrased).digest != fit(name, loaded, asks()).digest


def test_defaults_work_without_moments_or_texts(name: str, loaded: Any) -> None:
    delta = get_editor(name).fit(loaded.model, loaded.tokenizer, asks())
    assert tuple(effect.fact_id for effect in delta.effects) == tuple(request.fact.id for request in asks())
    with torch.no_grad(), delta.applied(loaded.model):
        assert bool(torch.isfinite(loaded.model(torch.tensor([[5, 6]])).logits).all())
