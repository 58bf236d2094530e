"""Answers in three settings, each with what it rests on, or "not known"."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from editors.generate import Generation
from editors.load import LoadedModel
from pipelines.answer import Answerer, AnswerPolicy, Reply, ask
from registry.catalogue import Catalogue
from registry.errors import InputError, UnknownNameError
from registry.home import Home
from registry.records import Fact, KnownFact

ATLAS = Path(__file__).resolve().parents[2] / "examples" / "atlas" / "relations.yaml"
TODAY = date(2025, 6, 1)
CAPITAL, STATE = "What is the capital of France?", "Who is the head of state of France?"
Script = Callable[[str], tuple[str, float]]


def known(subject: str, relation: str, value: str, memory: str = "rag", since: date | None = None) -> KnownFact:
    fact = Fact(subject, relation, value, since, None, datetime(2025, 1, 1, tzinfo=UTC), "gazette", "https://gazette")
    return KnownFact(fact, memory, 2, "stable")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every prompt that the model was given."""
    return []


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch, asked: list[str]) -> Callable[[Script], None]:
    """Let the model say what a script makes of a prompt."""

    def use(script: Script) -> None:
        def generate(model: Any, tokenizer: Any, prompts: Sequence[str], *, max_new_tokens: int) -> list[Generation]:
            asked.extend(prompts)
            return [Generation(*script(prompt), 1) for prompt in prompts]

        monkeypatch.setattr("editors.generate.generate", generate)

    return use


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.read(ATLAS)


@pytest.fixture
def answerer(catalogue: Catalogue, tiny_llama: LoadedModel) -> Answerer:
    """Paris lives in the index, Macron in the weights, two languages in the index."""
    facts = [
        known("France", "capital", "Paris"),
        replace(
            known("France", "head_of_state", "François Hollande"),
            fact=Fact("France", "head_of_state", "François Hollande", date(2012, 5, 15), date(2017, 5, 14)),
        ),
        known("France", "head_of_state", "Emmanuel Macron", "memit", date(2017, 5, 14)),
        known("Switzerland", "official_language", "German"),
        known("Switzerland", "official_language", "French"),
    ]
    return Answerer(catalogue, facts, None, tiny_llama, AnswerPolicy(), 7)


def test_a_fact_in_the_index_is_worded_by_the_reader(answerer: Answerer, says: Callable[[Script], None]) -> None:
    says(lambda prompt: ("Paris, on the Seine", 0.8))
    reply = answerer.ask(CAPITAL, "offline", TODAY)
    assert (reply.text, reply.known, reply.agrees, reply.certainty) == ("Paris, on the Seine", True, True, 0.8)
    (source,) = reply.provenance
    assert (source.fact.object, source.fact.source, source.memory, source.release) == ("Paris", "gazette", "rag", 2)
    assert (reply.release, reply.as_of, reply.setting) == (7, TODAY, "offline")


def test_wrong_words_are_replaced_by_the_object(answerer: Answerer, says: Callable[[Script], None]) -> None:
    says(lambda prompt: ("Lyon", 0.99))
    reply = answerer.ask(CAPITAL, "online", TODAY)
    assert (reply.text, reply.model_words, reply.agrees, reply.known) == ("Paris", "Lyon", False, True)
    assert "the object itself" in reply.why


def test_a_fact_in_the_weights_needs_no_context(
    answerer: Answerer, says: Callable[[Script], None], asked: list[str]
) -> None:
    says(lambda prompt: ("Emmanuel Macron", 0.7))
    reply = answerer.ask(STATE, "offline", TODAY)
    assert (reply.text, reply.agrees, reply.provenance[0].memory) == ("Emmanuel Macron", True, "memit")
    assert "words of the weights" in reply.why
    assert asked == ["The head of state of France is"]


def test_weights_that_lost_it_are_helped_by_the_reader(
    answerer: Answerer, says: Callable[[Script], None], asked: list[str]
) -> None:
    says(lambda prompt: ("Emmanuel Macron" if "Macron" in prompt else "Charles de Gaulle", 0.7))
    reply = answerer.ask(STATE, "offline", TODAY)
    assert (reply.text, reply.agrees) == ("Emmanuel Macron", True)
    assert "words of the weights" not in reply.why
    assert len(asked) == 2


def test_the_past_is_answered_from_its_own_version(answerer: Answerer, says: Callable[[Script], None]) -> None:
    says(lambda prompt: ("François Hollande", 0.7))
    for question, day in ((STATE, date(2015, 1, 1)), ("Who is the head of state of France in 2015?", TODAY)):
        reply = answerer.ask(question, "offline", day)
        assert reply.provenance[0].fact.object == "François Hollande"
        assert reply.as_of.year == 2015
    assert not answerer.ask(STATE, "offline", date(1990, 1, 1)).known


def test_several_objects_are_all_said(answerer: Answerer, says: Callable[[Script], None]) -> None:
    says(lambda prompt: ("German" if "is German. So:" in prompt.rsplit("\n", 1)[-1] else "Italian", 0.7))
    reply = answerer.ask("What is the official language of Switzerland?", "offline", TODAY)
    assert sorted(reply.text.split(", ")) == ["French", "German"]
    assert reply.agrees is False
    assert len(reply.provenance) == 2


