"""What a drop test can see: its critical count, its power, and how many cases a wanted power takes.

The test is exact: of n facts that were right before, each is lost with chance `tolerated` under the null; the loss is
shown where so many lost facts have a binomial probability of at most alpha (`guards.stats.excess_p`).
"""

import math
from functools import lru_cache

POWER = 0.8
DROP = 0.05
"""The drop that every family says it can see, and with which power, from how many cases."""
_MOST = 100_000


def critical(n: int, tolerated: float, alpha: float) -> int:
    """Fewest lost facts of `n` that show more loss than is tolerated; n + 1 where no number does.

    Raises:
        ValueError: no cases, or a share that is none.
    """
    from scipy.stats import binom

    if n < 1 or not 0 <= tolerated < 1 or not 0 < alpha < 1:
        raise ValueError(f"expected n > 0, 0 <= tolerated < 1 and 0 < alpha < 1, got {n}, {tolerated}, {alpha}")
    return int(binom.isf(alpha, n, tolerated)) + 1


def power(n: int, tolerated: float, lost: float, alpha: float) -> float:
    """Chance that the test shows the loss where each fact is lost with chance `lost`."""
    from scipy.stats import binom

    return float(binom.sf(critical(n, tolerated, alpha) - 1, n, lost))


def needed(tolerated: float, lost: float, alpha: float, wanted: float = POWER) -> int:
    """Fewest cases from which on the power stays at `wanted` or above.

    Raises:
        ValueError: the loss is tolerated, so that no number of cases shows it.
    """
    if lost <= tolerated:
        raise ValueError(f"a loss of {lost} is tolerated ({tolerated}): no number of cases shows it")
    high = 8
    while power(high, tolerated, lost, alpha) < wanted + 0.1 and high < _MOST:
        high *= 2
    short = [n for n in range(1, high + 1) if power(n, tolerated, lost, alpha) < wanted]
    return short[-1] + 1 if short else 1


@lru_cache(maxsize=1024)
def detectable(n: int, tolerated: float, alpha: float, wanted: float = POWER) -> float:
    """Smallest loss that `n` cases show with the wanted power, to a thousandth; 1 where they show none."""
    low, high = math.floor(1000 * tolerated), 1000
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(n, tolerated, middle / 1000, alpha) >= wanted else (middle, high)
    return high / 1000
