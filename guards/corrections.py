"""Corrections for the number of hypotheses of a family."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class HolmStep:
    """One hypothesis of a family after a correction for their number.

    Attributes:
        p: probability as it came.
        adjusted: smallest level of the family at which it would be rejected.
        rejected: whether it is rejected at the family's level.
    """

    p: float
    adjusted: float
    rejected: bool


def holm(p_values: Mapping[str, float], *, alpha: float = 0.05) -> dict[str, HolmStep]:
    """Holm's step-down correction: the chance of rejecting any true hypothesis of the family is at most `alpha`.

    S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6 (1979). The smallest of m
    probabilities is held against alpha / m, the next against alpha / (m - 1), ...; the first that fails ends it.
    Written here because statsmodels takes tens of milliseconds for one family; a test holds both against each other.

    Raises:
        ValueError: a value is no probability.
    """
    _check_probabilities(p_values)
    steps: dict[str, HolmStep] = {}
    reached = 0.0
    ordered = sorted(p_values.items(), key=lambda item: item[1])
    for index, (name, p) in enumerate(ordered):
        reached = max(reached, min(1.0, p * (len(ordered) - index)))
        steps[name] = HolmStep(p, reached, reached <= alpha)
    return {name: steps[name] for name in p_values}


def benjamini_hochberg(p_values: Mapping[str, float], *, alpha: float = 0.05) -> dict[str, HolmStep]:
    """Benjamini and Hochberg's step-up correction: of what it rejects, at most a share of `alpha` is true on average.

    Y. Benjamini, Y. Hochberg, "Controlling the false discovery rate", J. R. Statist. Soc. B 57 (1995); for independent
    hypotheses and those that depend positively on each other.

    Raises:
        ValueError: a value is no probability.
    """
    from scipy.stats import false_discovery_control

    _check_probabilities(p_values)
    if not p_values:
        return {}
    adjusted = false_discovery_control(list(p_values.values()), method="bh")
    return {
        name: HolmStep(p, float(level), bool(level <= alpha))
        for (name, p), level in zip(p_values.items(), adjusted, strict=True)
    }


def _check_probabilities(p_values: Mapping[str, float]) -> None:
    """Refuse a value that is no probability."""
    for name, p in p_values.items():
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"{p} for {name} is no probability")
