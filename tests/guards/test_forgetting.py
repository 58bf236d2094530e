import math
from dataclasses import replace
from datetime import date, timedelta
from random import Random

import pytest

from guards.forgetting import History, ReviewPolicy, next_due, passed_in_a_row, plan, retention_of

DAY = date(2026, 1, 1)
LEADER = History("a", "Ruritania · leader · Ada", "leader", "high", 1500, "rag", DAY)
CAPITAL = History("b", "Ruritania · capital · Strelsau", "capital", "medium", 18250, "rag", DAY)
SYMBOL = History("c", "Gold · symbol · Au", "symbol", "low", None, "memit", DAY)
POLICY = ReviewPolicy()


def test_retention_is_ebbinghaus_and_a_confirmation_makes_it_last() -> None:
    after = DAY + timedelta(days=1500)
    assert retention_of(LEADER, DAY, POLICY) == 1.0
    assert retention_of(LEADER, after, POLICY) == pytest.approx(math.exp(-1))
    assert retention_of(replace(LEADER, confirmations=1), after, POLICY) == pytest.approx(math.exp(-1 / 2))
    assert retention_of(replace(LEADER, failed=True), DAY, POLICY) == 0.0


def test_edits_wear_the_weights_and_not_the_index() -> None:
    worn = replace(SYMBOL, edits_since=500)
    assert retention_of(worn, DAY, POLICY) == pytest.approx(math.exp(-1))
    assert retention_of(replace(worn, recalls=3), DAY, POLICY) == pytest.approx(math.exp(-1 / 4))
    assert retention_of(replace(worn, memory="rag"), DAY, POLICY) == 1.0


def test_strength_stops_growing_so_that_nothing_drops_out_of_sight() -> None:
    after = DAY + timedelta(days=15000)
    many, most = (retention_of(replace(LEADER, confirmations=times), after, POLICY) for times in (1000, 7))
    assert many == most


@pytest.mark.parametrize(
    ("checks", "row"), [([], 0), ([True, True], 2), ([True, False], 0), ([False, True, True, True], 3), ([False], 0)]
)
def test_a_failure_takes_all_strength_away(checks: list[bool], row: int) -> None:
    assert passed_in_a_row(checks) == row


def test_the_day_on_which_a_fact_is_due_is_the_first_below_its_threshold() -> None:
    for history in (LEADER, CAPITAL, replace(LEADER, confirmations=2)):
        (one,) = plan([history], DAY)
        assert one.due_on is not None
        assert not one.due
        (before,) = plan([history], one.due_on - timedelta(days=1))
        (then,) = plan([history], one.due_on)
        assert (before.due, then.due) == (False, True)
    assert plan([SYMBOL], DAY)[0].due_on is None, "days alone never make it due"
    assert plan([replace(SYMBOL, edits_since=1000)], DAY)[0].due_on == DAY


def test_risky_and_volatile_facts_come_first_and_order_of_the_record_does_not_matter() -> None:
    volatile = replace(LEADER, fact_id="d", lifetime_days=300)
    worn = replace(SYMBOL, edits_since=1000)
    record = [SYMBOL, replace(SYMBOL, fact_id="e", edits_since=1), worn, CAPITAL, LEADER, volatile]
    today = DAY + timedelta(days=9000)
    schedule = plan(record, today)
    assert [one.fact_id for one in schedule if one.due] == ["d", "a", "b", "c"]
    shuffled = list(record)
    Random(3).shuffle(shuffled)
    assert plan(shuffled, today) == schedule
    assert [one.fact_id for one in next_due(schedule, 2)] == ["d", "a"]
    assert [one.fact_id for one in next_due(schedule, 5, "system")] == ["c"]
    assert next_due(plan([LEADER], DAY), 5) == ()


def test_reasons_say_why_and_whom_to_ask() -> None:
    (one,) = plan([replace(LEADER, confirmations=1)], DAY + timedelta(days=800))
    assert one.ask == "source"
    assert "said by a source 800 days ago, 1 times again before, expected to hold 1500 days" in one.reasons
    (failed,) = plan([replace(LEADER, failed=True)], DAY)
    assert (failed.due, failed.ask, failed.due_on) == (True, "system", DAY)
    assert "the last check failed" in failed.reasons
