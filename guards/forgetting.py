"""When to ask a fact again: MemoryBank's forgetting curve, over days in the world and over later edits of the weights.

MemoryBank (arXiv 2305.10250): retention R = exp(-t / S) (Ebbinghaus); each recall adds one to the strength S and sets t
back to nothing. Here t / S has two parts, since a fact can go stale in two ways: the world moves on (days since a
source last said so, over the lifetime that its relation is expected to have), and later edits wear the weights (edits
since, over the number of edits in which what was written is lost). Each has its own strength, since a source that says
it again tells nothing about the weights, and a right answer of the weights nothing about the world. The curve says
when to look, never what to delete.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Literal

from registry.records import RiskTier

INDEX = "rag"
"""The memory that later edits do not wear."""
TIERS: tuple[RiskTier, ...] = ("high", "medium", "low")


@dataclass(frozen=True)
class ReviewPolicy:
    """When a fact is due.

    Attributes:
        retention: a fact is due when R falls below this, by risk tier.
        edits: edits after which R of a fact in the weights, asked never, is down to 1/e; half-life / ln 2.
        most_strength: where the strength stops growing, so that nothing drops out of sight.
    """

    retention: Mapping[RiskTier, float] = field(default_factory=lambda: {"high": 0.9, "medium": 0.8, "low": 0.7})
    edits: float = 500.0
    most_strength: int = 8


@dataclass(frozen=True)
class History:
    """What the record says about one fact.

    Attributes:
        fact_id: the fact.
        what: the fact in words.
        relation: its relation.
        risk_tier: of the relation.
        lifetime_days: how long a fact of this kind is expected to hold; None for ever.
        memory: where it lives.
        last_confirmed: day on which a source last said so.
        confirmations: how often one said so again.
        edits_since: facts written into the weights since it was written itself, or since it was last recalled.
        recalls: checks of the system passed since the last one that failed.
        failed: whether the last check failed.
    """

    fact_id: str
    what: str
    relation: str
    risk_tier: RiskTier
    lifetime_days: int | None
    memory: str
    last_confirmed: date
    confirmations: int = 0
    edits_since: int = 0
    recalls: int = 0
    failed: bool = False


Whom = Literal["source", "system"]
"""Whom to ask again: the source, since the world may have moved on; the system, since it may have forgotten."""


@dataclass(frozen=True)
class Due:
    """One fact on the schedule.

    Attributes:
        fact_id: the fact.
        what: the fact in words.
        risk_tier: of the relation.
        retention: R on the day of the plan, 0 to 1.
        threshold: below which it is due.
        due: whether it is due now.
        due_on: the day on which R reaches the threshold if nothing else is edited; None where days alone never do it.
        ask: whom to ask again.
        reasons: in words.
    """

    fact_id: str
    what: str
    risk_tier: RiskTier
    retention: float
    threshold: float
    due: bool
    due_on: date | None
    ask: Whom
    reasons: tuple[str, ...]


def passed_in_a_row(checks: Sequence[bool]) -> int:
    """Checks passed since the last one that failed: what a failure takes away is all of the strength."""
    return next((count for count, passed in enumerate(reversed(checks)) if not passed), len(checks))


def retention_of(history: History, today: date, policy: ReviewPolicy) -> float:
    """R = exp(-(days / (lifetime S1) + edits / (scale S2))); a fact whose last check failed has none left."""
    return 0.0 if history.failed else math.exp(-sum(_worn(history, today, policy)))


def plan(histories: Iterable[History], today: date, policy: ReviewPolicy | None = None) -> tuple[Due, ...]:
    """The schedule: due facts first, of them the riskier tier, then the least retention (the most volatile).

    The same record gives the same schedule.
    """
    policy = policy or ReviewPolicy()
    return tuple(sorted((_due(one, today, policy) for one in histories), key=_order))


def next_due(schedule: Sequence[Due], count: int, ask: Whom | None = None) -> tuple[Due, ...]:
    """The first `count` that are due now, of all or of those that one is to be asked about."""
    return tuple(one for one in schedule if one.due and ask in (None, one.ask))[:count]


def _order(one: Due) -> tuple[bool, int, float, str]:
    """Place on the schedule."""
    return (not one.due, TIERS.index(one.risk_tier), one.retention, one.fact_id)


def _strength(times: int, policy: ReviewPolicy) -> int:
    """S: one to begin with, one more each time, up to where it stops growing."""
    return min(policy.most_strength, 1 + times)


def _worn(history: History, today: date, policy: ReviewPolicy) -> tuple[float, float]:
    """How far the world and the edits have come, each over its scale and its strength."""
    days = max(0, (today - history.last_confirmed).days)
    by_days = days / history.lifetime_days / _strength(history.confirmations, policy) if history.lifetime_days else 0.0
    edits = 0 if history.memory == INDEX else history.edits_since
    return by_days, edits / policy.edits / _strength(history.recalls, policy)


def _due(history: History, today: date, policy: ReviewPolicy) -> Due:
    """One fact on the schedule, with its reasons."""
    threshold = policy.retention[history.risk_tier]
    retention = retention_of(history, today, policy)
    by_days, by_edits = _worn(history, today, policy)
    reasons = [f"{history.risk_tier} risk: due below {threshold:.2f}, stands at {retention:.3f}"]
    if history.failed:
        reasons.append("the last check failed")
    if by_days:
        days = (today - history.last_confirmed).days
        again = f", {history.confirmations} times again before" if history.confirmations else ""
        reasons.append(f"said by a source {days} days ago{again}, expected to hold {history.lifetime_days} days")
    if by_edits:
        again = f", {history.recalls} checks passed before" if history.recalls else ""
        reasons.append(f"{history.edits_since} facts were written into the weights since{again}")
    return Due(
        history.fact_id,
        history.what,
        history.risk_tier,
        retention,
        threshold,
        retention < threshold,
        _day(history, by_edits, threshold, policy),
        "system" if history.failed or by_edits > by_days else "source",
        tuple(reasons),
    )


def _day(history: History, by_edits: float, threshold: float, policy: ReviewPolicy) -> date | None:
    """The first day on which R lies below the threshold; the day of the last confirmation where it does already."""
    room = -math.log(threshold) - by_edits
    if history.failed or room < 0:
        return history.last_confirmed
    if not history.lifetime_days:
        return None
    days = math.floor(room * history.lifetime_days * _strength(history.confirmations, policy)) + 1
    try:
        return history.last_confirmed + timedelta(days=days)
    except OverflowError:
        return None
