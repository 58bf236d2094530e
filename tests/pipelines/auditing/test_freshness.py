"""The freshness audit: replay, the questions of the three settings, what checks show, piles, recognition."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import delete, text

from editors.load import LoadedModel
from guards.position import FIRST, LAST, MIDDLE
from guards.timeliness import measure
from pipelines.answer import Answerer
from pipelines.auditing import freshness as freshness_audit
from pipelines.auditing.piling import ALONE, draw_piles, given_to_reader
from pipelines.auditing.recall import candidates_of, follow, preferences
from pipelines.auditing.replay import replay, runs_of
from pipelines.auditing.staleness import CHECKED
from pipelines.auditing.timeliness import asked, draw_cases
from pipelines.bench.rows import BenchRow
from pipelines.settings import Settings
from registry import tables
from registry.catalogue import Catalogue
from registry.errors import InputError
from registry.facts import FactEvent
from registry.home import Home
from registry.ledger import Ledger
from registry.records import Fact, KnownFact, LedgerEntry
from registry.releases import ReleaseStore
from registry.shredding import opened

START = datetime(2026, 1, 10, 12, tzinfo=UTC)
DAY = date(2026, 2, 1)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Settings.load().catalogue


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The maker of homes of benchmarks/."""
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[3]))
    return import_module("benchmarks.made_home")


@pytest.fixture
def bare(tmp_path: Path, made: Any) -> Home:
    """A home with 60 made facts in three releases, without MLflow."""
    home = Home.at(tmp_path / "bare")
    made.made_home(home, Settings.load().catalogue, 60, releases=3)
    return home


def test_a_replay_comes_to_the_kept_state_and_a_lost_event_is_seen(bare: Home) -> None:
    with Ledger.open(bare) as ledger:
        champion = ReleaseStore(ledger).get("champion")
        panel = replay(ledger, champion)
        assert panel.coverage is not None
        assert panel.supported is not None
        assert (panel.coverage.value, panel.coverage.n, panel.supported.value) == (1.0, 60, 1.0)
        assert panel.same_state
        with ledger.engine.begin() as connection:
            connection.execute(text("DROP TRIGGER facts_no_delete"))
            connection.execute(delete(tables.facts).where(tables.facts.c.seq == 7))
        spoilt = replay(ledger, champion)
        assert spoilt.coverage is not None
        assert spoilt.coverage.value == pytest.approx(59 / 60)
        assert not spoilt.same_state


def test_runs_of_a_log_begin_with_their_feed() -> None:
    kinds = ["model", "feed", "admitted", "routed", "fact", "published", "alias", "registered", "feed", "refused"]
    assert runs_of(kinds) == [["read", "admit", "route", "write", "publish", "serve"], ["read", "admit"]]


def test_the_audit_tells_everything_without_a_model(bare: Home) -> None:
    with Ledger.open(bare) as ledger:
        before = ledger.head()
        champion, day = ReleaseStore(ledger).get("champion"), date(2034, 1, 1)
        found = freshness_audit.freshness_audit(bare, ledger, champion, day)
        light = freshness_audit.freshness_audit(bare, ledger, champion, day, panels=False)
        assert (light.schedule, light.memory.p2.coverage) == (found.schedule, None), "the schedule needs no replay"
        assert ledger.head() == before, "an audit records nothing"
    values = found.to_dict()
    assert values["staleness"]["facts"] == 60
    assert values["due"]["facts"] == sum(one.due for one in found.schedule) > 0
    assert values["due"]["next"][0]["risk_tier"] == "high"
    assert values["long_memory"]["p2"]["same_state"] is True
    assert (values["retention"], values["timeliness"], values["verdicts"]) == (None, None, [])


OLD = Fact("France", "head_of_government", "Jean Castex", date(2020, 7, 3), date(2022, 5, 16))
NEW = Fact("France", "head_of_government", "Élisabeth Borne", date(2022, 5, 16))
GONE = Fact("Kuwait", "head_of_government", "Sabah Khalid", date(2019, 11, 21), date(2023, 12, 20))
STILL = [Fact(name, "capital", city) for name, city in (("Peru", "Lima"), ("Chad", "N'Djamena"), ("Fiji", "Suva"))]
KNOWN = [KnownFact(one, "rag", 2 if one is NEW else 1) for one in (OLD, NEW, GONE, *STILL)]


