from datetime import date

import pytest

from guards.longmemory import (
    LongMemory,
    anchoring_error,
    came_first,
    event_score,
    order_score,
    step_order,
    time_panel,
)

EARLY, LATE = date(2020, 1, 1), date(2021, 1, 1)
STEPS = ("read", "admit", "write", "guard", "publish")


def test_which_came_first_and_when_there_is_no_answer() -> None:
    assert came_first(EARLY, LATE) == "first"
    assert came_first(LATE, EARLY) == "second"
    assert came_first(EARLY, EARLY) is came_first(None, LATE) is came_first(EARLY, None) is None
    score = order_score(["first", "second", None], ["first", "first", None])
    assert score is not None
    assert score.value == pytest.approx(2 / 3)
    assert order_score([], []) is None


def test_anchoring_error_is_the_distance_over_the_window() -> None:
    assert anchoring_error(EARLY, EARLY, 10) == 0
    assert anchoring_error(LATE, EARLY, 3660) == pytest.approx(0.1)
    assert anchoring_error(LATE, EARLY, 10) == anchoring_error(None, EARLY, 10) == 1
    with pytest.raises(ValueError, match="at least a day"):
        anchoring_error(EARLY, EARLY, 0)


def test_events_are_compared_as_sets() -> None:
    score = event_score({"a", "b", "c", "x"}, {"a", "b", "c", "d", "e"})
    assert score.found == 3
    assert score.f1 == pytest.approx(2 * 3 / 9)
    assert score.precision is not None
    assert score.precision.value == 0.75
    assert event_score(set(), {"a"}).f1 == event_score({"x"}, {"a"}).f1 == event_score(set(), set()).f1 == 0


def test_a_log_in_order_and_one_that_is_not() -> None:
    right, wrong = step_order([STEPS], STEPS), step_order([STEPS[::-1]], STEPS)
    assert right is not None
    assert wrong is not None
    assert (right.value, right.n, wrong.value) == (1.0, 10, 0.0)
    swapped = step_order([("admit", "read", "other", "read", "publish"), ("read", "admit")], STEPS)
    assert swapped is not None
    assert swapped.n == 4
    assert swapped.value == pytest.approx(3 / 4)
    assert step_order([("admit", "other"), ()], STEPS) is None


def test_the_panel_of_time_sees_a_wrong_day_and_a_missing_event() -> None:
    true = {"a": EARLY, "b": LATE}
    perfect = time_panel({**true}, true, 366)
    assert perfect.event_f1 == 1
    assert perfect.anchoring_error is not None
    assert perfect.anchoring_error.value == 0
    spoilt = time_panel({"a": LATE}, true, 366)
    assert spoilt.event_f1 == 0
    assert spoilt.anchoring_error is not None
    assert spoilt.anchoring_error.value == 1
    assert time_panel({}, {}, 366).event_f1 is None


def test_a_record_without_measurements_says_so() -> None:
    values = LongMemory().to_dict()
    assert values["p2"]["coverage"] is None
    assert values["p4"]["half_life"] == "not measured"
