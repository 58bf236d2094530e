"""The editor whose memory is the context: frozen, without a trace on the model, never pickled."""

import json
from datetime import date
from pathlib import Path
from typing import get_args

import pytest

from editors import get_editor
from editors.base import EffectState
from editors.load import LoadedModel, weights_digest
from editors.rag import ContextDelta, RagEditor
from registry.errors import InputError, IntegrityError
from registry.records import EditRequest, Fact, Operation


def request(subject: str, value: str, operation: Operation = "ADD", replaces: tuple[str, ...] = ()) -> EditRequest:
    fact = Fact(subject, "capital", value, valid_from=date(2024, 1, 1), source="gazette")
    return EditRequest(fact, operation, f"The capital of {subject} is", (value,), replaces=replaces)


def fit(*requests: EditRequest) -> ContextDelta:
    return RagEditor().fit(None, None, requests)


def test_it_is_registered() -> None:
    editor = get_editor("rag")
    assert (editor.name, editor.scope) == ("rag", "context")
    assert fit().fact_ids == ()


def test_a_request_becomes_a_sentence() -> None:
    one = request("Kazakhstan", "Astana", "UPDATE", ("old",))
    delta = fit(one)
    assert delta.statements == {one.fact.id: "The capital of Kazakhstan is Astana."}
    assert delta.items[0].ends == ("old",)
    assert [effect.state for effect in delta.effects] == ["written"]


def test_what_ends_has_no_sentence() -> None:
    gone = request("Atlantis", "", "DELETE", ("old",))
    delta = fit(gone)
    assert delta.statements == {}
    assert delta.fact_ids == (gone.fact.id,)
    assert delta.items[0].ends == ("old",)


def test_a_bad_or_repeated_request_is_reported_and_stops_nobody() -> None:
    good, empty = request("France", "Paris"), request("Italy", "  ")
    delta = fit(good, empty, good)
    assert delta.fact_ids == (good.fact.id,)
    assert [effect.state for effect in delta.effects] == ["written", "failed", "no_effect"]
    assert all(effect.state in get_args(EffectState) for effect in delta.effects)


def test_the_model_is_left_alone(tiny_llama: LoadedModel) -> None:
    before = weights_digest(tiny_llama.model)
    delta = RagEditor().fit(tiny_llama.model, tiny_llama.tokenizer, [request("France", "Paris")])
    with delta.applied(tiny_llama.model) as model:
        assert model is tiny_llama.model
        assert weights_digest(model) == before
    delta.apply(tiny_llama.model)
    delta.revert(tiny_llama.model)
    assert weights_digest(tiny_llama.model) == before


def test_without_equals_never_asked() -> None:
    one, two = request("France", "Paris"), request("Italy", "Rome")
    assert fit(one, two).without([two.fact.id]) == fit(one)
    assert fit(one, two).without([two.fact.id]).digest == fit(one).digest
    assert fit(one, two).digest != fit(one).digest
    assert fit(one, two).without(["nobody"]) == fit(one, two)


def test_round_trip(tmp_path: Path) -> None:
    delta = fit(request("France", "Paris"), request("Atlantis", "", "DELETE", ("old",)))
    delta.save(tmp_path / "delta")
    loaded = RagEditor().load(tmp_path / "delta")
    assert loaded == delta
    assert loaded.digest == delta.digest
    assert [path.suffix for path in (tmp_path / "delta").iterdir()] == [".json"]
    with pytest.raises(InputError, match="an empty folder"):
        delta.save(tmp_path / "delta")
    with pytest.raises(InputError, match="a context delta"):
        RagEditor().load(tmp_path)


@pytest.mark.parametrize("damage", ["sentence", "fact", "broken"])
def test_a_changed_file_is_refused(tmp_path: Path, damage: str) -> None:
    fit(request("France", "Paris")).save(tmp_path / "delta")
    path = tmp_path / "delta" / "context.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    if damage == "sentence":
        content["items"][0]["sentence"] = "The capital of France is Lyon."
    elif damage == "fact":
        content["items"][0]["fact"]["object"] = "Lyon"
    text = json.dumps(content)
    path.write_text(text[:-9] if damage == "broken" else text, encoding="utf-8")
    with pytest.raises(IntegrityError):
        RagEditor().load(tmp_path / "delta")
