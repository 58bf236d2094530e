"""Facts in two times: when they hold in the world (valid time) and when this system came to know it (recorded time).

The store only grows; what was known at any moment, about any day, by any release, is a `view` of its events. A
release keeps its events as a Parquet snapshot as well.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from registry.digests import digest_json
from registry.events import EventKind, FactEvent, view
from registry.snapshots import (
    SNAPSHOT,
    as_of_table,
    events_table,
    holds_lineage,
    memory_counts,
    read_snapshot,
    stale,
    write_snapshot,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from registry.ledger import Ledger, Transaction

__all__ = [
    "SNAPSHOT",
    "EventKind",
    "FactEvent",
    "FactStore",
    "as_of_table",
    "holds_lineage",
    "memory_counts",
    "read_snapshot",
    "stale",
    "view",
    "write_snapshot",
]


@dataclass(frozen=True)
class FactStore:
    """The events of all releases, in the ledger's database."""

    ledger: "Ledger"

    def events(self, releases: Collection[int] | None = None) -> list[FactEvent]:
        """All events, or those that `releases` brought, in the order of `seq`."""
        from sqlalchemy import select

        from registry import tables

        statement = select(tables.facts).order_by(tables.facts.c.seq)
        if releases is not None:
            statement = statement.where(tables.facts.c.release.in_(sorted(releases)))
        with self.ledger.read() as connection:
            return [FactEvent.from_row(dict(row)) for row in connection.execute(statement).mappings()]

    def table(self) -> "pa.Table":
        """All events as a snapshot would hold them, in the order of `seq`.

        Raises:
            ValueError: a row holds what is no date or time.
        """
        from sqlalchemy import select

        from registry import tables

        with self.ledger.read() as connection:
            rows = connection.execute(select(tables.facts).order_by(tables.facts.c.seq)).mappings()
            return events_table(dict(row) for row in rows)

    def next_seq(self) -> int:
        """The position that the next event will have."""
        from registry import tables
        from registry.ledger import count

        with self.ledger.read() as connection:
            return count(connection, tables.facts)

    def append(self, txn: "Transaction", event: FactEvent) -> None:
        """Add one event inside a transaction."""
        self.append_many(txn, [event])

    def append_many(self, txn: "Transaction", events: Sequence[FactEvent], actor: str = "dmmgov") -> None:
        """Add events inside a transaction, each with its leaf in the log.

        Raises:
            ValueError: their `seq` does not go on from what is there.
        """
        from sqlalchemy import insert

        from registry import tables
        from registry.ledger import Event, count

        if not events:
            return
        start = count(txn.connection, tables.facts)
        if [event.seq for event in events] != list(range(start, start + len(events))):
            raise ValueError(f"events must be numbered from {start} on, got {events[0].seq} to {events[-1].seq}")
        rows = [event.to_row() for event in events]
        txn.execute(insert(tables.facts), rows)
        leaves = [Event("fact", leaf_payload(row)) for row in rows]
        self.ledger.append_many(txn, leaves, actor, events[-1].recorded_at)


def leaf_payload(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the log keeps of an event's row: enough to find any change of it, and no content."""
    kept = {name: row[name] for name in ("seq", "kind", "fact_id", "release", "memory")}
    return {**kept, "digest": digest_json(dict(row))}
