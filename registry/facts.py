"""Facts in two times: when they hold in the world (valid time) and when this system came to know it (recorded time).

The store only grows; what was known at any moment, about any day, by any release, is a `view` of its events. A
release keeps its events as a Parquet snapshot as well.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from registry.digests import digest_json
from registry.events import DATE_FIELDS, FACT_FIELDS, EventKind, FactEvent, view
from registry.shredding import Shredded, open_text, seal_many
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
    from sqlalchemy import Connection

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

CONTENT = (*FACT_FIELDS, *DATE_FIELDS, "closed_on", "reason")
"""What of an event's row is sealed."""


@dataclass(frozen=True)
class FactStore:
    """The events of all releases, in the ledger's database; what was forgotten is left out of every answer."""

    ledger: "Ledger"

    def events(self, releases: Collection[int] | None = None) -> list[FactEvent]:
        """All events, or those that `releases` brought, in the order of `seq`."""
        with self.ledger.read() as connection:
            return [
                FactEvent.from_row({**row, **content})
                for row, content in stored(connection, releases)
                if not isinstance(content, Shredded)
            ]

    def shredded(self) -> list[dict[str, Any]]:
        """What is left of the events whose content was forgotten: seq, kind, fact_id, release, memory, recorded_at."""
        with self.ledger.read() as connection:
            rows = [row for row, content in stored(connection) if isinstance(content, Shredded)]
        return [{name: value for name, value in row.items() if name != "content"} for row in rows]

    def table(self) -> "pa.Table":
        """All events as a snapshot would hold them, in the order of `seq`.

        Raises:
            ValueError: a row holds what is no date or time.
        """
        with self.ledger.read() as connection:
            kept = ({**row, **content} for row, content in stored(connection) if not isinstance(content, Shredded))
            return events_table(kept)

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
        rows = _sealed_rows(txn, events)
        txn.execute(insert(tables.facts), rows)
        leaves = [Event("fact", leaf_payload(row)) for row in rows]
        self.ledger.append_many(txn, leaves, actor, events[-1].recorded_at)


def event_key(fact_id: str, seq: int) -> str:
    """Id of the key of one event's content."""
    return f"fact:{fact_id}:{seq}"


def _sealed_rows(txn: "Transaction", events: Sequence[FactEvent]) -> list[dict[str, Any]]:
    """The rows of events as they are stored."""
    whole = [event.to_row() for event in events]
    items = [(event_key(row["fact_id"], row["seq"]), {name: row.pop(name) for name in CONTENT}) for row in whole]
    texts = seal_many(txn, items)
    return [{**row, "content": text} for row, text in zip(whole, texts, strict=True)]


def stored(
    connection: "Connection", releases: Collection[int] | None = None
) -> Iterator[tuple[dict[str, Any], dict[str, Any] | Shredded]]:
    """Every row as it is stored, with its content, in the order of `seq`.

    Raises:
        IntegrityError: a content or its key was changed.
    """
    from sqlalchemy import Text, cast, literal, select

    from registry import tables

    facts, keys = tables.facts, tables.content_keys
    name = literal("fact:") + facts.c.fact_id + literal(":") + cast(facts.c.seq, Text)
    statement = select(facts, keys.c.key).select_from(facts.outerjoin(keys, keys.c.id == name)).order_by(facts.c.seq)
    if releases is not None:
        statement = statement.where(facts.c.release.in_(sorted(releases)))
    for found in connection.execute(statement).mappings():
        row = dict(found)
        key, own = row.pop("key"), event_key(row["fact_id"], row["seq"])
        yield row, open_text({own: bytes.fromhex(key)} if key else {}, row["content"])


def leaf_payload(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the log keeps of an event's stored row: enough to find any change of it, and no content."""
    kept = {name: row[name] for name in ("seq", "kind", "fact_id", "release", "memory")}
    return {**kept, "digest": digest_json(dict(row))}
