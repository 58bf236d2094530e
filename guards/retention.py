"""Retention after later edits: recognition, recall, and after how many edits half of what was written is lost.

A fact is checked after 0, g, 2g, ... later edits. It counts as lost at the first check that fails; a fact that passed
to the end is censored there; one that failed at once was never learnt and is left out, with its number told. The curve
is Kaplan and Meier's (JASA 53, 1958), its interval a bootstrap over facts: checks of one fact belong together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from guards.base import Decision, Score, Verdict
from guards.stats import CONFIDENCE, Interval, bootstrap_mean, wilson

Ability = Literal["recognition", "recall"]
"""recognition: the right object is preferred among candidates; recall: it is said freely."""
HALF = 0.5
RESAMPLES = 1_000


@dataclass(frozen=True)
class Check:
    """One fact at one moment.

    Attributes:
        fact_id: the fact.
        edits_after: facts written since it was written itself.
        right: whether the check passed.
    """

    fact_id: str
    edits_after: int
    right: bool


@dataclass(frozen=True)
class HalfLife:
    """After how many later edits half of what was learnt is lost.

    Attributes:
        edits: the median of the survival curve; None where more than half survived to the end.
        low: lower bound of its interval; None where even that lies beyond what was seen.
        high: upper bound; None where it lies beyond what was seen.
        seen: the most later edits after which a fact was checked.
        learnt: facts that passed their first check.
        never_learnt: facts that did not.
        lost: facts that were lost.
    """

    edits: float | None
    low: float | None
    high: float | None
    seen: int
    learnt: int
    never_learnt: int
    lost: int

    @property
    def words(self) -> str:
        """The half-life in words."""
        if self.edits is None:
            bound = f"; at least {self.low:.0f}" if self.low is not None else ""
            return f"not reached within {self.seen} later edits ({self.lost} of {self.learnt} lost{bound})"
        high = f"{self.high:.0f}" if self.high is not None else f"more than {self.seen}"
        low = f"{self.low:.0f}" if self.low is not None else f"more than {self.seen}"
        return f"{self.edits:.0f} later edits, {low} to {high} ({self.lost} of {self.learnt} lost)"


@dataclass(frozen=True)
class Retention:
    """One ability, over later edits.

    Attributes:
        ability: see `Ability`.
        curve: share of right checks by number of later edits, with Wilson's interval.
        survival: share of the learnt facts that are not lost yet, by number of later edits.
        half_life: see `HalfLife`.
        slope: change of the share of right checks per 100 later edits, by least squares, bootstrapped over facts.
        long_term: LTRS: share right at each fact's last check over the share right at its first, bootstrapped.
    """

    ability: Ability
    curve: Mapping[int, Interval]
    survival: Mapping[int, float]
    half_life: HalfLife
    slope: Interval | None
    long_term: Interval | None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, with the half-life in words."""
        values = asdict(self)
        values["half_life"]["words"] = self.half_life.words
        return values


def retention(ability: Ability, checks: Sequence[Check], *, seed: int = 0) -> Retention:
    """What the checks of many facts show.

    Raises:
        ValueError: there is no check, or a fact was checked twice after the same number of edits.
    """
    by_fact = _by_fact(checks)
    counts: dict[int, list[bool]] = {}
    for one in checks:
        counts.setdefault(one.edits_after, []).append(one.right)
    curve = {edits: wilson(sum(rights), len(rights)) for edits, rights in sorted(counts.items())}
    ends = [_end(series) for series in by_fact.values() if series[0].right]
    return Retention(
        ability,
        curve,
        _survival(ends),
        _half_life(by_fact, ends, seed),
        _slope(list(by_fact.values()), seed),
        _long_term(list(by_fact.values())),
    )


def _by_fact(checks: Sequence[Check]) -> dict[str, list[Check]]:
    """The checks of every fact, in the order of the edits."""
    if not checks:
        raise ValueError("no check was made: retention needs at least one")
    by_fact: dict[str, list[Check]] = {}
    for one in sorted(checks, key=lambda check: (check.fact_id, check.edits_after)):
        series = by_fact.setdefault(one.fact_id, [])
        if series and series[-1].edits_after == one.edits_after:
            raise ValueError(f"fact {one.fact_id} was checked twice after {one.edits_after} edits")
        series.append(one)
    return by_fact


def _end(series: Sequence[Check]) -> tuple[int, bool]:
    """After how many edits a learnt fact was lost, or was last seen; and whether it was lost."""
    lost = next((one.edits_after for one in series if not one.right), None)
    return (series[-1].edits_after, False) if lost is None else (lost, True)


