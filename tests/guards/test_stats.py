import math
import random

import numpy as np
import pytest

from guards.corrections import benjamini_hochberg, holm
from guards.stats import (
    bootstrap_mean,
    cases_needed,
    excess_p,
    mcnemar_exact,
    paired_bootstrap,
    resampled,
    score_p,
    wilson,
)


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [
        # Newcombe (1998), "Two-sided confidence intervals for the single proportion", table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_published_intervals(right: int, n: int, low: float, high: float) -> None:
    found = wilson(right, n)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)
    mirrored = wilson(n - right, n)
    assert (mirrored.low, mirrored.high) == pytest.approx((1 - found.high, 1 - found.low))


def test_wilson_covers_the_truth_as_often_as_it_says() -> None:
    n, covered, total = 20, {True: 0.0, False: 0.0}, 0
    for truth in np.linspace(0.05, 0.95, 37):
        for right in range(n + 1):
            chance = math.comb(n, right) * truth**right * (1 - truth) ** (n - right)
            interval = wilson(right, n)
            covered[True] += chance * (interval.low <= truth <= interval.high)
            narrow = wilson(right, n, confidence=0.5)
            covered[False] += chance * (narrow.low <= truth <= narrow.high)
        total += 1
    assert covered[True] / total == pytest.approx(0.95, abs=0.015)
    assert covered[False] / total == pytest.approx(0.5, abs=0.06), "a half as confident interval covers half as often"


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_the_score_test_inverts_wilson(confidence: float) -> None:
    generator = random.Random(5)
    agreed = {True: 0, False: 0}
    for _ in range(300):
        n = generator.randint(1, 200)
        right, threshold = generator.randint(0, n), generator.uniform(0.01, 0.99)
        by_bound = wilson(right, n, confidence=confidence).low >= threshold
        by_test = score_p(right, n, threshold) <= (1 - confidence) / 2
        assert by_bound == by_test
        agreed[by_bound] += 1
    assert min(agreed.values()) > 50
    assert score_p(3, 3, 1.0) == 1.0
    assert score_p(0, 3, 0.0) == 0.0


@pytest.mark.parametrize("threshold", [0.3, 0.55, 0.7, 0.92, 0.975])
def test_the_fewest_cases_are_the_fewest(threshold: float) -> None:
    n = cases_needed(threshold)
    assert wilson(n, n).low >= threshold
    assert n == 1 or wilson(n - 1, n - 1).low < threshold
    assert cases_needed(0.0) == 1
    with pytest.raises(ValueError, match="no number of cases"):
        cases_needed(1.0)


@pytest.mark.parametrize(("right", "n"), [(0, 0), (3, 2), (-1, 5)])
def test_counts_that_are_no_proportion_are_refused(right: int, n: int) -> None:
    with pytest.raises(ValueError, match="no proportion"):
        wilson(right, n)
    with pytest.raises(ValueError, match="no proportion"):
        score_p(right, n, 0.5)


def test_the_bootstrap_agrees_with_the_normal_interval_where_that_is_right() -> None:
    values = np.random.default_rng(1).normal(3.0, 2.0, size=400)
    found = bootstrap_mean(values.tolist(), seed=2, resamples=4000)
    half = 1.96 * values.std() / math.sqrt(len(values))
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)


def test_equal_seeds_give_equal_intervals_and_others_do_not() -> None:
    values = [float(number % 7) for number in range(60)]
    assert bootstrap_mean(values, seed=1) == bootstrap_mean(values, seed=1)
    assert bootstrap_mean(values, seed=1) != bootstrap_mean(values, seed=2)


def test_pairing_sees_a_shift_that_the_spread_hides() -> None:
    generator = np.random.default_rng(3)
    before = generator.normal(0.0, 10.0, size=50)
    after = before + generator.normal(0.5, 0.3, size=50)
    paired = paired_bootstrap(before.tolist(), after.tolist())
    assert paired.low > 0.3
    assert paired.high < 0.7
    shuffled = paired_bootstrap(generator.permutation(before).tolist(), after.tolist())
    assert shuffled.low < 0 < shuffled.high, "without the pairs nothing can be seen"


