"""Events about facts in two times: when they hold in the world, and when this system came to know it.

Events are only ever added. An event asserts a fact, closes it (it holds no longer from a day on) or retracts it (it
should never have been asserted). What was known at any moment, about any day, by any release, is a `view` of them.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any, Literal, Self

from registry.digests import digest_json
from registry.records import FACT_ID_CHARS, Fact, KnownFact

EventKind = Literal["assert", "close", "retract"]
"""What an event does to a fact.

assert: it holds; asserting it again keeps it and names its new memory, and undoes an end.
close: it holds no longer from `valid_to` on; of several ends the earliest counts.
retract: it is taken back as if it had never been asserted.
"""

ROW_RELEASED = "row_released"
"""Ledger kind of a person's word that a row which was refused or quarantined may come in."""
RELEASE_PROCESSED = "release_processed"
"""Ledger kind of the run that decided on a released row."""
FACT_FIELDS = ("subject", "relation", "object", "source", "source_url", "confidence", "sensitivity")
DATE_FIELDS = ("valid_from", "valid_to")


@dataclass(frozen=True)
class FactEvent:
    """One line of the store.

    Attributes:
        seq: position in the store, from 0; `publish` fills it in.
        kind: see `EventKind`.
        fact: the fact as it was asserted, without later ends.
        valid_to: for "close": first day on which it no longer holds; None otherwise.
        recorded_at: when it was recorded, UTC.
        memory: name of the editor in whose memory the fact lives.
        release: number of the release that brought the event; `publish` fills it in.
        reason: why, in words.
    """

    seq: int
    kind: EventKind
    fact: Fact
    valid_to: date | None
    recorded_at: datetime
    memory: str
    release: int
    reason: str = ""

    def __post_init__(self) -> None:
        """Refuse a close without its day, a day without a close, and a time without its zone.

        Raises:
            ValueError: says which.
        """
        if self.kind not in ("assert", "close", "retract"):
            raise ValueError(f"expected assert, close or retract, got {self.kind!r}")
        if (self.kind == "close") != (self.valid_to is not None):
            raise ValueError(f"valid_to belongs to close and to nothing else, got {self.kind} with {self.valid_to}")
        if self.recorded_at.tzinfo is None:
            raise ValueError(f"expected a time with its zone, got {self.recorded_at.isoformat()}")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` is its inverse."""
        return {
            "seq": self.seq,
            "kind": self.kind,
            "fact": {**self.fact.to_dict(), "recorded_at": None},
            "valid_to": self.valid_to.isoformat() if self.valid_to else None,
            "recorded_at": self.recorded_at.astimezone(UTC).isoformat(),
            "memory": self.memory,
            "release": self.release,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Rebuild an event from `to_dict`'s form."""
        recorded_at = datetime.fromisoformat(values["recorded_at"])
        return cls(
            **{
                **values,
                "fact": replace(Fact.from_dict(values["fact"]), recorded_at=recorded_at),
                "valid_to": date.fromisoformat(values["valid_to"]) if values["valid_to"] else None,
                "recorded_at": recorded_at,
            }
        )

    def to_row(self) -> dict[str, Any]:
        """The event as one flat row; `from_row` is its inverse."""
        row: dict[str, Any] = {name: getattr(self.fact, name) for name in FACT_FIELDS}
        for name in DATE_FIELDS:
            day = getattr(self.fact, name)
            row[name] = day.isoformat() if day else None
        return {
            **row,
            "seq": self.seq,
            "kind": self.kind,
            "fact_id": self.fact.id,
            "closed_on": self.valid_to.isoformat() if self.valid_to else None,
            "recorded_at": self.recorded_at.astimezone(UTC).isoformat(),
            "memory": self.memory,
            "release": self.release,
            "reason": self.reason,
        }

    @staticmethod
    def row_keys() -> tuple[str, ...]:
        """Keys of `to_row`."""
        own = ("seq", "kind", "fact_id", "closed_on", "recorded_at", "memory", "release", "reason")
        return (*FACT_FIELDS, *DATE_FIELDS, *own)

    @staticmethod
    def derived_id(row: Mapping[str, Any]) -> str:
        """The id that follows from the content of a row, whatever id the row bears."""
        return digest_json({name: row[name] for name in (*FACT_FIELDS, *DATE_FIELDS)})[:FACT_ID_CHARS]

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Rebuild an event from a mapping with `to_row`'s keys; the id is taken as stored, audits derive it anew."""
        recorded_at = datetime.fromisoformat(row["recorded_at"])
        days: dict[str, Any] = {name: date.fromisoformat(row[name]) if row[name] else None for name in DATE_FIELDS}
        values: dict[str, Any] = {name: row[name] for name in FACT_FIELDS}
        fact = Fact(**values, **days, recorded_at=recorded_at)
        vars(fact)["id"] = row["fact_id"]
        closed_on = date.fromisoformat(row["closed_on"]) if row["closed_on"] else None
        kind, memory, reason = row["kind"], row["memory"], row["reason"]
        return cls(row["seq"], kind, fact, closed_on, recorded_at, memory, row["release"], reason)


@dataclass(frozen=True)
class RowRelease:
    """A person's word that one row may come in against the rules that stood against it.

    Attributes:
        feed: number of the feed's run.
        row: number of the row in it, from 1.
        raw: digest of the row's raw text as it was read.
        by: who says so.
        reason: why, in words.
        waives: rules that no longer stand against the row; others do.
        seq: its position in the log; the ledger fills it in.
    """

    feed: int
    row: int
    raw: str
    by: str
    reason: str
    waives: tuple[str, ...]
    seq: int = -1

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values without the position; `from_dict` is its inverse."""
        values = {"feed": self.feed, "row": self.row, "raw": self.raw, "by": self.by, "reason": self.reason}
        return {**values, "waives": list(self.waives)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], seq: int) -> Self:
        """Rebuild a release from the payload of the entry at `seq`."""
        return cls(**{**values, "waives": tuple(values["waives"])}, seq=seq)

    @property
    def words(self) -> str:
        """The release in words, for the row's reasons."""
        return f"row {self.row} of feed run {self.feed} was released by {self.by}: {self.reason}"


@dataclass
class _Held:
    """A fact while the events are walked."""

    fact: Fact
    recorded_at: datetime
    ends: date | None
    memory: str
    release: int
    reason: str

    def known(self) -> KnownFact:
        """The fact with its end; its id stays that of the fact as it was asserted."""
        fact = self.fact
        if self.ends != fact.valid_to or self.recorded_at != fact.recorded_at:
            fact = replace(fact, valid_to=self.ends, recorded_at=self.recorded_at)
            vars(fact)["id"] = self.fact.id
        return KnownFact(fact, self.memory, self.release, self.reason)


def _earliest(*days: date | None) -> date | None:
    """The earliest of the days that are given."""
    return min((day for day in days if day is not None), default=None)


def view(
    events: Iterable[FactEvent],
    *,
    valid_at: date | None = None,
    known_at: datetime | None = None,
    releases: Collection[int] | None = None,
) -> list[KnownFact]:
    """What was known, in the order in which it was first recorded.

    Args:
        events: in the order of `seq`.
        valid_at: only facts that hold on this day; None takes all, with their ends.
        known_at: only events recorded up to this moment; None takes all.
        releases: only events that these releases brought; None takes all.

    Returns:
        The facts; each keeps the id under which it was asserted, also when its end was narrowed. `recorded_at` is the
        time of its first assertion since it was last retracted.
    """
    held: dict[str, _Held] = {}
    for event in events:
        if (known_at is not None and event.recorded_at > known_at) or (
            releases is not None and event.release not in releases
        ):
            continue
        key = event.fact.id
        before = held.get(key)
        if event.kind == "assert":
            first = before.recorded_at if before else event.recorded_at
            ends = event.fact.valid_to
            held[key] = _Held(event.fact, first, ends, event.memory, event.release, event.reason)
        elif event.kind == "close" and before:
            before.ends = _earliest(before.ends, event.valid_to)
        elif event.kind == "retract":
            held.pop(key, None)
    known = [one.known() for one in held.values()]
    return known if valid_at is None else [one for one in known if one.fact.holds_on(valid_at)]
