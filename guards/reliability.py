"""How far a source's own record lets it be trusted: outcomes of its rows in, a tier out, never above the listed one.

The chance that a row of the source is right has a Beta distribution: a prior by the tier that somebody listed, plus one
count for each row that stood and for each that was withdrawn as false. What counts is its lower bound (A. Josang and
R. Ismail, "The Beta Reputation System", 2002), held against the floor of each tier. Two things keep the record from
being bought (slow drip: many true rows, then false ones):

- a good record never raises a source above the tier that it was given;
- only the latest `window_rows` outcomes count, and of those that stood at most `most_confirmed`, so that no history
  outweighs a few withdrawn rows, and a large source is not held to its few errors for ever.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from guards.sources import RANK, Source, Sources, Tier, registrable_domain


@dataclass(frozen=True)
class Outcome:
    """What became of one row of a source.

    Attributes:
        at: when it was known.
        stood: whether it stood; False where it was withdrawn as false.
    """

    at: datetime
    stood: bool


@dataclass(frozen=True)
class Record:
    """How many rows of a source stood and how many were withdrawn."""

    confirmed: int = 0
    withdrawn: int = 0


@dataclass(frozen=True)
class ReliabilityPolicy:
    """How a record becomes a tier.

    Attributes:
        prior: rows that a source of each tier is taken to have got right before its first.
        floor: lower bound that each tier needs; below that of "weak" the source has no vote.
        most_confirmed: how many rows that stood count at most.
        confidence: of the one-sided lower bound.
        window_days: for how long an outcome counts.
        window_rows: how many of the latest outcomes count.
        settle_days: after how many days a row that nobody withdrew counts as one that stood.
    """

    prior: Mapping[Tier, float] = field(
        default_factory=lambda: {"weak": 4.0, "established": 30.0, "authoritative": 60.0}
    )
    floor: Mapping[Tier, float] = field(
        default_factory=lambda: {"weak": 0.55, "established": 0.88, "authoritative": 0.93}
    )
    most_confirmed: int = 10
    confidence: float = 0.9
    window_days: int = 365
    window_rows: int = 60
    settle_days: int = 30


def record_of(outcomes: Iterable[Outcome], at: datetime, policy: ReliabilityPolicy | None = None) -> Record:
    """Count the latest outcomes before `at`; of one moment, those that stood count as the earlier ones."""
    policy = policy or ReliabilityPolicy()
    since = at - timedelta(days=policy.window_days)
    within = sorted((each for each in outcomes if since <= each.at <= at), key=lambda each: (each.at, not each.stood))
    latest = [each.stood for each in within[-policy.window_rows :]]
    return Record(sum(latest), len(latest) - sum(latest))


@dataclass(frozen=True)
class Reliability:
    """What a source's record comes to.

    Attributes:
        tier: the tier that it holds now; None where it has no vote.
        bound: lower bound of the chance that a row of it is right.
        words: why, for a person.
    """

    tier: Tier | None
    bound: float
    words: str


def reliability(listed: Tier, record: Record, policy: ReliabilityPolicy | None = None) -> Reliability:
    """The tier that a record leaves to a source, at most the listed one; without withdrawn rows it is the listed one.

    Raises:
        ValueError: a negative count.
    """
    policy = policy or ReliabilityPolicy()
    if record.confirmed < 0 or record.withdrawn < 0:
        raise ValueError(f"expected counts of rows, got {record}")
    bound = lower_bound(listed, record, policy)
    if not record.withdrawn:
        return Reliability(listed, bound, f"{listed} as listed; none of its rows was withdrawn")
    at_most = [tier for tier in RANK if RANK[tier] <= RANK[listed] and bound >= policy.floor[tier]]
    left = max(at_most, key=RANK.__getitem__, default=None)
    counts = f"{record.withdrawn} of its rows withdrawn, {record.confirmed} stood"
    if left == listed:
        return Reliability(left, bound, f"{listed} as listed; {counts}, lower bound {bound:.2f}")
    needed = f"{listed} needs {policy.floor[listed]:.2f}"
    became = f"counts as {left}" if left else "has no vote"
    return Reliability(left, bound, f"{became}: {counts}, lower bound {bound:.2f} where {needed}")


def lower_bound(listed: Tier, record: Record, policy: ReliabilityPolicy) -> float:
    """One-sided lower bound of Beta(prior + rows that stood, 1 + rows withdrawn)."""
    from scipy.special import betaincinv

    right = policy.prior[listed] + min(record.confirmed, policy.most_confirmed)
    return float(betaincinv(right, 1 + record.withdrawn, 1 - policy.confidence))


def judged(sources: Sources, records: Mapping[str, Record], policy: ReliabilityPolicy | None = None) -> Sources:
    """The list of sources as their records leave it; unlisted ones that lost their vote are added to it.

    Args:
        sources: as somebody listed them.
        records: by the source's name.
        policy: how a record becomes a tier.
    """
    changed: dict[str, Source] = {}
    for name, record in records.items():
        if record.withdrawn:
            listed = sources.by_name.get(sources.fold(name)) or Source(name)
            left = reliability(listed.tier, record, policy).tier
            if left != listed.tier:
                changed[sources.fold(name)] = replace(listed, tier=left or "weak", votes=left is not None)
    if not changed:
        return sources
    by_domain = {domain: changed.get(sources.fold(one.name), one) for domain, one in sources.by_domain.items()}
    by_domain |= {one.name: one for one in changed.values() if registrable_domain(one.name) == one.name}
    return Sources({**sources.by_name, **changed}, by_domain)