def test_pairs_must_be_pairs_and_numbers_finite() -> None:
    with pytest.raises(ValueError, match="no pairs"):
        paired_bootstrap([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="finite"):
        bootstrap_mean([1.0, float("nan")])
    with pytest.raises(ValueError, match="finite"):
        bootstrap_mean([])
    with pytest.raises(ValueError, match="no pairs"):
        mcnemar_exact([True], [])
    with pytest.raises(ValueError, match="confidence"):
        wilson(1, 2, confidence=1.0)


def test_rows_are_drawn_whole() -> None:
    data = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    means = resampled(data, resamples=200, columns=True)
    assert means.shape == (200, 2)
    assert np.allclose(means[:, 1], 10 * means[:, 0])


def test_mcnemar_gives_the_binomial_tail() -> None:
    before = [True] * 6 + [False] * 1 + [True] * 40
    after = [False] * 6 + [True] * 1 + [True] * 40
    found = mcnemar_exact(before, after)
    # 7 pairs changed, 1 of them gained: 2 * (C(7,0) + C(7,1)) / 2^7.
    assert (found.gained, found.lost) == (1, 6)
    assert found.p == pytest.approx(0.125)
    assert mcnemar_exact(before, before).p == 1.0
    assert mcnemar_exact([True] * 12, [False] * 12).p == pytest.approx(2 / 2**12)


def test_mcnemar_gives_the_published_probability() -> None:
    # Fagerland, Lydersen and Laake (2013), "The McNemar test for binary matched-pairs data", BMC Med. Res. Methodol.
    # 13:91, airway hyper-responsiveness before and after stem cell transplantation: 1, 1, 7 and 12 pairs; the exact
    # conditional test gives .0703.
    before = [True] * 2 + [False] * 19
    after = [True, False] + [True] * 7 + [False] * 12
    found = mcnemar_exact(before, after)
    assert (found.gained, found.lost, round(found.p, 4)) == (7, 1, 0.0703)


def exact_mean_bounds(values: list[int], tail: float) -> tuple[float, float]:
    """Percentiles of the mean over every possible draw with replacement, by repeated convolution."""
    ways = {0: 1}
    for _ in values:
        more: dict[int, int] = {}
        for total, count in ways.items():
            for value in values:
                more[total + value] = more.get(total + value, 0) + count
        ways = more
    draws, reached, bounds = sum(ways.values()), 0, []
    for total in sorted(ways):
        before, reached = reached, reached + ways[total]
        bounds += [total / len(values) for goal in (tail, 1 - tail) if before < goal * draws <= reached]
    return bounds[0], bounds[1]


def test_the_bootstrap_gives_the_published_standard_error_and_the_bounds_over_every_draw() -> None:
    # Efron and Tibshirani (1993), table 2.1 (mouse data, treated) and table 2.2: mean 86.86, standard error of the mean
    # by endless bootstrap 23.36.
    treated = [94, 197, 16, 38, 99, 141, 23]
    means = resampled(np.array(treated, dtype=float), resamples=40_000, seed=1)
    assert round(float(np.mean(treated)), 2) == 86.86
    assert float(means.std()) == pytest.approx(23.36, abs=0.3)
    found = bootstrap_mean([*map(float, treated)], resamples=40_000, confidence=0.9)
    assert (found.low, found.high) == pytest.approx(exact_mean_bounds(treated, 0.05), abs=1.0)
    lopsided = [0.0] * 30 + [1.0, 2.0, 40.0]
    assert bootstrap_mean(lopsided, method="BCa").high > bootstrap_mean(lopsided).high, "BCa follows the long tail"


def test_the_paired_bootstrap_gives_the_bounds_over_every_draw() -> None:
    # Student (1908), "The probable error of a mean", additional sleep by two soporifics: the mean difference is 1.58.
    first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    found = paired_bootstrap(first, second, resamples=40_000)
    tenths = [round(10 * (new - old)) for old, new in zip(first, second, strict=True)]
    assert round(found.value, 2) == 1.58
    assert (10 * found.low, 10 * found.high) == pytest.approx(exact_mean_bounds(tenths, 0.025), abs=0.3)
    assert paired_bootstrap([1.0, 2.0], [1.5, 2.5]) == paired_bootstrap([0.0] * 2, [0.5] * 2), "nothing varies"


def test_an_excess_is_the_binomial_tail() -> None:
    # Fisher (1935), "The Design of Experiments", chapter II: all 4 cups named rightly by chance of a half each: 1/16.
    assert excess_p(4, 4, 0.5) == pytest.approx(1 / 16)
    tail = sum(math.comb(120, k) * 0.01**k * 0.99 ** (120 - k) for k in range(6, 121))
    assert excess_p(6, 120, 0.01) == pytest.approx(tail)
    assert excess_p(0, 50, 0.01) == 1.0
    assert excess_p(1, 50, 0.0) == 0.0
    with pytest.raises(ValueError, match="no proportion"):
        excess_p(1, 0, 0.1)


BH_1995 = (
    *(0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344),
    *(0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000),
)
"""Benjamini and Hochberg (1995), section 3.2: fifteen probabilities of a study of heart attacks."""


def test_holm_and_benjamini_hochberg_give_the_published_rejections_and_statsmodels_figures() -> None:
    from statsmodels.stats.multitest import multipletests

    chances = {f"{place:02}": p for place, p in enumerate(BH_1995)}
    assert sum(step.rejected for step in holm(chances).values()) == 3, "controlling the family rejects three"
    assert sum(step.rejected for step in benjamini_hochberg(chances).values()) == 4, "the rate of false ones four"
    for correct, method in ((holm, "holm"), (benjamini_hochberg, "fdr_bh")):
        adjusted = [step.adjusted for step in correct(chances).values()]
        assert adjusted == pytest.approx(multipletests(BH_1995, method=method)[1])
    assert benjamini_hochberg({}) == {}
    with pytest.raises(ValueError, match="no probability"):
        benjamini_hochberg({"a": -0.1})


def test_holm_gives_the_worked_example() -> None:
    # Worked by hand on .01, .04, .03, .005: multipliers 4, 3, 2, 1 in rising order, kept monotone.
    steps = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert [round(steps[name].adjusted, 6) for name in "abcd"] == [0.03, 0.06, 0.06, 0.02]
    assert [steps[name].rejected for name in "abcd"] == [True, False, False, True]
    assert list(steps) == ["a", "b", "c", "d"]
    assert holm({}) == {}
    with pytest.raises(ValueError, match="no probability"):
        holm({"a": 1.2})


def test_holm_keeps_the_level_where_single_tests_do_not() -> None:
    generator = random.Random(11)
    wrong = {"holm": 0, "single": 0}
    for _ in range(2000):
        chances = {str(index): generator.random() for index in range(6)}
        wrong["holm"] += any(step.rejected for step in holm(chances).values())
        wrong["single"] += any(p <= 0.05 for p in chances.values())
    assert wrong["holm"] / 2000 == pytest.approx(0.05, abs=0.015)
    assert wrong["single"] / 2000 > 0.2
