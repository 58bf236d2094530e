import numpy as np
import pytest

from guards.retention import Check, RetentionGuard, retention


def lost_after(lives: dict[str, int], steps: range) -> list[Check]:
    """Checks of facts, each right as long as fewer edits were made than its life."""
    return [Check(name, edits, edits < life) for name, life in lives.items() for edits in steps]


def test_the_survival_curve_is_kaplan_meiers_worked_example() -> None:
    """Freireich's 6-MP arm: survival .857 after 6, .807 after 7, .753 after 10, .690 at 13, .627 at 16, .538, .448."""
    times = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
    lost = [1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]
    checks = [Check(str(place), 0, True) for place in range(21)]
    checks += [Check(str(place), time, not gone) for place, (time, gone) in enumerate(zip(times, lost, strict=True))]
    found = retention("recall", checks)
    expected = {6: 0.857, 7: 0.807, 10: 0.753, 13: 0.690, 16: 0.627, 22: 0.538, 23: 0.448}
    assert found.survival == pytest.approx(expected, abs=5e-4)
    assert found.half_life.edits == 23
    assert (found.half_life.learnt, found.half_life.lost) == (21, 9)


def test_half_life_of_exponential_loss_lies_in_its_interval() -> None:
    lives = np.random.default_rng(1).exponential(100 / np.log(2), 200)
    found = retention("recall", lost_after({str(n): int(life) + 1 for n, life in enumerate(lives)}, range(0, 301, 10)))
    half = found.half_life
    assert half.edits is not None
    assert half.low is not None
    assert half.high is not None
    assert half.low <= 100 <= half.high
    assert 80 <= half.edits <= 125
    assert found.slope is not None
    assert found.slope.high < 0
    assert found.long_term is not None
    assert found.long_term.value < 0.3


def test_what_is_never_lost_has_no_half_life_and_no_slope() -> None:
    found = retention("recall", lost_after({str(n): 1000 for n in range(30)}, range(0, 101, 20)))
    assert found.half_life.edits is None
    assert found.half_life.seen == 100
    assert found.half_life.words.startswith("not reached within 100 later edits (0 of 30 lost")
    assert found.slope is not None
    assert found.slope.value == 0
    assert found.long_term is not None
    assert found.long_term.value == 1.0


def test_what_was_never_learnt_is_told_and_left_out() -> None:
    found = retention("recognition", lost_after({"a": 0, "b": 0, "c": 50}, range(0, 41, 20)))
    assert (found.half_life.learnt, found.half_life.never_learnt, found.half_life.lost) == (1, 2, 0)
    nothing = retention("recognition", lost_after({"a": 0}, range(0, 41, 20)))
    assert nothing.half_life.learnt == 0
    assert nothing.long_term is None
    assert RetentionGuard().judge(nothing).decision == "escalate"


def test_one_moment_gives_no_slope() -> None:
    assert retention("recall", [Check("a", 0, True), Check("b", 0, False)]).slope is None


def test_no_checks_and_double_checks_are_refused() -> None:
    with pytest.raises(ValueError, match="no check was made"):
        retention("recall", [])
    with pytest.raises(ValueError, match="checked twice"):
        retention("recall", [Check("a", 0, True), Check("a", 0, False)])


@pytest.mark.parametrize(("life", "decision"), [(1000, "pass"), (40, "block")])
def test_the_gate_asks_what_half_of_the_facts_outlast(life: int, decision: str) -> None:
    checks = lost_after({str(n): life for n in range(30)}, range(0, 121, 20))
    assert RetentionGuard(100).judge(retention("recall", checks)).decision == decision


def test_a_curve_that_was_not_followed_far_enough_decides_nothing() -> None:
    checks = lost_after({str(n): 1000 for n in range(30)}, range(0, 61, 20))
    assert RetentionGuard(100).judge(retention("recall", checks)).decision == "escalate"
