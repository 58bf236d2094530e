"""Lag, staleness and the schedule, from small homes whose every moment is known."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from guards.forgetting import plan
from pipelines.auditing.staleness import CHECKED, Staleness, staleness
from pipelines.settings import Settings
from registry.errors import IntegrityError
from registry.facts import FactEvent
from registry.home import Home
from registry.ledger import Ledger
from registry.records import Fact
from registry.releases import ReleaseStore

START = datetime(2026, 1, 10, 12, tzinfo=UTC)
LEADER = Fact("Ruritania", "head_of_government", "Ada Marsh", date(2025, 3, 1), source="gazette")
CAPITAL = Fact("Ruritania", "capital", "Strelsau", source="gazette")
SYMBOL = Fact("Rurium", "chemical_symbol", "Ru", source="gazette")
WAITING = Fact("Ruritania", "currency", "crown", source="a voice")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An empty home; nothing here needs MLflow."""
    return Home.at(tmp_path / "home")


@pytest.fixture
def look(home: Home, ledger: Ledger) -> Any:
    """What the record of the champion says on a day."""
    catalogue = Settings.load().catalogue

    def staleness_on(today: date) -> Staleness:
        return staleness(home, ledger, ReleaseStore(ledger).get("champion"), catalogue, today)

    return staleness_on


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The maker of homes of benchmarks/."""
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[3]))
    return import_module("benchmarks.made_home")


def brings(fact: Fact, memory: str = "rag") -> FactEvent:
    return FactEvent(0, "assert", fact, None, START, memory, 0)


@pytest.fixture
def told(home: Home, ledger: Ledger, made: Any) -> None:
    """Three facts in two releases; one was first quarantined, one is still, one was said again."""
    first = (
        made.feed_row(1, "ADD", LEADER, "2026-01-08"),
        made.feed_row(2, "quarantined", CAPITAL, "2026-01-09T14:00:00+02:00"),
        made.feed_row(3, "quarantined", WAITING),
        made.feed_row(4, "refused", SYMBOL, "2026-01-01"),
    )
    made.record_release(home, ledger, [brings(LEADER)], first, START, 60)
    second = (
        made.feed_row(1, "ADD", CAPITAL, "2026-01-11"),
        made.feed_row(2, "NOOP", replace(LEADER, source="Reuters"), "2026-01-12", LEADER.id),
        made.feed_row(3, "ADD", SYMBOL),
    )
    made.record_release(home, ledger, [brings(CAPITAL), brings(SYMBOL, "memit")], second, START + timedelta(days=2), 30)


@pytest.mark.usefixtures("told")
def test_lag_runs_from_the_first_sight_of_a_fact_to_the_release_that_answers_with_it(look: Any) -> None:
    found = look(date(2026, 1, 12))
    assert found.states == {"served": 3, "waiting": 1}
    by = {(one["part"], one["name"]): one for one in found.lags}
    everything, capital = by["all", ""], by["relation", "capital"]
    assert (everything["n"], everything["observed"]) == (3, 2)
    day = 86_400
    assert capital["arrival_median"] == pytest.approx(day)
    assert capital["handling_median"] == pytest.approx(2 * day + 30), "it waited in quarantine for two days"
    assert capital["total_median"] == pytest.approx(3 * day + 30)
    assert by["relation", "head_of_government"]["total_median"] == pytest.approx(2.5 * day + 60)
    assert by["memory", "memit"]["total_median"] is None, "its feed did not say when it was seen"


@pytest.mark.usefixtures("told")
def test_age_is_counted_from_the_last_source_that_said_so(look: Any) -> None:
    histories = {one.fact_id: one for one in look(date(2026, 2, 1)).histories}
    leader, symbol = histories[LEADER.id], histories[SYMBOL.id]
    assert (leader.last_confirmed, leader.confirmations) == (date(2026, 1, 12), 1)
    assert (leader.lifetime_days, leader.risk_tier, leader.memory) == (1500, "high", "rag")
    assert (symbol.last_confirmed, symbol.lifetime_days, symbol.edits_since) == (date(2026, 1, 12), None, 0)
    assert leader.edits_since == 1, "one fact was written into the weights since; the index does not mind"


@pytest.mark.usefixtures("told")
def test_what_is_older_than_its_relation_holds_is_overdue(look: Any) -> None:
    assert look(date(2026, 1, 12) + timedelta(days=1500)).overdue == ()
    late = look(date(2026, 1, 12) + timedelta(days=1501))
    assert [(one["object"], one["age_days"], one["lifetime_days"]) for one in late.overdue] == [
        ("Ada Marsh", 1501, 1500)
    ]
    relations = {one["relation"]: one["overdue_facts"] for one in late.relations}
    assert relations == {"head_of_government": 1, "capital": 0, "chemical_symbol": 0}
    assert late.to_dict()["overdue_facts"] == 1


@pytest.mark.usefixtures("told")
def test_checks_in_the_ledger_decide_what_is_due(look: Any, ledger: Ledger) -> None:
    def check(right: bool, days: int) -> None:
        with ledger.transaction() as txn:
            payload = {"fact": SYMBOL.id, "right": right, "said": "Ru"}
            ledger.append(txn, CHECKED, payload, "tester", START + timedelta(days=days))

    def symbol() -> Any:
        return next(one for one in look(date(2026, 2, 1)).histories if one.fact_id == SYMBOL.id)

    check(True, 3)
    check(True, 4)
    assert (symbol().recalls, symbol().failed) == (2, False)
    check(False, 5)
    assert (symbol().recalls, symbol().failed) == (0, True)
    (first, *_) = plan(look(date(2026, 2, 1)).histories, date(2026, 2, 1))
    assert (first.fact_id, first.ask, first.due) == (SYMBOL.id, "system", True)
    check(True, 6)
    assert not any(one.due for one in plan(look(date(2026, 2, 1)).histories, date(2026, 2, 1)))


def test_a_home_without_feed_rows_has_ages_and_no_lags(home: Home, ledger: Ledger, made: Any, look: Any) -> None:
    made.record_release(home, ledger, [brings(LEADER)], (), START)
    found = look(date(2026, 3, 1))
    assert found.lags[0]["n"] == 0
    assert found.states == {}
    assert [one.last_confirmed for one in found.histories] == [START.date()]


def test_a_snapshot_that_was_changed_is_an_error_not_a_figure(home: Home, ledger: Ledger, made: Any, look: Any) -> None:
    release = made.record_release(home, ledger, [brings(LEADER)], (), START)
    path = home.snapshots / release.facts_snapshot / "facts.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(IntegrityError):
        look(date(2026, 3, 1))


def test_a_made_home_holds_what_was_asked_for(home: Home, ledger: Ledger, made: Any, look: Any) -> None:
    made.made_home(home, Settings.load().catalogue, 300, releases=3, seed=1)
    found = look(date(2024, 6, 1))
    assert len(found.histories) == found.states["served"] == 300
    assert found.lags[0]["handling_most"] > 30 * 86_400, "what waited in quarantine waited a month"
    assert sum(one.confirmations > 0 for one in found.histories) > 0