def _survival(ends: Sequence[tuple[int, bool]]) -> dict[int, float]:
    """Kaplan-Meier: the share of learnt facts that are not lost, after every number of edits at which one was lost."""
    if not any(lost for _, lost in ends):
        return {}
    from statsmodels.duration.survfunc import SurvfuncRight

    times, losses = (np.array(values) for values in zip(*ends, strict=True))
    fitted = SurvfuncRight(times, losses.astype(int))
    return {int(time): float(share) for time, share in zip(fitted.surv_times, fitted.surv_prob, strict=True)}


def _median(survival: Mapping[int, float]) -> float:
    """The first number of edits after which half or fewer are left; infinite where that never comes."""
    return next((float(edits) for edits, share in survival.items() if share <= HALF), float("inf"))


def _half_life(by_fact: Mapping[str, Sequence[Check]], ends: Sequence[tuple[int, bool]], seed: int) -> HalfLife:
    """The median of the curve, with a percentile bootstrap over the learnt facts."""
    learnt, lost = len(ends), sum(lost for _, lost in ends)
    seen = max((one.edits_after for series in by_fact.values() for one in series), default=0)
    edits = low = high = float("inf")
    if learnt:
        edits = _median(_survival(ends))
        draw = np.random.default_rng(seed)
        medians = sorted(
            _median(_quick_survival([ends[place] for place in draw.integers(0, learnt, learnt)]))
            for _ in range(RESAMPLES)
        )
        tail = (1 - CONFIDENCE) / 2
        low, high = medians[int(tail * RESAMPLES)], medians[min(RESAMPLES - 1, int((1 - tail) * RESAMPLES))]
    given = [value if np.isfinite(value) else None for value in (edits, low, high)]
    return HalfLife(given[0], given[1], given[2], seen, learnt, len(by_fact) - learnt, lost)


def _quick_survival(ends: Sequence[tuple[int, bool]]) -> dict[int, float]:
    """The same estimate as `_survival` without its standard errors, for resampling."""
    times = sorted({time for time, lost in ends if lost})
    share, survival = 1.0, {}
    for time in times:
        at_risk = sum(end >= time for end, _ in ends)
        share *= 1 - sum(lost and end == time for end, lost in ends) / at_risk
        survival[time] = share
    return survival


def _slope(series: Sequence[Sequence[Check]], seed: int) -> Interval | None:
    """Change of the share of right checks per 100 later edits; None where all checks lie at one number of edits."""
    sums = np.array(
        [
            [
                len(one),
                sum(check.edits_after for check in one),
                sum(check.right for check in one),
                sum(check.edits_after * check.right for check in one),
                sum(check.edits_after**2 for check in one),
            ]
            for one in series
        ],
        dtype=float,
    )
    if len({check.edits_after for one in series for check in one}) < 2:
        return None
    draw = np.random.default_rng(seed)
    drawn = sums[draw.integers(0, len(sums), (RESAMPLES, len(sums)))].sum(axis=1)
    values = [value for value in map(_least_squares, drawn) if np.isfinite(value)]
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(values, [tail, 100 - tail])
    return Interval(_least_squares(sums.sum(axis=0)), float(low), float(high), len(sums))


def _least_squares(sums: Any) -> float:
    """Slope per 100 of y on x from n, sum x, sum y, sum xy, sum xx."""
    n, x, y, xy, xx = map(float, sums)
    spread = n * xx - x * x
    return 100 * (n * xy - x * y) / spread if spread > 0 else float("nan")


def _long_term(series: Sequence[Sequence[Check]]) -> Interval | None:
    """Delayed over initial recall, of the facts that passed at first and were checked again; None without any."""
    kept = [float(one[-1].right) for one in series if one[0].right and len(one) > 1]
    return bootstrap_mean(kept) if kept else None


@dataclass(frozen=True)
class RetentionGuard:
    """Passes when the lower bound of the half-life lies at or beyond the edits that a base is meant to take.

    Attributes:
        edits: edits that half of what was written must outlast.
    """

    edits: int = 100

    @property
    def name(self) -> str:
        """Name under which the verdict is kept."""
        return "retention"

    def judge(self, case: Retention) -> Verdict:
        """Decide on a measured curve; one that was not followed far enough escalates."""
        half = case.half_life
        if not half.learnt:
            return Verdict(self.name, "escalate", "no fact was learnt: nothing shows how long one is kept; write some")
        far = half.low if half.low is not None else float(half.seen)
        score = Score(f"{case.ability}_half_life", half.edits or far, far, half.high or far, half.learnt, self.edits)
        words = f"{case.ability}: half-life {half.words}; at least {self.edits} later edits are asked for"
        if far >= self.edits:
            return Verdict(self.name, "pass", words, (score,))
        decision: Decision = "block" if half.low is not None else "escalate"
        return Verdict(self.name, decision, f"{words}; follow more edits, or write fewer facts into one base", (score,))
