"""The tables against the log: whoever edits a row by hand leaves the log's entry behind."""

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, select

from registry import tables
from registry.approvals import Approvals
from registry.contents import Kept, opened_comment, sealed_bodies
from registry.digests import canonical_json
from registry.errors import IntegrityError
from registry.events import FactEvent
from registry.facts import event_key, leaf_payload
from registry.feeds import row_digest
from registry.requests import CHANGED, COMMENTED, EXECUTED, MADE
from registry.shredding import FORGOTTEN, PEPPER, PREFIX, Shredded, key_id, keys_of, open_text, sealed_texts

if TYPE_CHECKING:
    from registry.ledger import Ledger

SEALED_MARK = f'"{PREFIX}'


def table_problems(ledger: "Ledger") -> Iterator[str]:
    """Every row that the log does not vouch for, and every entry whose row is gone; one line each."""
    with ledger.read() as connection:
        yield from _releases(connection)
        yield from _facts(connection)
        yield from _feeds(connection)
        yield from _versions(connection)
        yield from _aliases(connection)
        yield from _keys(connection)
        yield from _requests(ledger, connection)


def _payloads(connection: Connection, kind: str) -> list[tuple[int, dict[str, Any]]]:
    """Position and payload of every entry of a kind."""
    entries = tables.entries.c
    rows = connection.execute(select(entries.seq, entries.payload).where(entries.kind == kind).order_by(entries.seq))
    return [(seq, json.loads(payload)) for seq, payload in rows]


def _both(what: str, logged: Mapping[Any, tuple[int, Any]], found: Mapping[Any, Any]) -> Iterator[str]:
    """Compare what the log says of each key with what the table says."""
    for key in sorted({*logged, *found}):
        if key not in found:
            yield f"{what} {key}: entry {logged[key][0]} records it, the table has lost it"
        elif key not in logged:
            yield f"{what} {key}: the table has it, no entry records it"
        elif logged[key][1] != found[key]:
            yield f"{what} {key}: the table differs from entry {logged[key][0]}"


def _releases(connection: Connection) -> Iterator[str]:
    """Releases against their "published" entries."""
    logged = {
        payload["release"]: (seq, (canonical_json(payload["body"]).decode(), payload["body"]["parent"]))
        for seq, payload in _payloads(connection, "published")
    }
    rows = connection.execute(select(tables.releases))
    yield from _both("release", logged, {row.number: (row.body, row.parent) for row in rows})


def _facts(connection: Connection) -> Iterator[str]:
    """Fact events against their "fact" entries, and each id against the content that it is derived from."""
    logged = {payload["seq"]: (seq, payload) for seq, payload in _payloads(connection, "fact")}
    found = {}
    rows = [dict(row) for row in connection.execute(select(tables.facts).order_by(tables.facts.c.seq)).mappings()]
    keys = keys_of(connection, (event_key(row["fact_id"], row["seq"]) for row in rows))
    for row in rows:
        found[row["seq"]] = leaf_payload(row)
        yield from _bad_content(keys, row)
    yield from _both("fact event", logged, found)


