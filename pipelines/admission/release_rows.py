"""A person's word for a row that was refused or quarantined, and how the next update takes the row up.

    dmmgov rows list                                what waits, and why
    dmmgov rows release FEED ROW --reason "..."     an entry in the ledger: who, why, which row, digest of its raw text

Nothing is written at once: the next update decides on released rows after the rows of its own feed, with the rules
waived that stood against them when they were released, and records the release among the row's reasons. What has come
up since, or was not told because personal data stood before it, still stands. A row that cannot be read as a fact is
mended and handed in again, not released.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from registry.checkpoints import stamp
from registry.digests import canonical_json, digest_bytes
from registry.errors import BlockedError, InputError, IntegrityError, UnknownNameError
from registry.events import RELEASE_PROCESSED, ROW_RELEASED, RowRelease
from registry.feeds import FeedStore, row_digest
from registry.home import Home
from registry.ledger import Ledger
from registry.shredding import Shredded, opened, told

if TYPE_CHECKING:
    from pipelines.admission.feed import Feed

HELD = ("refused", "quarantined")
DESPITE = ("personal_data", "instruction", "declared_sensitivity", "forgotten")
"""Rules that a person has to name to release a row against them."""
UNREADABLE = ("shape", "structure", "dates", "relation")
"""Rules without which a row is no fact; nobody can waive them."""


@dataclass(frozen=True)
class HeldRow:
    """A row that was not let in.

    Attributes:
        feed: number of the feed's run.
        name: the feed's file name.
        row: its number, from 1.
        decision: refused or quarantined.
        rules: which rules stood against it.
        reasons: the same in words; personal values are masked.
        state: "held", "released" (waits for the next update) or "decided" (an update took it up).
    """

    feed: int
    name: str
    row: int
    decision: str
    rules: tuple[str, ...]
    reasons: tuple[str, ...]
    state: str


def held_rows(home: Home, feed: int | None = None) -> list[HeldRow]:
    """Every row that was refused or quarantined, of all feeds or one.

    Raises:
        InputError: there is no such feed.
    """
    with Ledger.open(home) as ledger:
        feeds = FeedStore(ledger)
        names = {run.id: run.name for run in feeds.runs()}
        if feed is not None and feed not in names:
            raise UnknownNameError("feed run", str(feed), map(str, names))
        states = _states(ledger)
        rows = [one for decision in HELD for one in feeds.rows(run=feed, decision=decision)]
    rows.sort(key=lambda one: (one["feed"], one["row"]))
    return [
        HeldRow(
            *(one["feed"], names[one["feed"]], one["row"], one["decision"]),
            rules=tuple(one.get("rules", ())),
            reasons=tuple(one.get("reasons", ())),
            state=states.get((one["feed"], one["row"]), "held"),
        )
        for one in rows
    ]


def release_row(
    home: Home,
    feed: int,
    row: int,
    *,
    by: str,
    reason: str,
    despite: Collection[str] = (),
    at: datetime | None = None,
) -> RowRelease:
    """Put a person's word for a row into the ledger.

    Args:
        home: which home.
        feed: number of the feed's run.
        row: number of the row.
        by: who says so.
        reason: why.
        despite: rules of `DESPITE` that the person has seen and overrules.
        at: when; now where it is not given.

    Raises:
        InputError: there is no such held row, no reason, the row was released before, or it cannot be read as a fact.
        BlockedError: a rule of `DESPITE` stands against it that is not named.
        IntegrityError: the row is not as it was recorded.
    """
    if not reason.strip() or not by.strip():
        raise InputError("who releases the row, and why", f"by {by!r}, reason {reason!r}", "say both")
    for rule in despite:
        if rule not in DESPITE:
            raise UnknownNameError("rule that can be overruled", rule, DESPITE)
    with Ledger.open(home) as ledger:
        body = _recorded(ledger, feed, row)
        release = RowRelease(feed, row, _raw_digest(body), by.strip(), reason.strip(), _waives(body, despite))
        cells_of(body)
        with ledger.transaction() as txn:
            state = _states(ledger).get((feed, row))
            if state is not None:
                raise InputError("a row that nobody released yet", f"one that is {state}", "see `dmmgov rows list`")
            payload = {**release.to_dict(), "reason": told(txn, release.reason)}
            entry = ledger.append(txn, ROW_RELEASED, payload, by.strip(), at or datetime.now(UTC))
        stamp(home, ledger)
    return replace(release, seq=entry.seq)


def _waives(body: Mapping[str, Any], despite: Collection[str]) -> tuple[str, ...]:
    """The rules that stand against a row, if a person may waive them all."""
    rules = tuple(dict.fromkeys(body.get("rules", ())))
    wrong = [rule for rule in rules if rule in UNREADABLE]
    if wrong:
        got = f"one that {' and '.join(wrong)} stand against"
        raise InputError("a row that can be read as a fact", got, "mend it and hand it in again")
    unnamed = [rule for rule in rules if rule in DESPITE and rule not in despite]
    if unnamed:
        options = " ".join(f"--despite {rule}" for rule in unnamed)
        raise BlockedError(f"the row is held for {', '.join(unnamed)}; who overrules that says so with {options}")
    # The person's word makes up for missing voices; what is let in despite its personal data is declared personal.
    also = ("quorum", "declared_sensitivity") if "personal_data" in rules else ("quorum",)
    return tuple(dict.fromkeys((*rules, *also)))


def _recorded(ledger: Ledger, feed: int, row: int) -> dict[str, Any]:
    """A held row as it was recorded, held against the log.

    Raises:
        InputError: there is none.
        IntegrityError: the table differs from the log.
    """
    from sqlalchemy import select

    from registry import tables

    columns = tables.feed_rows.c
    statement = select(tables.feed_rows).where(columns.feed == feed, columns.row == row)
    with ledger.read() as connection:
        found = connection.execute(statement).mappings().first()
    if found is None:
        raise InputError("a row of a feed that was run", f"row {row} of feed run {feed}", "see `dmmgov rows list`")
    digest = row_digest(dict(found))
    logged = next((one.payload["rows"] for one in ledger.entries("feed") if one.payload["id"] == feed), ())
    if digest not in logged:
        raise IntegrityError(f"row {row} of feed run {feed}", "one of those in the log", digest)
    with ledger.read() as connection:
        content = opened(connection, found["body"])
    if isinstance(content, Shredded):
        raise InputError(
            "a row that is still there", f"row {row} of feed run {feed}, which was forgotten", "name another"
        )
    body: dict[str, Any] = content
    if body["decision"] not in HELD:
        raise InputError("a row that was refused or quarantined", f"one that is {body['decision']}", "name another")
    return body


def _raw_digest(body: Mapping[str, Any]) -> str:
    return digest_bytes(str(body["raw"]).encode())


def cells_of(body: Mapping[str, Any]) -> dict[str, str]:
    """The cells of a recorded row, by column, read again from its raw text.

    Raises:
        InputError: its columns were not recorded.
    """
    from pipelines.admission.records import cells_of as csv_cells

    raw, header = str(body["raw"]), body.get("header")
    if header:
        return dict(zip(header, csv_cells(raw), strict=True))
    try:
        values = json.loads(raw)
    except ValueError as error:
        raise InputError("a row whose columns are known", "one recorded without them", "hand it in again") from error
    texts = {str(key): value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
    return {"_".join(key.casefold().split()): text for key, text in texts.items() if text != "null"}


def _states(ledger: Ledger) -> dict[tuple[int, int], str]:
    """Whether released rows wait or were decided on, by feed and row."""
    done = {entry.payload["release"] for entry in ledger.entries(RELEASE_PROCESSED)}
    return {
        (entry.payload["feed"], entry.payload["row"]): "decided" if entry.seq in done else "released"
        for entry in ledger.entries(ROW_RELEASED)
    }


def pending(ledger: Ledger) -> Iterator[tuple[RowRelease, dict[str, Any]]]:
    """Released rows that no update has decided on, each with what was recorded of it, in the order of their release.

    Raises:
        IntegrityError: a row is not the one that was released.
    """
    done = {entry.payload["release"] for entry in ledger.entries(RELEASE_PROCESSED)}
    waiting = ledger.entries(ROW_RELEASED)
    gone = set(FeedStore(ledger).shredded()) if waiting else set()
    for entry in waiting:
        if entry.seq in done:
            continue
        with ledger.read() as connection:
            payload = opened(connection, entry.payload)
        if isinstance(payload["reason"], Shredded) or (payload["feed"], payload["row"]) in gone:
            continue
        release = RowRelease.from_dict(payload, entry.seq)
        body = _recorded(ledger, release.feed, release.row)
        if _raw_digest(body) != release.raw:
            raise IntegrityError(
                f"the raw text of row {release.row} of feed run {release.feed}", release.raw, _raw_digest(body)
            )
        yield release, body


def with_released(feed: "Feed", ledger: Ledger) -> "Feed":
    """The feed with the released rows that wait after its own rows.

    Raises:
        IntegrityError: a row is not the one that was released.
    """
    waiting = list(pending(ledger))
    if not waiting:
        return feed
    import pyarrow as pa

    cells = [_as_released(release, cells_of(body)) for release, body in waiting]
    given = feed.table.column_names
    names = (*given, *dict.fromkeys(name for row in cells for name in row if name not in given))
    size = feed.table.num_rows
    columns = {
        name: pa.array(
            [
                *(feed.table.column(name).to_pylist() if name in given else [""] * size),
                *(row.get(name, "") for row in cells),
            ],
            pa.string(),
        )
        for name in names
    }
    first = len(feed.raw) + 1
    return replace(
        feed,
        table=pa.table(columns),
        raw=(*feed.raw, *(str(body["raw"]) for _, body in waiting)),
        released={first + place: release for place, (release, _) in enumerate(waiting)},
        notes=(*feed.notes, *_told(first, [release for release, _ in waiting])),
    )


def _as_released(release: RowRelease, cells: Mapping[str, str]) -> dict[str, str]:
    """The cells of a released row; what holds personal data is marked so, which keeps it out of the weights."""
    marked = dict(cells)
    if "personal_data" in release.waives and marked.get("sensitivity", "") in ("", "public", "internal"):
        marked["sensitivity"] = "personal"
    return marked


def _told(first: int, releases: Sequence[RowRelease]) -> list[str]:
    """One note per released row."""
    return [f"row {first + place}: {release.words}" for place, release in enumerate(releases)]


def to_plain(release: RowRelease) -> dict[str, Any]:
    """A release as the command tells it."""
    values: dict[str, Any] = json.loads(canonical_json(release.to_dict()))
    return {**values, "entry": release.seq, "processed": "by the next update"}
