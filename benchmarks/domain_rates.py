"""Learning rates of the domain comparison: those tried first, and how the search goes on."""

import math
from collections.abc import Callable, Sequence

RATES = {
    "full": (1e-4, 3e-4, 1e-3),
    "lora": (3e-4, 1e-3, 3e-3),
    "svfit": (3e-3, 1e-2, 3e-2),
    "sst": (3e-4, 1e-3, 3e-3),
}
"""Learning rates tried first, relative to each matrix (`editors.training`)."""
WIDER = 3
"""How often the search goes on beyond an end, at most."""


def best_rate(
    loss_of: Callable[[float], float], rates: Sequence[float], tried: dict[str, float], *, wider: int = WIDER
) -> float:
    """The learning rate with the least loss; rates beyond an end are tried while the best stands there.

    Args:
        loss_of: the loss that a rate leads to.
        rates: what is tried in any case.
        tried: gets the losses, by rate.
        wider: how often the search goes on beyond an end, at most.
    """
    known: dict[float, float] = {}
    todo = list(rates)
    for _ in range(1 + wider):
        for lr in todo:
            known[lr] = loss_of(lr)
            tried[f"{lr:g}"] = known[lr]
        best = min(known, key=known.__getitem__)
        ends = {min(known): -1, max(known): 1}
        if best not in ends:
            break
        todo = [_beside(best, ends[best])]
    return min(known, key=known.__getitem__)


def _beside(rate: float, way: int) -> float:
    """The rate `way` places further on the scale 1, 3, 10, 30, ... times a power of ten."""
    return float(f"{10 ** ((round(2 * math.log10(rate)) + way) / 2):.1g}")