def _bad_content(keys: Mapping[str, bytes], row: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the content of a fact event; nothing where it was forgotten."""
    try:
        content = open_text(keys, row["content"])
    except IntegrityError as error:
        yield f"fact event {row['seq']}: {error}"
        return
    if not isinstance(content, Shredded) and FactEvent.derived_id({**row, **content}) != row["fact_id"]:
        yield f"fact event {row['seq']}: its id does not follow from its content"


def _feeds(connection: Connection) -> Iterator[str]:
    """Feed runs and their rows against their "feed" entries."""
    entries = {payload["id"]: (seq, payload) for seq, payload in _payloads(connection, "feed")}
    runs = {
        row.id: {"id": row.id, "digest": row.digest, "name": row.name, "release": row.release, "status": row.status}
        for row in connection.execute(select(tables.feeds))
    }
    logged = {
        number: (seq, {key: value for key, value in payload.items() if key != "rows"})
        for number, (seq, payload) in entries.items()
    }
    yield from _both("feed run", logged, runs)
    rows = tables.feed_rows
    kept: dict[int, list[tuple[int, str]]] = {}
    for row in connection.execute(select(rows).order_by(rows.c.feed, rows.c.row)).mappings():
        kept.setdefault(row["feed"], []).append((row["row"], row_digest(dict(row))))
    for number, (seq, payload) in entries.items():
        recorded, found = payload["rows"], kept.get(number, [])
        known = set(recorded)
        for row_number, digest in found:
            if digest not in known:
                yield f"feed run {number}, row {row_number}: the table differs from entry {seq}"
        if len(found) != len(payload["rows"]):
            yield f"feed run {number}: entry {seq} records {len(payload['rows'])} rows, the table has {len(found)}"


def _versions(connection: Connection) -> Iterator[str]:
    """MLflow versions against their "registered" entries."""
    keys = ("release", "version", "digest")
    logged = {
        f"{payload['release']}, version {payload['version']}": (seq, {key: payload[key] for key in keys})
        for seq, payload in _payloads(connection, "registered")
    }
    rows = connection.execute(select(tables.versions)).mappings()
    found = {f"{row['release']}, version {row['version']}": dict(row) for row in rows}
    yield from _both("MLflow version of release", logged, found)


def _aliases(connection: Connection) -> Iterator[str]:
    """Aliases against the last "alias" entry of each."""
    logged = {payload["alias"]: (seq, payload["release"]) for seq, payload in _payloads(connection, "alias")}
    found = {row.name: row.number for row in connection.execute(select(tables.aliases))}
    yield from _both("alias", logged, found)


def _keys(connection: Connection) -> Iterator[str]:
    """Sealed contents whose key is gone against those that a "forgotten" entry names, and keys that open nothing."""
    keys = {name: bytes.fromhex(key) for name, key in connection.execute(select(tables.content_keys)).tuples()}
    keys.pop(PEPPER, None)
    entries = _payloads(connection, FORGOTTEN)
    named = {name: seq for seq, payload in entries for name in payload["keys"]}
    texts = {key_id(text) or "": text for text in _sealed(connection)}
    for name in sorted(texts.keys() - keys.keys() - named.keys()):
        yield f"key {name}: it is gone, and no entry says that its content was forgotten"
    for name in sorted(keys.keys() & named.keys()):
        yield f"key {name}: entry {named[name]} says that it was deleted, and it is there"
    for name in sorted(keys.keys() - texts.keys()):
        yield f"key {name}: nothing is sealed under it"
    for name in sorted(keys.keys() & texts.keys()):
        try:
            open_text(keys, texts[name])
        except IntegrityError as error:
            yield f"key {name}: {error}"


def _sealed(connection: Connection) -> Iterator[str]:
    """Every sealed text in the tables."""
    yield from connection.execute(select(tables.facts.c.content)).scalars()
    yield from connection.execute(select(tables.feed_rows.c.body)).scalars()
    yield from sealed_bodies(connection)
    marked = tables.entries.c.payload.contains(SEALED_MARK)
    for payload in connection.execute(select(tables.entries.c.payload).where(marked)).scalars():
        yield from sealed_texts(json.loads(payload))


def _requests(ledger: "Ledger", connection: Connection) -> Iterator[str]:
    """What was asked for and said against its entries, the rules that entries must keep, and what was executed."""
    book = Approvals.read(ledger)
    refused = [*book.users.refused, *book.refused]
    for one in sorted(refused, key=lambda each: each.seq):
        yield f"entry {one.seq} ({one.kind}) counts for nothing: {one.why}"
    void = {one.seq for one in refused}
    logged = {
        (payload["request"], payload["revision"]): (seq, payload["content"])
        for kind in (MADE, CHANGED)
        for seq, payload in _payloads(connection, kind)
        if seq not in void
    }
    rows = connection.execute(select(tables.requests)).all()
    found = {(row.number, row.revision): _content_digest(connection, row) for row in rows}
    yield from _both("content (request, revision)", logged, found)
    yield from _comments(connection, void)
    yield from _executions(connection, void)


def _content_digest(connection: Connection, row: Row[Any]) -> str:
    """The digest of a content that its parts bear out; why there is none otherwise."""
    try:
        return Kept.read(connection, row.number, row.revision, row.body).digest
    except (IntegrityError, KeyError, TypeError, AttributeError) as error:
        return str(error)


def _comments(connection: Connection, void: set[int]) -> Iterator[str]:
    """The words of comments against their entries."""
    logged: dict[tuple[int, int], tuple[int, str]] = {}
    places: dict[int, int] = {}
    for seq, payload in _payloads(connection, COMMENTED):
        if seq not in void:
            number = payload["request"]
            places[number] = places.get(number, 0) + 1
            logged[number, places[number]] = (seq, payload["content"])
    found = {}
    for row in connection.execute(select(tables.request_comments)).all():
        key = (row.request, row.place)
        try:
            digest, _ = opened_comment(connection, row.request, row.place, row.words)
        except IntegrityError as error:
            digest = str(error)
        found[key] = digest or logged.get(key, (0, ""))[1]  # of words that were forgotten, the log's own is left
    yield from _both("comment (request, place)", logged, found)


def _executions(connection: Connection, void: set[int]) -> Iterator[str]:
    """Releases that come from a request against the entry with which it was executed, both ways."""
    logged = {
        payload["release"]: (seq, (payload["request"], payload["content"]))
        for seq, payload in _payloads(connection, EXECUTED)
        if seq not in void and payload["release"] is not None and not payload.get("by_id")
    }
    summaries = {
        payload["release"]: payload["body"].get("summary", {}).get("request")
        for _, payload in _payloads(connection, "published")
    }
    found = {
        number: (one.get("request"), one.get("content")) for number, one in summaries.items() if isinstance(one, dict)
    }
    yield from _both("request of release", logged, found)
