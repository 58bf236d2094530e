"""Ranks of retrieved passages: how early those come that a question asks for, and whether long ones come later."""

from collections.abc import Collection, Sequence

import numpy as np

from guards.stats import CONFIDENCE, Interval, resampled

CUT = 10
"""Passages that are looked at."""


def ndcg(ranks: Collection[int], wanted: int, *, cut: int = CUT) -> float:
    """Discounted gain (nDCG) of a question whose passages are wanted or not: gain over that of the best order, 0 to 1.

    K. Järvelin, J. Kekäläinen, "Cumulated gain-based evaluation of IR techniques", TOIS 20 (2002), with a gain of one
    for every wanted passage and a discount of 1 / log2(rank + 1).

    Args:
        ranks: at which ranks wanted passages were found, from 1; those beyond the cut count as not found.
        wanted: how many passages are wanted in all.
        cut: ranks that count.

    Raises:
        ValueError: no passage is wanted, a rank is below 1 or comes twice, or more were found than are wanted.
    """
    places = np.array(sorted(ranks), dtype=np.int64)
    if wanted < 1 or (places < 1).any() or len(set(ranks)) != len(ranks) or len(places) > wanted:
        raise ValueError(f"expected ranks from 1, each once, of at most {wanted} wanted passages, got {list(ranks)}")
    best = np.arange(1, min(wanted, cut) + 1)
    return float((1 / np.log2(places[places <= cut] + 1)).sum() / (1 / np.log2(best + 1)).sum())


def doubling_slope(sizes: Sequence[int], values: Sequence[float], *, seed: int = 0) -> Interval | None:
    """Change of a value per doubling of the size, by least squares, with a percentile bootstrap over cases.

    Resamples in which all sizes are alike are left out; None where that is so in the cases themselves.

    Raises:
        ValueError: unequal lengths, or a size below 1.
    """
    from scipy.stats import linregress

    if len(sizes) != len(values) or any(size < 1 for size in sizes):
        raise ValueError(f"expected one value for every size of at least 1, got {len(values)} for {len(sizes)}")
    if len(set(sizes)) < 2:
        return None
    doublings, seen = np.log2(np.asarray(sizes, dtype=np.float64)), np.asarray(values, dtype=np.float64)
    value = float(linregress(doublings, seen).slope)
    away = doublings - doublings.mean()
    x, y, xy, xx = resampled(np.stack([away, seen, away * seen, away**2], axis=1), seed=seed, columns=True).T
    spread = xx - x**2
    drawn = (xy - x * y)[spread > 1e-12] / spread[spread > 1e-12]
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(drawn, [tail, 100 - tail])
    return Interval(value, min(value, float(low)), max(value, float(high)), len(sizes))
