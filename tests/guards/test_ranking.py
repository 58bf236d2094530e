import numpy as np
import pytest

from guards.ranking import doubling_slope, ndcg


def test_ndcg_agrees_with_an_independent_computation() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    draw = np.random.default_rng(3)
    for _ in range(30):
        wanted = np.zeros(14)
        wanted[draw.choice(14, size=int(draw.integers(1, 5)), replace=False)] = 1
        ranks = [int(place) + 1 for place in np.flatnonzero(wanted)]
        expected = sklearn.ndcg_score([wanted], [np.arange(14, 0, -1)], k=10)
        assert ndcg([rank for rank in ranks if rank <= 10], len(ranks)) == pytest.approx(expected)


def test_a_passage_that_comes_late_or_not_at_all_is_seen() -> None:
    assert ndcg([1], 1) == 1.0
    assert ndcg([3], 1) == pytest.approx(0.5)
    assert ndcg([], 1) == ndcg([11], 1) == 0.0
    assert ndcg([1], 2) < ndcg([1, 2], 2) == 1.0
    for ranks, wanted in (([0], 1), ([1, 1], 2), ([1, 2], 1), ([], 0)):
        with pytest.raises(ValueError, match="wanted passages"):
            ndcg(ranks, wanted)


def test_a_slope_over_length_is_seen_and_none_is_found_where_there_is_none() -> None:
    sizes = [4, 8, 16, 32] * 25
    draw = np.random.default_rng(1)
    falling = doubling_slope(sizes, [1 - 0.1 * np.log2(size) for size in sizes])
    assert falling is not None
    assert falling.value == pytest.approx(-0.1)
    assert falling.high < -0.09
    flat = doubling_slope(sizes, draw.uniform(size=len(sizes)).tolist())
    assert flat is not None
    assert flat.low < 0 < flat.high
    two = doubling_slope([4, 8], [1.0, 0.5])
    assert two is not None
    assert (two.value, two.low, two.high) == pytest.approx((-0.5, -0.5, -0.5))
    assert doubling_slope([8, 8, 8], [0.1, 0.5, 1.0]) is None
    with pytest.raises(ValueError, match="one value for every size"):
        doubling_slope([4], [])
