"""Which version holds: valid time first, recorded time second, and never a guess about the past."""

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from pipelines.answering.picking import pick
from registry.catalogue import Catalogue, Relation
from registry.records import Fact, KnownFact

ATLAS = Path(__file__).resolve().parents[3] / "examples" / "atlas" / "relations.yaml"
DAY = date(2024, 6, 1)


def known(value: str, since: date | None = None, until: date | None = None, recorded: int = 1) -> KnownFact:
    moment = datetime(2024, 1, recorded, tzinfo=UTC)
    return KnownFact(Fact("Norway", "head_of_state", value, since, until, moment, "gazette"), "rag", 1)


@pytest.fixture(scope="module")
def one() -> Relation:
    return Catalogue.read(ATLAS).relation("head_of_state")


def said(found: tuple[KnownFact, ...]) -> list[str]:
    return [item.fact.object for item in found]


def test_valid_time_decides_then_recorded_time(one: Relation) -> None:
    old, new = known("Olav", date(1957, 9, 21), date(1991, 1, 17)), known("Harald", date(1991, 1, 17))
    assert said(pick([new, old], date(1980, 1, 1), one).facts) == ["Olav"]
    assert said(pick([new, old], date(1991, 1, 17), one).facts) == ["Harald"]
    later = known("Haakon", date(2024, 3, 1))
    chosen = pick([later, new], DAY, one)
    assert said(chosen.facts) == ["Haakon"]
    assert "instead of Harald" in chosen.why
    corrected = known("Harald V", date(1991, 1, 17), recorded=9)
    assert said(pick([corrected, new], DAY, one).facts) == ["Harald V"]
    assert said(pick([new, corrected], DAY, one).facts) == ["Harald V"]


def test_contradiction_of_equal_age_is_said(one: Relation) -> None:
    weak = known("Somebody")
    weak = replace(weak, fact=replace(weak.fact, confidence=0.4))
    chosen = pick([known("Harald"), weak], DAY, one)
    assert said(chosen.facts) == ["Harald"]
    assert "instead of Somebody" in chosen.why
    assert said(pick([weak, known("Harald")], DAY, one).facts) == ["Harald"]


def test_what_ended_or_has_not_begun_is_no_answer(one: Relation) -> None:
    assert "ended on 1991-01-17" in pick([known("Olav", None, date(1991, 1, 17))], DAY, one).why
    assert "begins on 2025-01-01" in pick([known("Ingrid", date(2025, 1, 1))], DAY, one).why
    assert pick([], DAY, one).why == "nothing is known of it"


def test_an_unrecorded_beginning_does_not_reach_far_back(one: Relation) -> None:
    assert one.lifetime_days is not None
    assert said(pick([known("Harald")], DAY, one).facts) == ["Harald"]
    refused = pick([known("Harald")], date(1950, 1, 1), one)
    assert refused.facts == ()
    assert "since when it holds is not recorded" in refused.why
    assert said(pick([known("Harald")], date(1950, 1, 1), replace(one, lifetime_days=None)).facts) == ["Harald"]
    assert said(pick([known("Harald", date(1940, 1, 1))], date(1950, 1, 1), one).facts) == ["Harald"]


def test_many_objects_hold_together_each_once(one: Relation) -> None:
    many = replace(one, cardinality="many")
    items = [known("German"), known("French", recorded=2), known("german", recorded=3), known("Latin", None, DAY)]
    assert said(pick(items, DAY, many).facts) == ["French", "german"]
