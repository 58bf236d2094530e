"""The freshness benchmark: what it measures without a model, and how its figures are told."""

import json
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from guards.longmemory import time_panel
from guards.position import Reading, position_score
from guards.retention import Check, retention
from guards.timeliness import Case, Said, measure
from pipelines.settings import Settings
from registry.records import Fact, KnownFact


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The modules of the benchmark by name."""
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2]))
    names = ("freshness", "freshness_report", "leaders")
    return SimpleNamespace(**{name: import_module(f"benchmarks.{name}") for name in names})


def test_speed_is_measured_and_told(scripts: SimpleNamespace, tmp_path: Path) -> None:
    out = tmp_path / "freshness.json"
    scripts.freshness.main(["--part", "speed", "--facts", "200", "--out", str(out)])
    found = json.loads(out.read_text())
    assert found["speed"]["states"] == {"served": 200}
    assert found["speed"]["replay"]["same_state"] is True
    told = scripts.freshness_report.freshness_section(found)
    assert "a made home of 200 facts" in told
    assert "| lag and staleness |" in told
    assert told.endswith("Not measured: settings, retention, position, order.")


def test_every_part_is_told_with_its_intervals(scripts: SimpleNamespace) -> None:
    cases = [Case("Who?", ("Ada",), ("Ben",))] * 20
    said = {"offline": [Said("Ben", True)] * 20, "online": [Said("Ada", True)] * 20}
    settings = {**asdict(measure(cases, said)), "n": 20, "day": "2026-01-01", "frozen": 1, "release": 2}
    checks = [Check(str(fact), edits, edits < 20 * fact) for fact in range(8) for edits in (0, 20, 40)]
    shipped = {kind: retention(kind, checks).to_dict() for kind in ("recall", "recognition")}
    places = [("alone", 1), ("first", 5), ("middle", 5), ("last", 5), ("first", 9), ("middle", 9), ("last", 9)]
    readings = [Reading(str(case), size, place, case > size) for place, size in places for case in range(12)]
    found = {
        "settings": settings,
        "retention": {"n": 8, "group": 4, "shipped": shipped},
        "position": {"n": 12, **position_score(readings).to_dict()},
    }
    told = scripts.freshness_report.freshness_section(json.loads(json.dumps(found)))
    assert "answerable, right: online less offline +1.00" in told
    assert "| 20 | 8 |" in told
    assert "half-life" in told
    assert "Per doubling of the pile" in told


ROWS: list[dict[str, Any]] = [
    {"country": country, "role": "chief_of_state", "person": person, "since": since}
    for country, person, since in (
        ("Peru", "Ana Cruz", "2011-07-28"),
        ("Peru", "Luis Soto", "2016-07-28"),
        ("Chad", "Idi Barka", None),
        ("Chad", "Old Barka", "1998"),
    )
]


def test_the_record_of_leaders_tells_who_came_first_and_refuses_where_it_has_no_day(scripts: SimpleNamespace) -> None:
    leaders, settings = scripts.leaders, Settings.load()
    known = [KnownFact(Fact("Peru", "head_of_state", "Ana Cruz", leaders.date(2011, 7, 28)), "rag", 1)]
    events = leaders.record_events(known, settings)
    true = leaders.true_events(ROWS, settings)
    assert len(true) == 2, "what has no day in truth is no dated event"
    assert time_panel(events, true, 365).event_f1 == pytest.approx(2 / 3)
    (pair,) = leaders.draw_pairs(ROWS, settings, 5, seed=0)
    assert leaders.by_record([pair], events) == [None]
    known.append(KnownFact(Fact("Peru", "head_of_state", "Luis Soto", leaders.date(2016, 7, 28)), "rag", 1))
    assert leaders.by_record([pair], leaders.record_events(known, settings)) == [pair.truth]
    swapped = {event: day for event, day in zip(true, reversed(list(true.values())), strict=True)}
    assert leaders.by_record([pair], swapped) not in ([None], [pair.truth])