@pytest.mark.parametrize("setting", ["offline", "online"])
@pytest.mark.parametrize("question", ["What is the population of France?", "What is the capital of Freedonia?"])
def test_what_no_fact_supports_is_not_known(answerer: Answerer, setting: str, question: str, asked: list[str]) -> None:
    reply = answerer.ask(question, setting, TODAY)
    assert (reply.text, reply.known, reply.provenance, reply.model_words) == ("not known", False, (), None)
    assert reply.why
    assert asked == []


def test_without_a_model_the_object_is_the_answer(answerer: Answerer) -> None:
    reply = replace(answerer, loaded=None).ask(CAPITAL, "offline", TODAY)
    assert (reply.text, reply.known, reply.agrees, reply.model_words) == ("Paris", True, None, None)
    with pytest.raises(InputError, match="a model for the parametric setting"):
        replace(answerer, loaded=None).ask(CAPITAL, "parametric", TODAY)


def test_the_model_is_loaded_only_when_it_is_needed(answerer: Answerer, tiny_llama: LoadedModel) -> None:
    loads: list[int] = []

    def load() -> LoadedModel:
        loads.append(1)
        return tiny_llama

    lazy = replace(answerer, loaded=load)
    assert not lazy.ask("What is the capital of Freedonia?", "offline", TODAY).known
    assert loads == []
    lazy.ask_many([CAPITAL, STATE], "offline", TODAY)
    assert loads == [1]


def test_parametric_supported_by_a_fact_in_the_weights(answerer: Answerer, says: Callable[[Script], None]) -> None:
    says(lambda prompt: ("Emmanuel Macron", 0.1))
    reply = answerer.ask(STATE, "parametric", TODAY)
    assert (reply.text, reply.known, reply.agrees) == ("Emmanuel Macron", True, True)
    assert reply.provenance[0].memory == "memit"


def test_parametric_that_contradicts_what_was_written_is_not_known(
    answerer: Answerer, says: Callable[[Script], None]
) -> None:
    says(lambda prompt: ("Charles de Gaulle", 0.99))
    reply = answerer.ask(STATE, "parametric", TODAY)
    assert (reply.text, reply.known, reply.agrees, reply.provenance) == ("not known", False, False, ())
    assert "do not say what was written" in reply.why


@pytest.mark.parametrize(("certainty", "known"), [(0.95, True), (0.05, False)])
def test_parametric_without_support_goes_by_certainty(
    answerer: Answerer, says: Callable[[Script], None], asked: list[str], certainty: float, known: bool
) -> None:
    says(lambda prompt: ("Paris", certainty))
    reply = answerer.ask(CAPITAL, "parametric", TODAY)
    assert (reply.known, reply.provenance, reply.agrees) == (known, (), None)
    assert reply.text == ("Paris" if known else "not known")
    assert "no fact" in reply.why
    assert asked == ["The capital of France is the city of"]


@pytest.mark.parametrize(
    "question",
    ["Which colour is the sky?", "What is the capital of Freedonia?", "Which country has the capital Paris?"],
)
def test_parametric_never_asks_what_is_not_clear(
    answerer: Answerer, says: Callable[[Script], None], asked: list[str], question: str
) -> None:
    says(lambda prompt: ("blue", 0.99))
    replies = answerer.ask_many([question, CAPITAL], "parametric", TODAY)
    assert [reply.known for reply in replies] == [False, True]
    assert "were not asked" in replies[0].why
    assert len(asked) == 1


def test_a_reply_is_plain_json(answerer: Answerer, says: Callable[[Script], None]) -> None:
    says(lambda prompt: ("Paris", 0.5))
    reply: Reply = answerer.ask(CAPITAL, "offline", TODAY)
    values = json.loads(json.dumps(reply.to_dict()))
    assert values["provenance"][0]["fact"]["object"] == "Paris"
    assert values["as_of"] == "2025-06-01"


def test_order_and_bad_input(answerer: Answerer, says: Callable[[Script], None]) -> None:
    says(lambda prompt: ("Paris", 0.5))
    replies = answerer.ask_many(["Nonsense?", CAPITAL, "More nonsense?"], "offline", TODAY)
    assert [reply.known for reply in replies] == [False, True, False]
    assert answerer.ask_many([], "offline", TODAY) == []
    assert answerer.ask_many([], "parametric", TODAY) == []
    with pytest.raises(InputError, match="a question in words"):
        answerer.ask_many([CAPITAL, "  "], "offline", TODAY)
    with pytest.raises(UnknownNameError, match="offline"):
        answerer.ask_many([CAPITAL], "offlin", TODAY)


def test_ask_refuses_bad_input_before_anything_is_opened(tmp_path: Path) -> None:
    home = Home.at(tmp_path / "home")
    with pytest.raises(InputError, match="a question in words"):
        ask(home, " ")
    with pytest.raises(UnknownNameError, match="setting"):
        ask(home, CAPITAL, setting="psychic")
    with pytest.raises(InputError, match="2024-05-01"):
        ask(home, CAPITAL, as_of="yesterday")  # type: ignore[arg-type]
    assert not home.root.exists()
    with pytest.raises(InputError, match="nothing is published yet"):
        ask(home, CAPITAL)