def test_questions_ask_what_changed_what_ended_and_what_does_not_exist(catalogue: Catalogue) -> None:
    cases = draw_cases(KNOWN, catalogue, DAY, 6, first=frozenset({2}))
    assert [case.slice for case in cases] == ["answerable"] * 4 + ["unanswerable"] * 2
    assert "France" in cases[0].question, "what the newer release brought comes first"
    assert "Jean Castex" in cases[0].superseded
    assert "Élisabeth Borne" in cases[0].current
    assert "Kuwait" in cases[4].question
    assert cases[4].superseded == ("Sabah Khalid",)
    assert cases == draw_cases(list(reversed(KNOWN)), catalogue, DAY, 6, first=frozenset({2}))
    assert draw_cases([], catalogue, DAY, 0) == ()


def test_a_frozen_snapshot_answers_out_of_date_and_a_newer_one_does_not(catalogue: Catalogue) -> None:
    cases = draw_cases(KNOWN, catalogue, DAY, 6, first=frozenset({2}))
    before = [KnownFact(replace(OLD, valid_to=None), "rag", 1), *KNOWN[3:]]
    said = {
        name: asked(Answerer(catalogue, facts, None, None), cases, name, DAY, catalogue)
        for name, facts in (("offline", before), ("online", KNOWN))
    }
    measured = measure(cases, said)
    counts = {name: measured.score(name, "answerable") for name in said}
    assert counts["online"] is not None
    assert counts["offline"] is not None
    assert (counts["online"].right.count, counts["online"].outcomes["out_of_date"].count) == (4, 0)
    assert (counts["offline"].right.count, counts["offline"].outcomes["out_of_date"].count) == (3, 1)
    refused = measured.score("online", "unanswerable")
    assert refused is not None
    assert refused.right.count == 2
    assert [one.cited and one.supported for one in said["online"]] == [one.known for one in said["online"]]
    assert sum(one.supported for one in said["offline"]) >= 4, "an answer that is out of date has its fact as well"


def written(number: int, release: int) -> FactEvent:
    fact = Fact(f"Thing {number}", "capital", f"Town {number}")
    return FactEvent(number, "assert", fact, None, START + timedelta(days=release), "memit", release)


def checked(event: FactEvent, right: bool, days: int) -> LedgerEntry:
    payload = {"fact": event.fact.id, "right": right}
    return LedgerEntry(0, CHECKED, "tester", START + timedelta(days=days), payload, "")


def test_recorded_checks_are_placed_by_the_facts_written_since() -> None:
    events = [written(0, 1), written(1, 1), written(2, 2), written(3, 3)]
    indexed = replace(written(4, 2), memory="rag")
    entries = [
        checked(events[0], True, 2),
        checked(events[0], False, 5),
        checked(events[3], True, 5),
        checked(indexed, True, 5),
        checked(events[2], True, 0),
    ]
    found = freshness_audit.checks_of([*events, indexed], entries)
    placed = {(one.fact_id, one.edits_after): one.right for one in found}
    first, last = events[0].fact.id, events[3].fact.id
    assert placed == {(first, 0): True, (first, 1): True, (first, 2): False, (last, 0): True}


