import pytest

from guards.timeliness import Case, Said, TimelinessGuard, grounded, measure, outcome_of

LEADER = Case("Who leads Ruritania?", ("Ada Marsh", "A. Marsh"), ("Ben Toll", "New York"))
NOBODY = Case("Who leads Atlantis?", (), ("Cy Vane",))


@pytest.mark.parametrize(
    ("case", "text", "known", "expected"),
    [
        (LEADER, "Ada Marsh", True, "fresh"),
        (LEADER, "It is A. Marsh.", True, "fresh"),
        (LEADER, "Ben Toll", True, "out_of_date"),
        (LEADER, "Ben Toll, then Ada Marsh", True, "out_of_date"),
        (LEADER, "Dora Pell", True, "wrong"),
        (LEADER, "not known", False, "refused"),
        (LEADER, " ", True, "refused"),
        (NOBODY, "not known", False, "refused"),
        (NOBODY, "Cy Vane", True, "out_of_date"),
        (NOBODY, "Ada Marsh", True, "wrong"),
        (Case("Where?", ("New York City",), ("New York",)), "New York City", True, "fresh"),
        (Case("Where?", ("New York City",), ("New York",)), "New York", True, "out_of_date"),
    ],
)
def test_an_answer_is_fresh_out_of_date_wrong_or_none(case: Case, text: str, known: bool, expected: str) -> None:
    assert outcome_of(case, Said(text, known)) == expected


def settings(fresh: int, stale: int, refused: int, n: int = 40) -> list[Said]:
    """Answers to n answerable questions and n unanswerable ones, of which `refused` are refused."""
    answerable = [Said("Ada Marsh", True)] * fresh + [Said("Ben Toll", True)] * stale
    answerable += [Said("", False)] * (n - len(answerable))
    return answerable + [Said("", False)] * refused + [Said("Ada Marsh", True)] * (n - refused)


CASES = [LEADER] * 40 + [NOBODY] * 40


def test_slices_are_scored_apart_and_settings_compared_in_pairs() -> None:
    found = measure(
        CASES, {"parametric": settings(4, 30, 0), "offline": settings(20, 20, 40), "online": settings(40, 0, 40)}
    )
    online, weights = found.score("online", "answerable"), found.score("parametric", "answerable")
    assert online is not None
    assert weights is not None
    assert (online.right.count, online.n, weights.outcomes["out_of_date"].count) == (40, 40, 30)
    assert weights.selective.n == 34, "refused ones are not among the answered"
    refusal = found.score("parametric", "unanswerable")
    assert refusal is not None
    assert refusal.right.count == 0
    assert weights.right.interval is not None
    assert weights.right.interval.low < 0.1 < weights.right.interval.high
    pairs = {(one.slice, one.measure, one.before, one.after): one for one in found.comparisons}
    assert len(pairs) == 12
    gain = pairs["answerable", "right", "offline", "online"]
    assert gain.differs
    assert gain.difference.value == pytest.approx(0.5)
    assert gain.difference.low > 0
    assert gain.adjusted >= gain.p, "Holm's correction never makes a comparison look better"
    alike = pairs["unanswerable", "right", "offline", "online"]
    assert not alike.differs
    assert alike.p == 1.0
    assert alike.difference.value == 0.0


def test_settings_that_answer_alike_do_not_differ() -> None:
    same = settings(30, 10, 40)
    assert not any(one.differs for one in measure(CASES, {"offline": same, "online": same}).comparisons)


def test_answers_must_match_the_questions() -> None:
    with pytest.raises(ValueError, match="1 answers to 80 questions"):
        measure(CASES, {"online": [Said("x", True)]})


@pytest.mark.parametrize(
    ("answers", "decision", "words"),
    [
        (settings(40, 0, 40), "pass", "fresh_hit 40 of 40"),
        (settings(30, 0, 40), "block", "fresh_hit 30 of 40"),
        (settings(36, 4, 40), "block", "out_of_date 4 of 40"),
        (settings(40, 0, 30), "block", "correct_refusal 30 of 40"),
    ],
)
def test_the_gate_holds_the_bounds_not_the_means(answers: list[Said], decision: str, words: str) -> None:
    verdict = TimelinessGuard().judge((measure(CASES, {"online": answers}), "online"))
    assert verdict.decision == decision
    assert words in verdict.explanation
    assert [score.name for score in verdict.scores] == ["fresh_hit", "out_of_date", "correct_refusal"]


def test_a_slice_that_was_not_asked_shows_nothing() -> None:
    measured = measure([LEADER] * 40, {"online": settings(40, 0, 0)[:40]})
    verdict = TimelinessGuard().judge((measured, "online"))
    assert verdict.decision == "escalate"
    assert "unanswerable" in verdict.explanation
    assert TimelinessGuard().judge((measured, "offline")).decision == "escalate"


def test_too_few_questions_escalate_with_how_many_it_takes_and_a_wrong_setting_still_blocks() -> None:
    few = CASES[:20] + CASES[40:50]
    right = settings(40, 0, 40)
    verdict = TimelinessGuard().judge((measure(few, {"online": right[:20] + right[40:50]}), "online"))
    assert verdict.decision == "escalate"
    assert (
        "out_of_date 0 of 20, bound 0.161, at most 0.100 is asked for, which takes 35 questions" in verdict.explanation
    )
    assert "correct_refusal 10 of 10, bound 0.722, at least 0.750 is asked for, which takes 12 q" in verdict.explanation
    wrong = settings(2, 0, 40)
    verdict = TimelinessGuard().judge((measure(few, {"online": wrong[:20] + wrong[40:50]}), "online"))
    assert verdict.decision == "block", "2 of 20 are too few whatever more would be asked"


def test_what_answers_rest_on_counts_answers_alone() -> None:
    said = [Said("Paris", True, True, True), Said("Rome", True, True), Said("Bonn", True), Said("not known", False)]
    found = grounded(said)
    assert found["cited"].n == 3
    assert found["cited"].value == pytest.approx(2 / 3)
    assert found["unsupported"].value == pytest.approx(2 / 3)
    assert grounded([Said("not known", False)]) == {}
