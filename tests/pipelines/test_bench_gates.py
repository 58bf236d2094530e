"""The simulation of the gates: small numbers of families, judged as the benchmark judges a thousand."""

from dataclasses import replace

from benchmarks.gates import Truth, counted, measured, section
from guards.observations import ObservationKind
from pipelines.settings import Settings

POLICY = Settings.load().policy.gates
FACTS: dict[ObservationKind, int] = {"neighbourhood": 120, "drawdown": 200, "capability": 60}


def test_nothing_changed_blocks_nothing_and_a_planted_drop_is_seen_by_the_drop_test_alone() -> None:
    quiet = counted(15, 1, POLICY, "low", Truth(FACTS, {}))
    assert quiet["pass"] == 15
    planted = Truth(FACTS, {"drawdown": 0.06})
    seen = counted(15, 1, POLICY, "low", planted, "drawdown")
    assert seen["block"] >= 12
    assert seen["failed"] == {"drawdown": seen["block"]}
    blind = counted(15, 1, replace(POLICY, tolerated={}), "low", planted, "drawdown")
    assert blind["pass"] > seen["pass"], "the bound of the low tier does not look for a drop"


def test_what_is_not_written_or_less_likely_text_blocks() -> None:
    mute = counted(5, 2, POLICY, "low", Truth(FACTS, {}, written=0.3))
    assert mute["failed"]["efficacy"] == 5
    worse = counted(5, 2, POLICY, "high", Truth(FACTS, {}, nats=0.3))
    assert worse["failed"]["fluency"] == 5


def test_the_tables_hold_every_scenario() -> None:
    found = measured(1, POLICY)
    text = section(found)
    assert {row["scenario"] for row in found["null"]} == {"nothing changed", "at the tolerance"}
    assert set(found["stated_n"]) == {"neighbourhood", "drawdown", "capability"}
    assert text.count("(stated)") == 3
    assert "passed without reason" in text.lower()
