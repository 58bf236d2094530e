"""How far raters agree beyond chance, each with an interval."""

from collections.abc import Hashable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from guards.stats import CONFIDENCE, Interval

Level = Literal["nominal", "ordinal", "interval", "ratio"]


def cohens_kappa(first: Sequence[Hashable], second: Sequence[Hashable], *, confidence: float = CONFIDENCE) -> Interval:
    """Cohen's kappa of two raters with its interval from Fleiss, Cohen and Everitt's standard error.

    J. Cohen, "A coefficient of agreement for nominal scales", Educ. Psychol. Meas. 20 (1960); J. L. Fleiss, J. Cohen,
    B. S. Everitt, Psychol. Bull. 72 (1969). `statsmodels.stats.inter_rater.cohens_kappa`. Where both raters gave one
    and the same grade to everything, chance alone explains that: kappa is not defined.

    Raises:
        ValueError: no items, unequal lengths, or a single grade.
    """
    from scipy.stats import norm
    from statsmodels.stats.inter_rater import cohens_kappa as kappa

    if len(first) != len(second) or not first:
        raise ValueError(f"expected two grades for every item, got {len(first)} and {len(second)}")
    grades = {grade: place for place, grade in enumerate(dict.fromkeys((*first, *second)))}
    if len(grades) < 2:
        raise ValueError(f"expected two different grades or more, got {next(iter(grades))!r} alone")
    counts = np.zeros((len(grades), len(grades)))
    for one, other in zip(first, second, strict=True):
        counts[grades[one], grades[other]] += 1
    found = kappa(counts)
    half = float(norm.ppf(0.5 + confidence / 2)) * float(found.std_kappa)
    return Interval(float(found.kappa), float(found.kappa) - half, float(found.kappa) + half, len(first))


def krippendorff_alpha(
    ratings: Sequence[Sequence[float | None]],
    level: Level = "nominal",
    *,
    confidence: float = CONFIDENCE,
    resamples: int = 500,
    seed: int = 0,
) -> Interval:
    """Krippendorff's alpha of any number of raters, with an interval over resampled units.

    K. Krippendorff, "Computing Krippendorff's alpha-reliability" (2011); the package `krippendorff`. Draws without two
    different grades, in which alpha is not defined, count as full agreement.

    Args:
        ratings: one row per rater, one column per unit; None where a rater did not grade a unit.
        level: how grades are compared.
        confidence: of the interval.
        resamples: draws of units.
        seed: of the draws.

    Raises:
        ValueError: fewer than two raters, or no two different grades.
    """
    import krippendorff

    table = np.array([[np.nan if one is None else one for one in row] for row in ratings], dtype=np.float64)
    if table.ndim != 2 or len(table) < 2 or len(np.unique(table[~np.isnan(table)])) < 2:
        raise ValueError("expected two raters or more and two different grades or more")
    value = float(krippendorff.alpha(reliability_data=table, level_of_measurement=level))
    draws = _redrawn(table, level, resamples, seed)
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Interval(value, float(low), float(high), table.shape[1])


def _redrawn(table: npt.NDArray[np.float64], level: Level, resamples: int, seed: int) -> npt.NDArray[np.float64]:
    """Alpha of every draw of units, (resamples,)."""
    import krippendorff

    domain = np.unique(table[~np.isnan(table)])
    generator = np.random.default_rng(seed)
    found = np.ones(resamples)
    for number in range(resamples):
        drawn = table[:, generator.integers(0, table.shape[1], table.shape[1])]
        pairable = drawn[:, (~np.isnan(drawn)).sum(axis=0) > 1]
        if len(np.unique(pairable[~np.isnan(pairable)])) > 1:
            found[number] = krippendorff.alpha(
                reliability_data=drawn, level_of_measurement=level, value_domain=domain.tolist()
            )
    return found
