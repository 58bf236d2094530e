from guards.efficacy import GatePolicy
from guards.observations import Observation
from pipelines.judging.stay import locality, stay_gate


def seen(lost: int, n: int = 100, kind: str = "neighbourhood") -> list[Observation]:
    return [
        Observation(kind, str(number), f"p{number}", True, number >= lost, "x", "y")  # type: ignore[arg-type]
        for number in range(n)
    ]


def test_the_gate_breaks_below_the_share_that_is_to_stay_right() -> None:
    for level, lost, broken in ((0.97, 3, False), (0.97, 4, True), (0.99, 2, True), (0.99, 1, False)):
        words = stay_gate(GatePolicy(), "low", level)(seen(lost))
        assert (words is not None) is broken
        assert words is None or f"{level:.2f} is asked for" in words


def test_facts_of_the_edited_subjects_count_where_they_are_lost_and_make_up_for_nothing() -> None:
    gate = stay_gate(GatePolicy(), "low", 0.97)
    assert gate([*seen(0, 300, "same_subject"), *seen(3)]) is None
    assert "96 of 100" in str(gate([*seen(0, 300, "same_subject"), *seen(4)]))
    assert "2 about the edited subjects are not" in str(gate([*seen(2, 300, "same_subject"), *seen(2)]))
    assert gate([*seen(1, 300, "same_subject"), *seen(2)]) is None


def test_a_gate_of_the_policy_breaks_it_too_and_what_may_move_does_not() -> None:
    gate = stay_gate(GatePolicy(), "low", 0.0)
    assert "neighbourhood" in str(gate(seen(40)))
    assert gate(seen(40, kind="efficacy")) is None
    assert gate([]) is None


def test_a_fact_counts_once_and_only_with_all_its_phrasings() -> None:
    twice = [
        Observation("neighbourhood", "a", "p", True, True, "x", "x"),
        Observation("neighbourhood", "a", "q", True, False, "x", "y"),
        Observation("drawdown", "b", "r", True, True, "x", "x"),
        Observation("efficacy", "c", "s", False, False, "x", "y"),
    ]
    found = locality(twice)
    assert (found["right"], found["n"]) == (1, 2)
