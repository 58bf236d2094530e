"""Intervals and tests that every verdict and report rests on; numpy and the standard library only.

All random resampling is seeded, so that the same figures give the same verdict.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

CONFIDENCE = 0.95
RESAMPLES = 2_000

_NORMAL = NormalDist()
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


@dataclass(frozen=True)
class HolmStep:
    """One hypothesis of a family after Holm's correction.

    Attributes:
        p: probability as it came.
        adjusted: smallest family-wise level at which it would be rejected.
        rejected: whether it is rejected at the family's level.
    """

    p: float
    adjusted: float
    rejected: bool


def wilson(successes: int, n: int, *, confidence: float = CONFIDENCE) -> Interval:
    """Score interval of a proportion.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927). Its coverage
    is good down to n of about 10 and at proportions near 0 and 1, where the usual normal interval has none.

    Raises:
        ValueError: no cases, or more successes than cases.
    """
    _check_counts(successes, n)
    z = _NORMAL.inv_cdf(0.5 + _fraction(confidence) / 2)
    share = successes / n
    scale = 1 + z * z / n
    centre = (share + z * z / (2 * n)) / scale
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / scale
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return Interval(share, low, high, n)


def score_p(successes: int, n: int, threshold: float) -> float:
    """One-sided probability of at least so many successes if the true proportion were `threshold`.

    The score test that Wilson's interval inverts: p <= (1 - confidence) / 2 exactly when the lower bound of
    `wilson(successes, n, confidence=confidence)` is at least `threshold`. A threshold of 0 is always met, one of 1
    never.

    Raises:
        ValueError: no cases, or more successes than cases.
    """
    _check_counts(successes, n)
    if threshold <= 0:
        return 0.0
    if threshold >= 1:
        return 1.0
    z = (successes / n - threshold) / math.sqrt(threshold * (1 - threshold) / n)
    return _NORMAL.cdf(-z)


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
    z = _NORMAL.inv_cdf(0.5 + _fraction(confidence) / 2)
    return max(1, math.ceil(threshold * z * z / (1 - threshold)))


def bootstrap_mean(
    values: Sequence[float], *, confidence: float = CONFIDENCE, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Percentile bootstrap interval of a mean.

    B. Efron, R. J. Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13.

    Raises:
        ValueError: no values, or one that is not finite.
    """
    data = _finite(values)
    means = resampled(data, resamples=resamples, seed=seed)
    return _percentiles(float(data.mean()), means, _fraction(confidence), len(data))


def paired_bootstrap(
    before: Sequence[float],
    after: Sequence[float],
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval of the mean of after - before, resampling pairs.

    P. Koehn, "Statistical significance tests for machine translation evaluation", EMNLP 2004: both systems are scored
    on the same resampled cases, so that how hard a case is cancels out.

    Raises:
        ValueError: no pairs, unequal lengths, or a value that is not finite.
    """
    if len(before) != len(after):
        raise ValueError(f"{len(before)} values before and {len(after)} after are no pairs")
    differences = _finite(after) - _finite(before)
    means = resampled(differences, resamples=resamples, seed=seed)
    return _percentiles(float(differences.mean()), means, _fraction(confidence), len(differences))


def mcnemar_exact(before: Sequence[bool], after: Sequence[bool]) -> McNemar:
    """Exact McNemar test of paired right/wrong answers.

    Q. McNemar, Psychometrika 12 (1947), in the exact binomial form: of the pairs that changed, as many should have
    been gained as lost.

    Raises:
        ValueError: unequal lengths.
    """
    if len(before) != len(after):
        raise ValueError(f"{len(before)} answers before and {len(after)} after are no pairs")
    gained = sum(1 for old, new in zip(before, after, strict=True) if new and not old)
    lost = sum(1 for old, new in zip(before, after, strict=True) if old and not new)
    changed = gained + lost
    tail = sum(math.comb(changed, count) for count in range(min(gained, lost) + 1))
    return McNemar(gained, lost, min(1.0, 2 * tail / 2**changed))


def holm(p_values: Mapping[str, float], *, alpha: float = 0.05) -> dict[str, HolmStep]:
    """Holm's step-down correction: the chance of rejecting any true hypothesis of the family is at most `alpha`.

    S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6 (1979). The smallest of m
    probabilities is held against alpha / m, the next against alpha / (m - 1), ...; the first that fails ends it.

    Raises:
        ValueError: a value is no probability.
    """
    for name, p in p_values.items():
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"{p} for {name} is no probability")
    steps: dict[str, HolmStep] = {}
    reached = 0.0
    ordered = sorted(p_values.items(), key=lambda item: item[1])
    for index, (name, p) in enumerate(ordered):
        reached = max(reached, min(1.0, p * (len(ordered) - index)))
        steps[name] = HolmStep(p, reached, reached <= alpha)
    return {name: steps[name] for name in p_values}


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


def _percentiles(value: float, draws: npt.NDArray[np.float64], confidence: float, n: int) -> Interval:
    """Interval between the outer percentiles of the draws."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Interval(value, float(low), float(high), n)


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
