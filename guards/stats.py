"""Intervals and tests that every verdict and report rests on, by scipy and statsmodels where they have them.

Differences, equivalence and effect sizes stand in `guards.effects`, agreement of raters in `guards.agreement`, what a
stated confidence is worth in `guards.calibration`, corrections for many hypotheses in `guards.corrections`. All random
resampling is seeded, so that the same figures give the same verdict.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from guards.corrections import HolmStep as HolmStep
from guards.corrections import benjamini_hochberg as benjamini_hochberg
from guards.corrections import holm as holm

CONFIDENCE = 0.95
RESAMPLES = 2_000

BootstrapMethod = Literal["percentile", "basic", "BCa"]

_PIECE = 4_000_000


@dataclass(frozen=True)
class Interval:
    """A point estimate with its two-sided interval.

    Attributes:
        value: the estimate.
        low: lower bound.
        high: upper bound.
        n: how many cases it rests on.
    """

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class McNemar:
    """Exact comparison of paired right/wrong answers.

    Attributes:
        gained: pairs that were wrong before and are right after.
        lost: pairs that were right before and are wrong after.
        p: two-sided probability of a split at least as uneven if gains and losses were equally likely.
    """

    gained: int
    lost: int
    p: float


def wilson(successes: int, n: int, *, confidence: float = CONFIDENCE) -> Interval:
    """Score interval of a proportion.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927). Its coverage
    is good down to n of about 10 and at proportions near 0 and 1, where the usual normal interval has none.

    Raises:
        ValueError: no cases, or more successes than cases.
    """
    from statsmodels.stats.proportion import proportion_confint

    _check_counts(successes, n)
    low, high = proportion_confint(successes, n, alpha=1 - _fraction(confidence), method="wilson")
    low, high = 0.0 if successes == 0 else max(0.0, low), 1.0 if successes == n else min(1.0, high)
    return Interval(successes / n, float(low), float(high), n)


def score_p(successes: int, n: int, threshold: float) -> float:
    """One-sided probability of at least so many successes if the true proportion were `threshold`.

    The score test that Wilson's interval inverts: p <= (1 - confidence) / 2 exactly when the lower bound of
    `wilson(successes, n, confidence=confidence)` is at least `threshold`. A threshold of 0 is always met, one of 1
    never.

    Raises:
        ValueError: no cases, or more successes than cases.
    """
    from statsmodels.stats.proportion import proportions_ztest

    _check_counts(successes, n)
    if threshold <= 0:
        return 0.0
    if threshold >= 1:
        return 1.0
    _, p = proportions_ztest(successes, n, threshold, alternative="larger", prop_var=threshold)
    return float(p)


def excess_p(events: int, n: int, tolerated: float) -> float:
    """One-sided exact probability of at least so many events if each of the n cases had one with chance `tolerated`.

    Small where more happened than is tolerated. With `tolerated` 0 any event is too many.

    Raises:
        ValueError: no cases, or more events than cases.
    """
    from scipy.stats import binom

    _check_counts(events, n)
    return float(binom.sf(events - 1, n, tolerated))


def cases_needed(threshold: float, *, confidence: float = CONFIDENCE) -> int:
    """Fewest cases with which a perfect score puts Wilson's lower bound at `threshold` or above.

    From the bound of n out of n, n / (n + z^2) >= threshold.

    Raises:
        ValueError: the threshold is 1 or more, which no number of cases reaches.
    """
    if threshold >= 1:
        raise ValueError(f"no number of cases puts a lower bound at {threshold}")
    if threshold <= 0:
        return 1
    from scipy.stats import norm

    z = float(norm.ppf(0.5 + _fraction(confidence) / 2))
    return max(1, math.ceil(threshold * z * z / (1 - threshold)))


def bootstrap_mean(
    values: Sequence[float],
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
    method: BootstrapMethod = "percentile",
) -> Interval:
    """Bootstrap interval of a mean (`scipy.stats.bootstrap`).

    B. Efron, R. J. Tibshirani, "An Introduction to the Bootstrap" (1993), chapters 13 (percentile) and 14 (BCa). Where
    all values are equal, so are the bounds.

    Raises:
        ValueError: no values, or one that is not finite.
    """
    from scipy.stats import bootstrap

    data = _finite(values)
    value = float(data.mean())
    if len(data) == 1 or np.ptp(data) == 0:
        return Interval(value, value, value, len(data))
    found = bootstrap(
        (data,),
        np.mean,
        n_resamples=resamples,
        batch=max(1, _PIECE // len(data)),
        vectorized=True,
        confidence_level=_fraction(confidence),
        method=method,
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(value, float(found.low), float(found.high), len(data))


def paired_bootstrap(
    before: Sequence[float],
    after: Sequence[float],
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
    method: BootstrapMethod = "percentile",
) -> Interval:
    """Bootstrap interval of the mean of after - before, resampling pairs.

    P. Koehn, "Statistical significance tests for machine translation evaluation", EMNLP 2004: both systems are scored
    on the same resampled cases, so that how hard a case is cancels out.

    Raises:
        ValueError: no pairs, unequal lengths, or a value that is not finite.
    """
    differences = paired_differences(before, after)
    return bootstrap_mean(differences.tolist(), confidence=confidence, resamples=resamples, seed=seed, method=method)


def paired_differences(before: Sequence[float], after: Sequence[float]) -> npt.NDArray[np.float64]:
    """After - before, (n,).

    Raises:
        ValueError: no pairs, unequal lengths, or a value that is not finite.
    """
    if len(before) != len(after):
        raise ValueError(f"{len(before)} values before and {len(after)} after are no pairs")
    return _finite(after) - _finite(before)


def mcnemar_exact(before: Sequence[bool], after: Sequence[bool]) -> McNemar:
    """Exact McNemar test of paired right/wrong answers.

    Q. McNemar, Psychometrika 12 (1947), in the exact binomial form: of the pairs that changed, as many should have
    been gained as lost.

    Raises:
        ValueError: unequal lengths.
    """
    from scipy.stats import binomtest

    if len(before) != len(after):
        raise ValueError(f"{len(before)} answers before and {len(after)} after are no pairs")
    gained = sum(1 for old, new in zip(before, after, strict=True) if new and not old)
    lost = sum(1 for old, new in zip(before, after, strict=True) if old and not new)
    changed = gained + lost
    return McNemar(gained, lost, float(binomtest(lost, changed, 0.5).pvalue) if changed else 1.0)


def resampled(
    data: npt.NDArray[np.float64], *, resamples: int = RESAMPLES, seed: int = 0, columns: bool = False
) -> npt.NDArray[np.float64]:
    """Means of `resamples` draws with replacement.

    Args:
        data: (n,), or (n, k) with `columns`, whose rows are drawn whole.
        resamples: how many draws.
        seed: of the generator; equal seeds give equal draws.
        columns: whether `data` has several columns.

    Returns:
        (resamples,), or (resamples, k) with `columns`.
    """
    generator = np.random.default_rng(seed)
    n = len(data)
    step = max(1, _PIECE // max(1, n))
    pieces = [
        data[generator.integers(0, n, size=(min(step, resamples - start), n))].mean(axis=1)
        for start in range(0, resamples, step)
    ]
    means: npt.NDArray[np.float64] = np.concatenate(pieces)
    return means if columns else means.reshape(-1)


def _finite(values: Sequence[float]) -> npt.NDArray[np.float64]:
    """The values as an array, refused when there are none or one is not finite."""
    data = np.asarray(values, dtype=np.float64)
    if data.size == 0 or not np.isfinite(data).all():
        raise ValueError(f"expected finite values, got {'none' if data.size == 0 else 'some that are not'}")
    return data


def _fraction(confidence: float) -> float:
    """The confidence itself, refused when it is none."""
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"a confidence lies between 0 and 1, not at {confidence}")
    return confidence


def _check_counts(successes: int, n: int) -> None:
    """Refuse counts that are no proportion."""
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"{successes} of {n} is no proportion")
