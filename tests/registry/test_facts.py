"""Facts in two times: what a view says, and that the query over a snapshot says the same."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.artifacts import store
from registry.errors import InputError
from registry.facts import (
    FactEvent,
    FactStore,
    as_of_table,
    memory_counts,
    read_snapshot,
    stale,
    view,
    write_snapshot,
)
from registry.ledger import Ledger
from registry.records import Fact, KnownFact

START = datetime(2024, 1, 1, tzinfo=UTC)
PARIS = Fact("France", "capital", "Paris", date(2000, 1, 1), source="atlas", source_url="https://example.org/é")
LYON = Fact("France", "capital", "Lyon", date(2024, 6, 1), confidence=0.25, sensitivity="internal")


def event(
    seq: int, kind: Any, fact: Fact, *, end: date | None = None, release: int = 1, memory: str = "rag"
) -> FactEvent:
    moment = START + timedelta(hours=seq)
    return FactEvent(seq, kind, replace(fact, recorded_at=moment), end, moment, memory, release, f"reason {seq}")


CHANGE = [
    event(0, "assert", PARIS),
    event(1, "close", PARIS, end=date(2024, 6, 1), release=2),
    event(2, "assert", LYON, release=2, memory="memit"),
]


def objects(known: Sequence[KnownFact]) -> list[str]:
    return [one.fact.object for one in known]


@pytest.mark.parametrize(
    ("day", "found"),
    [
        (date(1999, 12, 31), []),
        (date(2000, 1, 1), ["Paris"]),
        (date(2024, 5, 31), ["Paris"]),
        (date(2024, 6, 1), ["Lyon"]),
        (date(2030, 1, 1), ["Lyon"]),
    ],
)
def test_a_change_has_its_day(day: date, found: list[str]) -> None:
    assert objects(view(CHANGE, valid_at=day)) == found


def test_before_the_change_was_known_the_old_fact_goes_on() -> None:
    known_at = START + timedelta(minutes=30)
    assert objects(view(CHANGE, valid_at=date(2025, 1, 1), known_at=known_at)) == ["Paris"]
    assert objects(view(CHANGE, known_at=START - timedelta(seconds=1))) == []


def test_a_release_that_is_not_in_the_lineage_brought_nothing() -> None:
    assert objects(view(CHANGE, valid_at=date(2025, 1, 1), releases=(1,))) == ["Paris"]
    assert objects(view(CHANGE, valid_at=date(2025, 1, 1), releases=(1, 2))) == ["Lyon"]
    assert view(CHANGE, releases=()) == []


def test_an_ended_fact_stays_readable_with_its_end_and_its_id() -> None:
    old, new = view(CHANGE)
    assert (old.fact.object, old.fact.valid_to, old.fact.id) == ("Paris", date(2024, 6, 1), PARIS.id)
    assert (new.fact.valid_to, new.memory, new.release, new.reason) == (None, "memit", 2, "reason 2")
    assert old.fact.recorded_at == START
    assert old.fact != PARIS


def test_of_several_ends_the_earliest_counts() -> None:
    events = [
        event(0, "assert", PARIS),
        event(1, "close", PARIS, end=date(2024, 3, 1)),
        event(2, "close", PARIS, end=date(2025, 3, 1)),
    ]
    assert view(events)[0].fact.valid_to == date(2024, 3, 1)
    own = event(0, "assert", replace(PARIS, valid_to=date(2023, 1, 1)))
    assert view([own, replace(events[1], fact=own.fact)])[0].fact.valid_to == date(2023, 1, 1)


def test_asserting_again_moves_the_fact_and_undoes_an_end() -> None:
    events = [CHANGE[0], CHANGE[1], event(2, "assert", PARIS, memory="memit", release=3)]
    (known,) = view(events)
    assert (known.memory, known.release, known.fact.valid_to) == ("memit", 3, None)
    assert known.fact.recorded_at == START


def test_a_retracted_fact_was_never_there_until_it_comes_again() -> None:
    events = [CHANGE[0], event(1, "retract", PARIS)]
    assert view(events) == []
    again = view([*events, event(2, "assert", PARIS)])
    assert again[0].fact.recorded_at == START + timedelta(hours=2)
    assert objects(view(events, known_at=START)) == ["Paris"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "forget"}, "assert, close or retract"),
        ({"valid_to": date(2024, 1, 1)}, "belongs to close"),
        ({"kind": "close"}, "belongs to close"),
        ({"recorded_at": datetime(2024, 1, 1)}, "zone"),
    ],
)
def test_an_event_that_cannot_be_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(CHANGE[0], **change)


@pytest.mark.parametrize("one", CHANGE)
def test_an_event_survives_its_plain_forms(one: FactEvent) -> None:
    assert FactEvent.from_dict(one.to_dict()) == one
    assert FactEvent.from_row(one.to_row()) == one
    assert FactEvent.derived_id(one.to_row()) == one.fact.id
    assert set(one.to_row()) == set(FactEvent.row_keys())


def test_the_store_gives_back_what_was_appended(ledger: Ledger) -> None:
    facts = FactStore(ledger)
    with ledger.transaction() as txn:
        facts.append_many(txn, CHANGE)
    assert facts.events() == CHANGE
    assert facts.events((2,)) == CHANGE[1:]
    assert facts.events(()) == []
    assert facts.next_seq() == 3
    assert [entry.payload["fact_id"] for entry in ledger.entries("fact")] == [PARIS.id, PARIS.id, LYON.id]
    assert ledger.verify() == []


@pytest.mark.parametrize("numbers", [(1,), (0, 0), (0, 2)])
def test_the_store_has_no_gap_and_no_double(ledger: Ledger, numbers: tuple[int, ...]) -> None:
    events = [event(number, "assert", PARIS) for number in numbers]
    with pytest.raises(ValueError, match="numbered from 0"), ledger.transaction() as txn:
        FactStore(ledger).append_many(txn, events)
    assert FactStore(ledger).events() == []


def test_a_snapshot_reads_back_and_equal_events_give_equal_bytes(tmp_path: Path) -> None:
    one = store(tmp_path / "a", lambda folder: write_snapshot(CHANGE, folder))
    other = store(tmp_path / "b", lambda folder: write_snapshot(list(reversed(CHANGE)), folder))
    assert one.digest == other.digest
    assert read_snapshot(one.path) == CHANGE
    fewer = store(tmp_path / "a", lambda folder: write_snapshot(CHANGE[:2], folder))
    assert fewer.digest != one.digest


def test_an_empty_snapshot_is_one(tmp_path: Path) -> None:
    write_snapshot([], tmp_path)
    assert read_snapshot(tmp_path) == []
    assert as_of_table(tmp_path).num_rows == 0


@pytest.mark.parametrize("content", [None, b"", b"PAR1 but not really"])
def test_a_snapshot_that_cannot_be_read_is_bad_input(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "facts.parquet").write_bytes(content)
    with pytest.raises(InputError, match="facts snapshot"):
        read_snapshot(tmp_path)


POOL = [replace(PARIS, object=f"city {number}", valid_from=date(2024, 1, 1 + number)) for number in range(3)]
DAYS = [date(2024, 1, day) for day in range(1, 8)]


@st.composite
def histories(draw: st.DrawFn) -> list[FactEvent]:
    """Any order of events about a few facts."""
    events = []
    for seq in range(draw(st.integers(0, 10))):
        kind = draw(st.sampled_from(["assert", "close", "retract"]))
        end = draw(st.sampled_from(DAYS)) if kind == "close" else None
        memory = draw(st.sampled_from(["rag", "memit"]))
        fact = draw(st.sampled_from(POOL))
        events.append(event(seq, kind, fact, end=end, release=draw(st.integers(1, 3)), memory=memory))
    return events


def flat(known: KnownFact) -> dict[str, Any]:
    """A known fact in the columns of `as_of_table`."""
    fact = known.fact
    names = ("subject", "relation", "object", "valid_from", "valid_to", "source", "source_url")
    rest = {"confidence": fact.confidence, "sensitivity": fact.sensitivity}
    assert fact.recorded_at is not None
    own = {"fact_id": fact.id, "recorded_at": fact.recorded_at.replace(tzinfo=None), "memory": known.memory}
    return {
        **{name: getattr(fact, name) for name in names},
        **rest,
        **own,
        "release": known.release,
        "reason": known.reason,
    }


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    events=histories(),
    valid_at=st.none() | st.sampled_from(DAYS),
    hours=st.none() | st.integers(-1, 10),
    releases=st.none() | st.sets(st.integers(1, 3)),
)
def test_the_query_says_what_the_view_says(
    tmp_path: Path, events: list[FactEvent], valid_at: date | None, hours: int | None, releases: set[int] | None
) -> None:
    known_at = None if hours is None else START + timedelta(hours=hours)
    write_snapshot(events, tmp_path)
    table = as_of_table(tmp_path, valid_at=valid_at, known_at=known_at, releases=releases)
    expected = view(events, valid_at=valid_at, known_at=known_at, releases=releases)
    assert sorted(table.to_pylist(), key=str) == sorted(
        ({name: flat(one)[name] for name in table.column_names} for one in expected), key=str
    )


def test_counts_by_memory(tmp_path: Path) -> None:
    write_snapshot([*CHANGE, event(3, "assert", POOL[0])], tmp_path)
    assert memory_counts(tmp_path, valid_at=date(2025, 1, 1)) == {"memit": 1, "rag": 1}
    assert memory_counts(tmp_path, valid_at=date(2025, 1, 1), releases=(1,)) == {"rag": 2}


def test_stale_are_those_past_their_relation_s_lifetime(tmp_path: Path) -> None:
    write_snapshot([event(0, "assert", PARIS), event(1, "assert", replace(PARIS, relation="founder"))], tmp_path)
    found = stale(tmp_path, {"capital": 10, "founder": None}, on=date(2024, 1, 31))
    assert [(one["relation"], one["age_days"], one["lifetime_days"]) for one in found] == [("capital", 30, 10)]
    assert stale(tmp_path, {"capital": 30}, on=date(2024, 1, 31)) == []
