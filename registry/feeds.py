"""Feeds that were run, and what became of each of their rows."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from registry.digests import digest_json
from registry.shredding import Shredded, open_text, seal_many

if TYPE_CHECKING:
    from sqlalchemy import Connection, Select
    from sqlalchemy.sql import ColumnElement

    from registry.ledger import Ledger, Transaction


@dataclass(frozen=True)
class FeedRun:
    """One run of a feed.

    Attributes:
        id: 1, 2, 3, ... in the order of running.
        digest: digest of the feed's bytes.
        name: its file name.
        release: number of the release that it led to, None where it led to none.
        status: "published", or why it was not.
        recorded_at: when.
    """

    id: int
    digest: str
    name: str
    release: int | None
    status: str
    recorded_at: datetime


@dataclass(frozen=True)
class FeedStore:
    """All runs, in the ledger's database."""

    ledger: "Ledger"

    def record(
        self,
        txn: "Transaction",
        digest: str,
        name: str,
        release: int | None,
        status: str,
        rows: Sequence[Mapping[str, Any]],
        at: datetime | None = None,
        *,
        actor: str = "feed",
    ) -> FeedRun:
        """Keep one run and its rows inside a transaction, with a leaf that holds the digest of each row.

        Args:
            txn: the transaction.
            digest: digest of the feed's bytes.
            name: its file name.
            release: the release that it leads to.
            status: "published", or why not.
            rows: plain values with at least `row` (1-based) and `decision`; reasons and raw text belong with them.
            at: when; now where it is not given.
            actor: who ran it.
        """
        from sqlalchemy import insert

        from registry import tables
        from registry.ledger import count

        moment = at or datetime.now(UTC)
        number = count(txn.connection, tables.feeds) + 1
        run = {"id": number, "digest": digest, "name": name, "release": release, "status": status}
        txn.execute(insert(tables.feeds), [{**run, "recorded_at": moment.isoformat()}])
        bodies = seal_many(txn, [(row_key(number, int(row["row"])), dict(row)) for row in rows])
        kept: list[dict[str, Any]] = [
            {"feed": number, "row": int(row["row"]), "decision": str(row["decision"]), "body": body}
            for row, body in zip(rows, bodies, strict=True)
        ]
        if kept:
            txn.execute(insert(tables.feed_rows), kept)
        leaf = {**run, "rows": [row_digest(row) for row in kept]}
        self.ledger.append(txn, "feed", leaf, actor, moment)
        return FeedRun(number, digest, name, release, status, moment)

    def runs(self) -> list[FeedRun]:
        """Every run in order."""
        from sqlalchemy import select

        from registry import tables

        with self.ledger.read() as connection:
            rows = connection.execute(select(tables.feeds).order_by(tables.feeds.c.id)).all()
        return [
            FeedRun(row.id, row.digest, row.name, row.release, row.status, datetime.fromisoformat(row.recorded_at))
            for row in rows
        ]

    def seen(self, digest: str, releases: Collection[int]) -> FeedRun | None:
        """The last run of a feed with these bytes that led to one of `releases`, None where there is none."""
        found = [run for run in self.runs() if run.digest == digest and run.release in releases]
        return found[-1] if found else None

    def rows(
        self, *, run: int | None = None, release: int | None = None, decision: str | None = None
    ) -> list[dict[str, Any]]:
        """Rows as they were recorded, with `feed` (the run) added, in order; rows that were forgotten are left out.

        Args:
            run: only this run.
            release: only runs that led to this release.
            decision: only this decision.
        """
        from registry import tables

        rows, wanted = tables.feed_rows.c, []
        if run is not None:
            wanted.append(rows.feed == run)
        if release is not None:
            wanted.append(tables.feeds.c.release == release)
        if decision is not None:
            wanted.append(rows.decision == decision)
        with self.ledger.read() as connection:
            return [
                {**body, "feed": row["feed"]}
                for row, body in stored(connection, *wanted)
                if not isinstance(body, Shredded)
            ]

    def shredded(self) -> list[tuple[int, int]]:
        """Run and number of every row whose content was forgotten."""
        with self.ledger.read() as connection:
            return [(row["feed"], row["row"]) for row in connection.execute(_with_keys()).mappings() if not row["key"]]


def row_key(feed: int, row: int) -> str:
    """Id of the key of one row's content."""
    return f"row:{feed}:{row}"


def stored(
    connection: "Connection", *wanted: "ColumnElement[bool]"
) -> Iterator[tuple[dict[str, Any], dict[str, Any] | Shredded]]:
    """Every row of a feed as it is stored, with its content, in order.

    Args:
        connection: of the ledger.
        wanted: conditions on the tables `feed_rows` and `feeds`.

    Raises:
        IntegrityError: a content or its key was changed.
    """
    for found in connection.execute(_with_keys().where(*wanted)).mappings():
        row = dict(found)
        key, own = row.pop("key"), row_key(row["feed"], row["row"])
        yield row, open_text({own: bytes.fromhex(key)} if key else {}, row["body"])


def _with_keys() -> "Select[Any]":
    """Every row of a feed beside the key of its content, in order."""
    from sqlalchemy import Text, cast, literal, select

    from registry import tables

    rows, keys = tables.feed_rows, tables.content_keys
    name = literal("row:") + cast(rows.c.feed, Text) + literal(":") + cast(rows.c.row, Text)
    joined = rows.join(tables.feeds).outerjoin(keys, keys.c.id == name)
    return select(rows, keys.c.key).select_from(joined).order_by(rows.c.feed, rows.c.row)


def row_digest(row: Mapping[str, Any]) -> str:
    """What the log keeps of a row: the digest of its place, its decision and its body."""
    return digest_json([row["feed"], row["row"], row["decision"], row["body"]])
