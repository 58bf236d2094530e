"""The ledger: an append-only Merkle log of every event, in the database in which everything else is committed with it.

SQLite in WAL mode (`BEGIN IMMEDIATE`, `synchronous=FULL`) or Postgres (one advisory lock per writing transaction), by
URL. Each transaction that appends leaves a head (size and root), so that an entry that is changed, removed or put in
is found by `verify`.

    ledger = Ledger.open(home)
    with ledger.transaction() as txn:
        ledger.append(txn, "published", {"release": 1}, actor="feed", at=now)
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from sqlalchemy import Connection, CursorResult, Engine, Executable, Row, func, insert, select, text
from sqlalchemy.exc import DatabaseError, OperationalError

from registry import tables
from registry.database import damaged, file_problems, first_line, locked, open_engine
from registry.digests import canonical_json
from registry.errors import BusyError, DmmGovError, IntegrityError
from registry.home import Home
from registry.merkle import Frontier
from registry.records import LedgerEntry
from registry.walk import Walk, leaf_of, walk

ADVISORY_LOCK = 0x646D6D676F76
"""Key of the Postgres advisory lock that orders writing transactions ("dmmgov")."""


@dataclass(frozen=True)
class Head:
    """What the log is at some moment.

    Attributes:
        size: number of entries.
        root: Merkle root over them, hexadecimal.
    """

    size: int
    root: str


@dataclass
class Transaction:
    """One writing transaction: its connection and how far the log is within it."""

    connection: Connection
    frontier: Frontier

    def execute(self, statement: Executable, rows: Sequence[Mapping[str, Any]] | None = None) -> CursorResult[Any]:
        """Run a statement inside the transaction, once per row of `rows` where given."""
        return self.connection.execute(statement, rows)


@dataclass(frozen=True)
class Event:
    """One thing to append: its kind and its payload of plain JSON values."""

    kind: str
    payload: Mapping[str, Any]


@dataclass(frozen=True)
class Ledger:
    """The log and its database."""

    engine: Engine

    @classmethod
    def open(cls, home: Home) -> Self:
        """Open the ledger of `home`, and make it when there is none.

        Raises:
            InputError: the URL cannot be used, or the folder cannot be written.
            IntegrityError: the file is there and is not a ledger.
        """
        return cls(open_engine(home))

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def __enter__(self) -> Self:
        """Use as a context manager, which closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close all connections."""
        self.close()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees one moment of the database, whatever others write meanwhile."""
        options = {"isolation_level": "REPEATABLE READ"} if self.engine.dialect.name == "postgresql" else {}
        try:
            with self.engine.connect().execution_options(**options) as connection:
                yield connection
        except DatabaseError as error:
            raise _failed(error) from error

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """A writing transaction: all of it becomes durable together, or nothing; one at a time.

        Raises:
            BusyError: others held the database for longer than its time-out.
            DmmGovError: the database does not answer, or has no room.
        """
        try:
            with self.engine.execution_options(dmmgov_write=True).connect() as connection, connection.begin():
                if self.engine.dialect.name == "postgresql":
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
                start = self._frontier(connection)
                txn = Transaction(connection, start)
                yield txn
                if txn.frontier.size != start.size:
                    peaks = "".join(peak.hex() for peak in txn.frontier.peaks)
                    head = {"size": txn.frontier.size, "root": txn.frontier.root.hex(), "peaks": peaks}
                    connection.execute(insert(tables.heads), [head])
        except DatabaseError as error:
            raise _failed(error) from error

    def append(self, txn: Transaction, kind: str, payload: Mapping[str, Any], actor: str, at: datetime) -> LedgerEntry:
        """Append one entry.

        Raises:
            TypeError: the payload holds a value without a JSON form.
        """
        return self.append_many(txn, [Event(kind, payload)], actor, at)[0]

    def append_many(self, txn: Transaction, events: Iterable[Event], actor: str, at: datetime) -> list[LedgerEntry]:
        """Append entries of one actor and one moment, in order."""
        if at.tzinfo is None:
            raise ValueError(f"a time with its zone is needed, got {at.isoformat()}")
        added: list[LedgerEntry] = []
        rows: list[dict[str, Any]] = []
        frontier, recorded_at = txn.frontier, at.isoformat()
        for event in events:
            payload = canonical_json(event.payload).decode()
            leaf = leaf_of(frontier.size, event.kind, actor, recorded_at, payload)
            added.append(LedgerEntry(frontier.size, event.kind, actor, at, json.loads(payload), leaf))
            rows.append(
                {
                    "seq": frontier.size,
                    "kind": event.kind,
                    "actor": actor,
                    "recorded_at": recorded_at,
                    "payload": payload,
                    "leaf": leaf,
                }
            )
            frontier = frontier.append(bytes.fromhex(leaf))
        if rows:
            txn.execute(insert(tables.entries), rows)
            txn.frontier = frontier
        return added

    def entries(self, kind: str | None = None) -> list[LedgerEntry]:
        """All entries, or those of one kind, in the order of the log."""
        statement = select(tables.entries).order_by(tables.entries.c.seq)
        if kind is not None:
            statement = statement.where(tables.entries.c.kind == kind)
        with self.read() as connection:
            return [_entry(row) for row in connection.execute(statement)]

    def entries_between(self, start: int, end: int) -> list[LedgerEntry]:
        """The entries from `start` on, before `end`; those that can be read."""
        place = tables.entries.c.seq
        statement = select(tables.entries).where(place >= start, place < end).order_by(place)
        with self.read() as connection:
            return [_entry(row) for row in connection.execute(statement)]

    def head(self) -> Head:
        """Size and root of the log."""
        with self.read() as connection:
            frontier = self._frontier(connection)
        return Head(frontier.size, frontier.root.hex())

    def verify(self) -> list[str]:
        """Recompute every leaf and every recorded root; one line per problem, the first bad entry first."""
        with self.read() as connection:
            return [*walk(connection).problems, *file_problems(connection)]

    def walk(self, sizes: Collection[int] = ()) -> Walk:
        """Recompute every leaf and every recorded root, and the roots at `sizes` on the way."""
        with self.read() as connection:
            done = walk(connection, sizes)
            done.problems += file_problems(connection)
        return done

    @staticmethod
    def _frontier(connection: Connection) -> Frontier:
        """The frontier that the last transaction left."""
        row = connection.execute(select(tables.heads).order_by(tables.heads.c.size.desc()).limit(1)).first()
        if row is None:
            return Frontier()
        peaks = bytes.fromhex(row.peaks)
        return Frontier(row.size, tuple(peaks[start : start + 32] for start in range(0, len(peaks), 32)))


def _failed(error: DatabaseError) -> Exception:
    """The error to raise for one of the database: busy, gone, full or damaged; any other one is given back as it is."""
    words = first_line(error)
    if damaged(error):
        return IntegrityError("the ledger's database", "a whole one", words)
    if not isinstance(error, OperationalError):
        return error
    if locked(error):
        return BusyError("the ledger was locked by other writers for too long; try again")
    return DmmGovError(f"the ledger does not answer: {words}; what was committed stands, mend it and run again")


def _entry(row: Row[Any]) -> LedgerEntry:
    """The entry in a row."""
    when = datetime.fromisoformat(row.recorded_at)
    return LedgerEntry(row.seq, row.kind, row.actor, when, json.loads(row.payload), row.leaf)


def count(connection: Connection, table: Any) -> int:
    """Number of rows in a table."""
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())
