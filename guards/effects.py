"""Differences between paired figures: is there one, is there none that matters, and how large is it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from guards.stats import RESAMPLES, paired_differences

Alternative = Literal["two-sided", "less", "greater"]
EXACT_PAIRS = 16
"""Up to so many pairs, every one of the 2^n arrangements is looked at."""


@dataclass(frozen=True)
class Equivalence:
    """What two one-sided tests say about a mean difference.

    Attributes:
        value: mean of after - before.
        low: lower bound of the interval with confidence 1 - 2 alpha.
        high: its upper bound.
        n: number of pairs.
        p: the larger of the two one-sided probabilities.
        equivalent: whether it is at most alpha, which is so exactly when the interval lies inside the margin.
    """

    value: float
    low: float
    high: float
    n: int
    p: float
    equivalent: bool


def permutation_p(
    before: Sequence[float],
    after: Sequence[float],
    *,
    alternative: Alternative = "two-sided",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> float:
    """Probability of a mean difference as large if before and after were interchangeable within each pair.

    R. A. Fisher, "The Design of Experiments" (1935), section 21; `scipy.stats.permutation_test`. Exact up to
    `EXACT_PAIRS` pairs, by seeded draws beyond.

    Args:
        before: one figure per case.
        after: the same cases afterwards.
        alternative: "greater" asks whether after is greater, "less" whether it is smaller.
        resamples: draws, where not every arrangement is looked at.
        seed: of the draws.

    Raises:
        ValueError: no pairs, unequal lengths, or a value that is not finite.
    """
    from scipy.stats import permutation_test

    differences = paired_differences(before, after)
    if not differences.any():
        return 1.0
    draws = np.inf if len(differences) <= EXACT_PAIRS else resamples
    found = permutation_test(
        (differences,),
        _mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=draws,
        alternative=alternative,
        random_state=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def _mean(values: npt.NDArray[np.float64], axis: int = -1) -> npt.NDArray[np.float64]:
    """Mean over the last axis."""
    return np.asarray(values.mean(axis=axis))


def tost_paired(
    before: Sequence[float], after: Sequence[float], margin: tuple[float, float], *, alpha: float = 0.05
) -> Equivalence:
    """Two one-sided paired t tests of "the mean of after - before lies outside the margin".

    D. J. Schuirmann, "A comparison of the two one-sided tests procedure and the power approach", J. Pharmacokinet.
    Biopharm. 15 (1987). `statsmodels.stats.weightstats.ttost_paired`. Where all differences are equal, they are in the
    margin or they are not.

    Args:
        before: one figure per case.
        after: the same cases afterwards.
        margin: both ends of what still counts as no difference, in the figures' own unit.
        alpha: level of each of the two tests.

    Raises:
        ValueError: fewer than two pairs, a margin that is none, or a value that is not finite.
    """
    from statsmodels.stats.weightstats import DescrStatsW, ttost_paired

    low, high = margin
    differences = paired_differences(before, after)
    if len(differences) < 2 or not low < high:
        raise ValueError(f"expected two pairs or more and low < high, got {len(differences)} pairs and {margin}")
    value = float(differences.mean())
    if np.ptp(differences) == 0:
        inside = low < value < high
        return Equivalence(value, value, value, len(differences), 0.0 if inside else 1.0, inside)
    p = float(ttost_paired(np.asarray(after, float), np.asarray(before, float), low, high)[0])
    bounds = DescrStatsW(differences).tconfint_mean(alpha=2 * alpha)
    return Equivalence(value, float(bounds[0]), float(bounds[1]), len(differences), p, p <= alpha)


def tost_kept(kept: int, n: int, margin: float, *, alpha: float = 0.05) -> Equivalence:
    """Whether the share of `n` cases that changed for the worse is shown to stay below `margin`.

    For cases that were all right before, so that the difference can go one way only and its upper test passes by
    itself; what is left is the exact binomial test of "the share lost is `margin` or more". The interval is Clopper
    and Pearson's (`scipy.stats.binomtest`) with confidence 1 - 2 alpha.

    Args:
        kept: cases that are still right.
        n: cases that were right before.
        margin: share lost that no longer counts as no difference, 0 to 1.
        alpha: level of the test.

    Raises:
        ValueError: no cases, or a margin that is none.
    """
    from scipy.stats import binomtest

    if not (0 <= kept <= n and n > 0 and 0 < margin <= 1):
        raise ValueError(f"expected 0 <= kept <= n, n > 0 and 0 < margin <= 1, got {kept}, {n}, {margin}")
    found = binomtest(n - kept, n, margin, alternative="less")
    bounds = binomtest(n - kept, n).proportion_ci(confidence_level=1 - 2 * alpha, method="exact")
    p = float(found.pvalue)
    return Equivalence(-(n - kept) / n, -float(bounds.high), -float(bounds.low), n, p, p <= alpha)


def cohens_d(first: Sequence[float], second: Sequence[float]) -> float:
    """Standardised difference of two means, (mean of first - mean of second) / pooled standard deviation.

    J. Cohen, "Statistical Power Analysis for the Behavioral Sciences" (1988), section 2.5. 0 where nothing varies and
    the means are equal; infinite where nothing varies and they are not.

    Raises:
        ValueError: fewer than two values on a side.
    """
    one, other = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if min(len(one), len(other)) < 2:
        raise ValueError(f"expected two values or more on each side, got {len(one)} and {len(other)}")
    spread = ((len(one) - 1) * one.var(ddof=1) + (len(other) - 1) * other.var(ddof=1)) / (len(one) + len(other) - 2)
    difference = float(one.mean() - other.mean())
    if spread == 0:
        return 0.0 if difference == 0 else math.copysign(math.inf, difference)
    return difference / math.sqrt(spread)


def cliffs_delta(first: Sequence[float], second: Sequence[float]) -> float:
    """How much more often a value of `first` is above one of `second` than below it, -1 to 1.

    N. Cliff, "Dominance statistics", Psychol. Bull. 114 (1993): 2 U / (n m) - 1 with Mann and Whitney's U
    (`scipy.stats.mannwhitneyu`).

    Raises:
        ValueError: a side without values.
    """
    from scipy.stats import mannwhitneyu

    if not len(first) or not len(second):
        raise ValueError(f"expected values on both sides, got {len(first)} and {len(second)}")
    return float(2 * mannwhitneyu(first, second).statistic / (len(first) * len(second)) - 1)


def cohens_h(first: float, second: float) -> float:
    """Effect size of two shares: 2 asin sqrt(first) - 2 asin sqrt(second).

    Cohen (1988), section 6.2; `statsmodels.stats.proportion.proportion_effectsize`.
    """
    from statsmodels.stats.proportion import proportion_effectsize

    return float(proportion_effectsize(first, second))
