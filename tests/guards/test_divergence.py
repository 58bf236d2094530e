import pytest
from hypothesis import given
from hypothesis import strategies as st

from guards.divergence import TAU, Voice, divergences, share_against, threshold_for, trust_of
from guards.sources import Tier


def voice(origin: str, tier: Tier | None, *ends: str) -> Voice:
    return Voice(tier, dict.fromkeys(ends, origin))


def test_s_div_is_the_share_of_independent_trust_that_speaks_against() -> None:
    found = divergences([voice("a", "established", "x"), voice("b", "weak", "y"), voice("c", "weak", "y")])
    assert [each.value for each in found] == [2 / 5, 3 / 5, 3 / 5]
    assert (found[0].trust, found[0].against, found[0].end) == (3, 2, "x")


def test_repetition_changes_nothing() -> None:
    once = divergences([voice("a", "established", "x"), voice("b", "weak", "y")])
    often = divergences([voice("a", "established", "x"), *[voice("b", "weak", "y")] * 50])
    assert often[:2] == once


def test_no_crowd_of_weak_sources_outweighs_an_established_one() -> None:
    crowd = [voice(f"w{number}", "weak", "y") for number in range(50)]
    assert divergences([voice("a", "established", "x"), *crowd])[0].value == 0.5
    assert divergences([voice("a", "authoritative", "x"), *crowd])[0].value == 0.25 <= TAU
    assert trust_of({"weak": 50}) == 3


def test_a_source_that_says_both_stands_against_both_and_a_text_that_may_mean_both_against_neither() -> None:
    assert [one.value for one in divergences([voice("a", "weak", "x"), voice("a", "weak", "y")])] == [0.5, 0.5]
    found = divergences([voice("a", "weak", "x", "y"), voice("b", "weak", "y")])
    assert [(one.value, one.end, one.trust) for one in found] == [(0, "y", 2), (0, "y", 2)]


def test_a_listed_source_is_seen_behind_an_end_only_where_it_says_that_alone() -> None:
    clear = divergences([voice("a", "established", "x"), voice("b", "weak", "x"), voice("c", "weak", "y")])
    assert [one.listed for one in clear] == [True, True, False]
    vague = divergences([voice("a", "established", "x", "z"), voice("b", "weak", "x")])
    assert [one.listed for one in vague] == [True, False]


def test_a_stranger_who_could_mean_what_a_listed_source_says_clearly_is_unclear() -> None:
    both = voice("b", "weak", "x", "y")
    assert [one.clearer for one in divergences([voice("a", "established", "x"), both])] == [False, True]
    assert not divergences([voice("a", "weak", "x"), both])[1].clearer
    assert not divergences([voice("a", "established", "x"), voice("b", "weak", "x")])[1].clearer
    assert not divergences([voice("a", "authoritative", "x"), voice("b", "established", "x", "y")])[1].clearer


def test_who_has_no_vote_or_says_nothing_counts_for_nothing() -> None:
    found = divergences([voice("a", None, "x"), voice("b", "weak", "y"), voice("c", "weak")])
    assert [each.value for each in found] == [1.0, 0.0, 0.0]
    assert share_against(0, 0) == 0


def test_a_threshold_loses_no_more_than_it_may() -> None:
    scores = [number / 100 for number in range(100)]
    assert sum(score > threshold_for(scores, 0.05) for score in scores) == 5
    assert threshold_for(scores, 0.0) == 0.99
    with pytest.raises(ValueError, match="benign"):
        threshold_for([], 0.1)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50), st.floats(0, 1, exclude_max=True))
def test_no_set_of_scores_loses_more(scores: list[float], loss: float) -> None:
    assert sum(score > threshold_for(scores, loss) for score in scores) <= loss * len(scores)
