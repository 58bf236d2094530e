"""Ranks of retrieved passages: how early those come that a question asks for, and whether long ones come later."""

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from guards.stats import CONFIDENCE, RESAMPLES, Interval

CUT = 10
"""Passages that are looked at."""

_Numbers = npt.NDArray[np.float64]


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
    """Change of a value per doubling of the size, by least squares, with a bootstrap over cases (scipy).

    Resamples in which all sizes are alike are left out; None where that is so in the cases themselves.

    Raises:
        ValueError: unequal lengths, or a size below 1.
    """
    from scipy.stats import bootstrap, linregress

    if len(sizes) != len(values) or any(size < 1 for size in sizes):
        raise ValueError(f"expected one value for every size of at least 1, got {len(values)} for {len(sizes)}")
    if len(set(sizes)) < 2:
        return None

    def slope(x: _Numbers, y: _Numbers, axis: int = -1) -> _Numbers:
        """Least squares along an axis."""
        away = x - x.mean(axis=axis, keepdims=True)
        spread = (away**2).sum(axis=axis)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((away * y).sum(axis=axis) / spread)

    doublings, seen = np.log2(np.asarray(sizes, dtype=np.float64)), np.asarray(values, dtype=np.float64)
    value = float(linregress(doublings, seen).slope)
    drawn = bootstrap(
        (doublings, seen), slope, n_resamples=RESAMPLES, paired=True, random_state=np.random.default_rng(seed)
    ).bootstrap_distribution
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(drawn[np.isfinite(drawn)], [tail, 100 - tail])
    return Interval(value, min(value, float(low)), max(value, float(high)), len(sizes))
