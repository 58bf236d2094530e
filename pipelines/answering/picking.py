"""Picking: which version of a fact holds on a day, decided by valid time, then by recorded time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from registry.catalogue import Relation
from registry.records import KnownFact
from registry.text import normalise

_EARLIEST = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Pick:
    """The facts that hold on a day.

    Attributes:
        facts: one at most where the relation takes one object at a time.
        why: in words, where something had to be decided or nothing holds; empty otherwise.
    """

    facts: tuple[KnownFact, ...] = ()
    why: str = ""


def pick(versions: Sequence[KnownFact], day: date, relation: Relation | None) -> Pick:
    """The versions that hold on `day`.

    A version without a first day holds from any time on where its relation is expected to hold for ever; otherwise
    only as far back from the day on which it was recorded as such a fact is expected to hold.

    Args:
        versions: all that is known for one subject and relation.
        day: the day asked for.
        relation: its entry in the catalogue; None takes one object at a time, for ever.
    """
    if not versions:
        return Pick(why="nothing is known of it")
    holding = [item for item in versions if item.fact.holds_on(day)]
    if not holding:
        return Pick(why=_nothing(versions, day))
    lifetime = relation.lifetime_days if relation is not None else None
    sure = [item for item in holding if reaches_back(item, day, lifetime)]
    if not sure:
        return Pick(why=f"since when it holds is not recorded, and {day.isoformat()} lies too far back to say")
    order = sorted(sure, key=_rank)
    if relation is not None and relation.cardinality == "many":
        each = {normalise(item.fact.object): item for item in order}
        return Pick(tuple(sorted(each.values(), key=lambda item: (item.fact.recorded_at or _EARLIEST, item.fact.id))))
    best = order[-1]
    rivals = [item.fact.object for item in order[:-1] if item.fact.object != best.fact.object]
    if not rivals:
        return Pick((best,))
    tied = any(_rank(item)[:2] == _rank(best)[:2] for item in order[:-1])
    rule = "the most trusted of versions that begin together" if tied else "the latest version"
    return Pick((best,), f"{rule}, instead of {', '.join(dict.fromkeys(rivals))}")


def _rank(item: KnownFact) -> tuple[date, datetime, float, str]:
    """What decides between versions: first day, then when it was recorded, then confidence, then the id."""
    fact = item.fact
    return (fact.valid_from or date.min, fact.recorded_at or _EARLIEST, fact.confidence, fact.id)


def reaches_back(item: KnownFact, day: date, lifetime: int | None) -> bool:
    """Whether a version can be said to hold on `day` although its first day may not be recorded."""
    recorded = item.fact.recorded_at
    if item.fact.valid_from is not None or lifetime is None or recorded is None:
        return True
    return day >= recorded.date() - timedelta(days=lifetime)


def _nothing(versions: Sequence[KnownFact], day: date) -> str:
    """Why no version holds on `day`."""
    starts = [item.fact.valid_from for item in versions if item.fact.valid_from is not None]
    ends = [item.fact.valid_to for item in versions if item.fact.valid_to is not None and item.fact.valid_to <= day]
    if ends:
        return f"what was known of it ended on {max(ends).isoformat()}"
    return f"what is known of it begins on {min(starts).isoformat()}" if starts else "nothing that is known holds then"
