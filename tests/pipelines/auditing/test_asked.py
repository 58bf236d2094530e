"""What an audit asks by code: answers, ranks, confidence, tokens, what the weights go on with, and later batches."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from editors.load import LoadedModel
from editors.rag.config import RagConfig
from editors.rag.index import Index
from guards.card import Figure
from guards.retention import retention
from guards.timeliness import Case, Said
from pipelines.answer import Answerer
from pipelines.answering.indexing import statements
from pipelines.auditing import asked
from pipelines.auditing.asked import Asked, Recalled, Turn
from pipelines.auditing.card_asked import asked_figures, checks_now, confidence_figures
from pipelines.auditing.leakage_ask import Reading
from pipelines.auditing.timeliness import drawn
from pipelines.settings import Settings
from registry.catalogue import Catalogue
from registry.home import Home
from registry.records import Fact, KnownFact

DAY = date(2026, 2, 1)
OLD = Fact("France", "head_of_government", "Jean Castex", date(2020, 7, 3), date(2022, 5, 16))
NEW = Fact("France", "head_of_government", "Élisabeth Borne", date(2022, 5, 16))
GONE = Fact("Kuwait", "head_of_government", "Sabah Khalid", date(2019, 11, 21), date(2023, 12, 20))
STILL = [
    Fact(name, "capital", city)
    for name, city in (("Peru", "Lima"), ("Chad", "N'Djamena"), ("Fiji", "Suva"), ("Nauru", "Yaren"))
]
KNOWN = [KnownFact(one, "rag", 2 if one is NEW else 1) for one in (OLD, NEW, GONE, *STILL)]


class Words:
    """Vectors of words: a sentence is near to one with which it shares many."""

    digest = "words"

    def __init__(self) -> None:
        self.places: dict[str, int] = {}
        self.calls = 0

    def embed(self, texts: Sequence[str], *, query: bool = False) -> Any:
        self.calls += query
        rows = np.zeros((len(texts), 256), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in text.lower().strip("?.").split():
                row[self.places.setdefault(word, len(self.places))] += 1
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Settings.load().catalogue


def system(catalogue: Catalogue, known: Sequence[KnownFact] = KNOWN, *, swapped: bool = False) -> Answerer:
    """A system without a model; `swapped` files every sentence under the fact of another one."""
    told = statements(catalogue, known)
    if swapped:
        told = dict(zip(told, [*list(told.values())[1:], next(iter(told.values()))], strict=True))
    return Answerer(catalogue, known, Index.of(told, Words(), RagConfig(), {}), None)


def named(figures: Sequence[Figure], name: str, about: str = "") -> Figure:
    (found,) = [one for one in figures if one.name == name and one.about.startswith(about)]
    return found


def low(figures: Sequence[Figure], name: str) -> float:
    found = named(figures, name).low
    assert found is not None
    return found


def high(figures: Sequence[Figure], name: str) -> float:
    found = named(figures, name).high
    assert found is not None
    return found


def test_a_sound_system_is_right_ranks_first_and_asks_its_encoder_once(catalogue: Catalogue) -> None:
    answerer = system(catalogue)
    turns = asked.turns_of(answerer, DAY, 9)
    assert [one.case.slice for one in turns].count("unanswerable") == 4
    assert all(one.right for one in turns)
    assert all(one.first for one in turns if one.wanted and "France" not in one.case.question)
    assert isinstance(answerer.index, Index)
    assert answerer.index.encoder.calls == 1, "names that do not exist are looked for among what was found"  # type: ignore[attr-defined]
    figures = asked_figures(Asked(turns, batches=asked.batches_of(KNOWN), problem=""))
    settings = figures["timeliness_and_selective"]
    assert (named(settings, "FreshHit").value, named(settings, "FreshHit").n) == (1.0, 5)
    assert (named(settings, "correct refusal").value, named(settings, "out of date").value) == (1.0, 0.0)
    assert named(figures["retrieval"], "nDCG@10").value > 0.9
    assert (named(figures["groundedness"], "citation coverage").value) == 1.0
    assert figures["efficiency"] == []


def test_an_index_that_files_its_sentences_wrongly_is_seen(catalogue: Catalogue) -> None:
    good, bad = (
        asked_figures(Asked(asked.turns_of(system(catalogue, swapped=swapped), DAY, 12))) for swapped in (False, True)
    )
    assert high(bad["retrieval"], "nDCG@10") < low(good["retrieval"], "nDCG@10")
    for name in ("Brier", "ACE", "AURC"):
        worse, better = (named(one["timeliness_and_selective"], name, "answerable") for one in (bad, good))
        assert worse.value > better.value


def test_a_system_that_answers_what_has_ended_is_seen(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    answerer = system(catalogue)
    right = answerer.ask_many

    def stale(self: Any, questions: Sequence[str], setting: str, day: date) -> Any:
        return right(questions, setting, date(2021, 1, 1))

    monkeypatch.setattr(Answerer, "ask_many", stale)
    figures = asked_figures(Asked(asked.turns_of(answerer, DAY, 9)))["timeliness_and_selective"]
    assert named(figures, "out of date").value == pytest.approx(1 / 5)
    assert named(figures, "FreshHit").value == pytest.approx(4 / 5)
    assert named(figures, "correct refusal").value == pytest.approx(3 / 4)


def test_tokens_are_those_of_the_readers_prompt_and_the_answer(catalogue: Catalogue, tiny_llama: LoadedModel) -> None:
    from pipelines.answering.reader import FORMS

    answerer = system(catalogue)
    turns = asked.turns_of(answerer, DAY, 9, loaded=tiny_llama)
    for one in turns:
        assert (one.tokens == 0) == (one.case.slice == "unanswerable")
    one = next(turn for turn in turns if "Peru" in turn.case.question)
    (resolved,) = answerer.resolver.resolve_many([one.case.question], DAY)
    (reading,) = answerer.wording.readings(resolved)
    prompt = FORMS[answerer.policy.reader.form](tiny_llama.tokenizer, reading)
    assert one.tokens == sum(len(tiny_llama.tokenizer(text)["input_ids"]) for text in (prompt, " Lima"))
    spent = named(asked_figures(Asked(turns))["efficiency"], "tokens per turn")
    assert (spent.unit, spent.n) == ("tokens", 9)
    assert low([spent], "tokens per turn") < spent.value


def turn(sure: float, first: bool, release: int = 1) -> Turn:
    case = Case("Who?", ("Ann",))
    return Turn(case, Said("Ann" if first else "Bob", True), 1, (1,) if first else (4,), sure, 5, release)


def test_an_index_that_boasts_is_seen_beside_one_that_knows_what_it_finds() -> None:
    honest = confidence_figures([turn(0.9, n % 10 != 0) for n in range(200)])
    boasting = confidence_figures([turn(0.99, n % 2 == 0) for n in range(200)])
    for name in ("Brier", "ACE"):
        assert low(boasting, name) > high(honest, name)
    sorting = confidence_figures([turn(0.9 if n % 2 else 0.1, n % 2 == 1) for n in range(200)])
    assert high(sorting, "AURC") < low(boasting, "AURC")
    assert confidence_figures([]) == []


def test_facts_in_the_weights_are_read_and_one_that_is_lost_is_seen(
    catalogue: Catalogue, tiny_llama: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = [*KNOWN[:3], *(replace(item, memory="memit", release=2) for item in KNOWN[3:])]
    answerer = system(catalogue, known)

    def reader(lost: str) -> Any:
        def read(loaded: LoadedModel, texts: Sequence[str]) -> list[Reading]:
            sizes = [len(loaded.tokenizer(text)["input_ids"]) - 1 for text in texts]
            return [
                Reading(t, (0.0,) * n, (*[True] * (n - 1), lost not in t)) for t, n in zip(texts, sizes, strict=True)
            ]

        return read

    monkeypatch.setattr(asked, "read", reader("nothing"))
    found = asked.recall(answerer, tiny_llama, DAY)
    assert [(one.says, one.same) for one in found] == [(True, True)] * 4
    monkeypatch.setattr(asked, "read", reader("Lima"))
    figures = asked_figures(Asked(recalled=asked.recall(answerer, tiny_llama, DAY)))
    assert named(figures["maintainability"], "edit success").value == pytest.approx(3 / 4)
    assert named(figures["P3"], "conflict consistency").value == pytest.approx(3 / 4)
    monkeypatch.setattr(asked, "read", reader("nothing"))
    other = [replace(one, fact=replace(one.fact, object="Oslo")) if one is known[3] else one for one in known]
    split = asked.recall(replace(answerer, facts=other), tiny_llama, DAY)
    assert all(one.same for one in split), "the index follows the facts that it is asked of"
    assert asked.recall(system(catalogue), tiny_llama, DAY) == (), "nothing is in the weights"


def test_a_first_batch_that_later_ones_wear_away_has_a_slope_and_one_batch_has_none() -> None:
    facts = [Fact(f"Thing {n}", "capital", f"Town {n}") for n in range(20)]
    held = [KnownFact(fact, "memit", 1 if n < 10 else 2) for n, fact in enumerate(facts)]
    worn = Asked(recalled=tuple(Recalled(one, one.release == 2 or n < 2, True) for n, one in enumerate(held)))
    worn = replace(worn, batches=asked.batches_of(held))
    kept = retention("recall", checks_now([], worn))
    assert kept.slope is not None
    assert kept.slope.high < 0
    assert kept.half_life.edits == 10
    assert kept.long_term is not None
    assert kept.long_term.value == pytest.approx(0.2)
    alone = replace(worn, recalled=worn.recalled[10:], batches={"weights": {2: 10}, "index": {}})
    single = retention("recall", checks_now([], alone))
    assert (single.slope, single.half_life.edits, single.long_term) == (None, None, None)


def test_an_index_that_forgets_its_earlier_batches_is_seen() -> None:
    batches = {"index": {1: 50, 2: 50, 3: 50}, "weights": {}}
    turns = [turn(0.9, n % 3 > release - 1 or release == 3, release) for release in (1, 2, 3) for n in range(30)]
    worn = [replace(one, said=Said("Ann" if one.release == 3 else "Bob", True)) for one in turns]
    even = [replace(one, said=Said("Ann" if n % 2 else "Bob", True)) for n, one in enumerate(turns)]
    falling, flat = (
        asked_figures(Asked(tuple(part), batches=batches), frozenset({1, 2}))["P4"] for part in (worn, even)
    )
    assert high(falling, "slope per 100 edits") < 0
    assert named(falling, "long-term retention").value == 0.0
    assert low(flat, "slope per 100 edits") < 0 < high(flat, "slope per 100 edits")
    level = asked_figures(Asked(tuple(turn(0.9, True, one.release or 0) for one in turns), batches=batches))["P4"]
    assert named(level, "slope per 100 edits").about.endswith("resamples have no spread")
    once = Asked(tuple(turns[:30]), batches={"index": {1: 50}, "weights": {}})
    assert asked_figures(once)["P4"] == []


def test_half_of_the_questions_ask_what_later_releases_brought(catalogue: Catalogue) -> None:
    many = [KnownFact(Fact(f"Land {n}", "capital", f"Town {n}"), "rag", 1 + n % 2) for n in range(80)]

    def newer(share: float, first: int = 2) -> int:
        found = drawn(many, catalogue, DAY, 30, first=frozenset({first}), share=share)
        return sum(item.release == first for one in found for item in one.about)

    assert (newer(1.0), newer(0.5), newer(0.5, 1)) == (20, 10, 10)
    few = [replace(one, release=2) if n < 3 else replace(one, release=1) for n, one in enumerate(many)]
    found = drawn(few, catalogue, DAY, 30, first=frozenset({2}), share=0.5)
    assert sum(item.release == 2 for one in found for item in one.about) == 3
    old = drawn(many[:24], catalogue, DAY, 30, first=frozenset({1, 2}), share=0.5)
    assert sum(bool(one.about) for one in old) == 20, "where nothing else is known, more of the newer is asked"


def test_what_cannot_be_opened_is_told_and_nothing_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(*_: Any) -> Any:
        raise OSError("the index is gone")

    monkeypatch.setenv("DMMGOV_MODELS", str(tmp_path))
    bare = asked.ask(Home.at(tmp_path), SimpleNamespace(number=1), DAY, count=5)  # type: ignore[arg-type]
    assert "dmmgov models pull minilm" in bare.problem
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr("pipelines.running.models.is_pulled", lambda *_: True)
    monkeypatch.setattr("pipelines.answer.open_answerer", closed)
    found = asked.ask(SimpleNamespace(), SimpleNamespace(number=1), DAY, count=5)  # type: ignore[arg-type]
    assert (found.turns, found.problem) == ((), "the index is gone")
    assert asked_figures(found)["retrieval"] == asked_figures(found)["P4"] == []
