"""What a stated confidence is worth: calibration of probabilities, and the gain from answering only when sure."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from guards.stats import CONFIDENCE, Interval

RANGES = 15
RESAMPLES = 500


def brier(confidence: Sequence[float], right: Sequence[bool]) -> float:
    """Mean squared distance of the stated probability from what happened, 0 to 1.

    G. W. Brier, "Verification of forecasts expressed in terms of probability", Mon. Weather Rev. 78 (1950); of an event
    that happens or not his score, summed over both classes, is twice this one.

    Raises:
        ValueError: no cases, unequal lengths, or a confidence outside 0 to 1.
    """
    stated, happened = _pairs(confidence, right)
    return float(np.mean((stated - happened) ** 2))


def ace(confidence: Sequence[float], right: Sequence[bool], *, ranges: int = RANGES) -> float:
    """Adaptive calibration error: mean distance of share right from mean confidence, over ranges of equally many cases.

    J. Nixon et al., "Measuring calibration in deep learning" (2019), equation 3, for the class that was chosen.

    Args:
        confidence: stated for each answer, 0 to 1.
        right: whether the answer was right.
        ranges: into how many ranges the cases are cut by confidence; as many as there are cases at most.

    Raises:
        ValueError: no cases, unequal lengths, or a confidence outside 0 to 1.
    """
    stated, happened = _pairs(confidence, right)
    gaps = (happened - stated)[np.argsort(stated, kind="stable")]
    sizes = np.array([len(one) for one in np.array_split(gaps, min(ranges, len(gaps)))])
    return float(np.mean(np.abs(np.add.reduceat(gaps, np.cumsum(sizes) - sizes) / sizes)))


def aurc(confidence: Sequence[float], right: Sequence[bool]) -> float:
    """Area under the risk-coverage curve: mean error among the surest k answers, over every k.

    Y. Geifman, G. Uziel, R. El-Yaniv, "Bias-reduced uncertainty estimation" (ICLR 2019), section 2. Answers of equal
    confidence are taken to come in every order alike, so that the order of the input does not count. The error rate
    itself where confidence says nothing; e + (1 - e) ln(1 - e) for many answers of which every wrong one is less sure
    than every right one (their equation 2).

    Raises:
        ValueError: no cases, unequal lengths, or a confidence outside 0 to 1.
    """
    stated, happened = _pairs(confidence, right)
    order = np.argsort(-stated, kind="stable")
    stated, wrong = stated[order], 1.0 - happened[order]
    _, place, counts = np.unique(-stated, return_inverse=True, return_counts=True)
    expected = (np.bincount(place, weights=wrong) / counts)[place]
    return float(np.mean(np.cumsum(expected) / np.arange(1, len(expected) + 1)))


FIGURES: Mapping[str, Callable[[Sequence[float], Sequence[bool]], float]] = {"brier": brier, "ace": ace, "aurc": aurc}
"""What a stated confidence is judged by."""


def calibrated(
    confidence: Sequence[float], right: Sequence[bool], names: Iterable[str] = FIGURES, *, seed: int = 0
) -> dict[str, Interval]:
    """Some of `FIGURES`, each with its bootstrap interval over answers; nothing where there is no answer.

    Both columns are drawn together (`scipy.stats.bootstrap`, percentile). ACE is larger in a resample than in what it
    was drawn from, and other figures may be so in few cases, so that an interval is widened to hold its own value.

    Args:
        confidence: stated for each answer, 0 to 1.
        right: whether the answer was right.
        names: which figures.
        seed: of the draw.

    Raises:
        ValueError: unequal lengths, or a confidence outside 0 to 1.
    """
    if not len(confidence) and not len(right):
        return {}
    stated, happened = _pairs(confidence, right)
    return {name: _bootstrapped(FIGURES[name], stated, happened, seed) for name in names}


def _bootstrapped(
    figure: Callable[..., float], stated: npt.NDArray[np.float64], happened: npt.NDArray[np.float64], seed: int
) -> Interval:
    """One figure with its interval; one answer alone, or answers that are all alike, have no spread."""
    from scipy.stats import bootstrap

    value, n = figure(stated, happened), len(stated)
    if n == 1 or (np.ptp(stated) == 0 and np.ptp(happened) == 0):
        return Interval(value, value, value, n)
    found = bootstrap(
        (stated, happened),
        figure,
        n_resamples=RESAMPLES,
        paired=True,
        vectorized=False,
        confidence_level=CONFIDENCE,
        method="percentile",
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(value, min(value, float(found.low)), max(value, float(found.high)), n)


def _pairs(
    confidence: Sequence[float], right: Sequence[bool]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Both as arrays, refused where they are no stated probabilities with their outcomes."""
    stated, happened = np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=np.float64)
    if len(stated) != len(happened) or not len(stated):
        raise ValueError(f"expected one confidence per answer, got {len(stated)} for {len(happened)}")
    if not ((stated >= 0) & (stated <= 1)).all():
        raise ValueError("expected confidences between 0 and 1, got some outside")
    return stated, happened