def test_checking_what_is_due_asks_the_weights_and_is_recorded(
    bare: Home, made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fact = Fact("Rurium", "chemical_symbol", "Ru")
    many = [replace(written(number, 5), fact=Fact(f"T {number}", "continent", "Asia")) for number in range(600)]
    with Ledger.open(bare) as ledger:
        made.record_release(bare, ledger, [replace(written(0, 4), fact=fact)], (), START)
        made.record_release(bare, ledger, many, (), START + timedelta(days=1))
    catalogue = Settings.load().catalogue
    settings: list[str] = []

    def ask_many(questions: list[str], setting: str, day: date) -> list[Any]:
        settings.extend(setting for _ in questions)
        return [SimpleNamespace(known=True, text="Ru") for _ in questions]

    answerer = Answerer(catalogue, [KnownFact(fact, "memit", 4)], None, None)
    monkeypatch.setitem(vars(answerer), "ask_many", ask_many)
    monkeypatch.setattr("pipelines.answer.open_answerer", lambda *_: answerer)
    (payload,) = freshness_audit.check_due(bare, 50, START.date() + timedelta(days=2), "tester")
    assert (payload["fact"], payload["right"], settings) == (fact.id, True, ["parametric"])
    with Ledger.open(bare) as ledger:
        with ledger.read() as connection:
            assert opened(connection, [dict(entry.payload) for entry in ledger.entries(CHECKED)]) == [payload]
        kept = freshness_audit.recorded_retention(ledger, ReleaseStore(ledger).get("champion"))
    assert kept is not None
    assert (kept.half_life.seen, kept.half_life.lost) == (600, 0)


def test_the_supporting_fact_stands_where_it_is_put_and_its_object_is_not_the_true_one(catalogue: Catalogue) -> None:
    facts = [Fact(f"Land {number}", "capital", f"Town {number}") for number in range(12)]
    facts += [Fact("Rurium", "discoverer", "A"), Fact("Rurium", "discoverer", "B")]
    (pile, other) = draw_piles(facts, catalogue, 2, most=5)
    assert pile != other
    assert pile.fact.object != f"Town {pile.fact.subject.split()[1]}"
    assert pile.fact.object not in {one.object for one in pile.others}
    own = catalogue.statement(pile.fact)
    for place, at in ((FIRST, 0), (MIDDLE, 2), (LAST, 4)):
        given = given_to_reader(pile, 5, place, catalogue).case.statement
        statements = [catalogue.statement(one) for one in pile.others[:4]]
        statements.insert(at, own)
        assert given == " ".join(statements)
    assert given_to_reader(pile, 1, ALONE, catalogue).case.statement == own
    with pytest.raises(InputError, match="9 other facts"):
        given_to_reader(pile, 10, LAST, catalogue)
    with pytest.raises(InputError, match="more than 41 facts"):
        draw_piles(facts, catalogue, 1)


ROWS = [
    BenchRow(f"Land {number}", "capital", f"The capital of Land {number} is", f"Town {number % 3}", "Lima")
    for number in range(4)
]


def test_candidates_hold_the_right_object_once_and_others_of_its_kind() -> None:
    for row, names in zip(ROWS, candidates_of(ROWS, count=3), strict=True):
        assert names[:2] == (row.target_new, "Lima")
        assert len(set(names)) == 3


def test_the_preferred_candidate_is_the_likeliest(tiny_llama: LoadedModel) -> None:
    import torch

    model, tokenizer = tiny_llama.model, tiny_llama.tokenizer
    prompt, names = "The capital of Peru is", ("Lima", "Rome", "Oslo")
    expected = []
    for name in names:
        given, wanted = tokenizer(prompt)["input_ids"], tokenizer(f" {name}", add_special_tokens=False)["input_ids"]
        with torch.inference_mode():
            logs = model(torch.tensor([[*given, *wanted]])).logits[0].float().log_softmax(dim=-1)
        chosen = [logs[len(given) - 1 + place, token].item() for place, token in enumerate(wanted)]
        expected.append(sum(chosen) / len(chosen))
    best = expected.index(max(expected))
    assert preferences(tiny_llama, [(prompt, names), (prompt, names[::-1])]) == [best, 2 - best]
    with pytest.raises(InputError, match="candidates for every prompt"):
        preferences(tiny_llama, [(prompt, ())])


def test_edits_are_checked_by_age_and_the_model_comes_out_as_it_went_in(tiny_llama: LoadedModel) -> None:
    on: list[int] = []

    def fit(_: Any, __: Any, requests: Any, ___: Any) -> Any:
        return SimpleNamespace(
            effects=[SimpleNamespace(state="written") for _ in requests],
            apply=lambda _: on.append(1),
            revert=lambda _: on.pop(),
        )

    found = follow(tiny_llama, SimpleNamespace(fit=fit), None, ROWS, 2)
    ages = sorted((one.fact_id, one.edits_after) for one in found.checks["recall"])
    assert ages == [("0", 0), ("0", 2), ("1", 0), ("1", 2), ("2", 0), ("3", 0)]
    assert on == []
    assert found.written == {"written": 4}
    assert {len(checks) for checks in found.checks.values()} == {6}
