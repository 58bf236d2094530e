"""One walk over the whole log: every leaf and every recorded root made again, and the first entry that is not right.

What is hashed of an entry is its canonical content: JSON with sorted keys and no white space, of `actor`, `kind`,
`payload`, `recorded_at` and `seq`. The payload is stored as that very text.
"""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, select

from registry import tables
from registry.digests import canonical_json
from registry.merkle import Frontier, leaf_hash

BATCH = 5000


@dataclass
class Walk:
    """What a walk found.

    Attributes:
        size: how many entries it came past.
        roots: root over the first entries, hexadecimal, for each size that was asked for and reached.
        problems: one line each, the first bad entry first.
        bad: the first bad entry, None where all are right.
    """

    size: int = 0
    roots: dict[int, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    bad: int | None = None

    def found(self, seq: int, problem: str) -> None:
        """Note a problem of an entry."""
        self.problems.append(problem)
        self.bad = seq if self.bad is None else min(self.bad, seq)


def leaf_content(seq: int, kind: str, actor: str, recorded_at: str, payload: str) -> bytes:
    """What is hashed of an entry, from the canonical text of its payload."""
    who, what, when = (canonical_json(text).decode() for text in (actor, kind, recorded_at))
    return f'{{"actor":{who},"kind":{what},"payload":{payload},"recorded_at":{when},"seq":{seq}}}'.encode()


def leaf_of(seq: int, kind: str, actor: str, recorded_at: str, payload: str) -> str:
    """Leaf hash of an entry, hexadecimal, from the canonical text of its payload."""
    return leaf_hash(leaf_content(seq, kind, actor, recorded_at, payload)).hex()


def walk(connection: Connection, sizes: Collection[int] = ()) -> Walk:
    """Walk the log once beside its heads.

    Args:
        connection: of the ledger's database.
        sizes: at which the root is wanted.
    """
    done, wanted = Walk(), set(sizes)
    heads = {row.size: row for row in connection.execute(select(tables.heads))}
    frontier, agreed = Frontier(), 0
    for row in _rows(connection):
        problem = _bad_entry(row, frontier.size)
        if problem:
            done.found(frontier.size, problem)
            if row.seq != frontier.size:
                return done
        try:
            frontier = frontier.append(bytes.fromhex(row.leaf))
        except ValueError:
            done.found(row.seq, f"entry {row.seq} ({row.kind}): its leaf is not a hash")
            return done
        done.size = frontier.size
        if frontier.size in wanted:
            done.roots[frontier.size] = frontier.root.hex()
        head = heads.pop(frontier.size, None)
        if head is None:
            continue
        root, peaks = frontier.root.hex(), "".join(peak.hex() for peak in frontier.peaks)
        if head.root != root or head.peaks != peaks:
            span = f"entries {agreed} to {frontier.size - 1}"
            done.found(agreed, f"{span}: their root is {root}, recorded is {head.root}")
            return done
        agreed = frontier.size
    if heads:
        size, missing = max(heads), frontier.size
        done.found(missing, f"entry {missing} is missing: the log recorded {size} entries, {missing} are there")
    elif agreed != frontier.size:
        done.found(agreed, f"entry {agreed}: it was put in without a recorded head")
    return done


def _rows(connection: Connection) -> Iterator[Row[Any]]:
    """Every entry's row in order, a batch at a time."""
    statement = select(tables.entries).order_by(tables.entries.c.seq)
    yield from connection.execution_options(yield_per=BATCH).execute(statement)


def _bad_entry(row: Row[Any], seq: int) -> str | None:
    """What is wrong with the row that should be entry `seq`, None when nothing is."""
    if row.seq != seq:
        return f"entry {seq} is missing: the next one found is entry {row.seq}"
    try:
        canonical = canonical_json(json.loads(row.payload)).decode()
    except (ValueError, RecursionError) as error:
        return f"entry {seq} ({row.kind}): its payload is not JSON ({error})"
    leaf = leaf_of(seq, row.kind, row.actor, row.recorded_at, canonical)
    if leaf != row.leaf or canonical != row.payload:
        return f"entry {seq} ({row.kind}): its content hashes to {leaf}, recorded is {row.leaf}"
    return None


def contents(connection: Connection, size: int) -> Iterator[bytes]:
    """What is hashed of each of the first `size` entries, in order."""
    statement = select(tables.entries).where(tables.entries.c.seq < size).order_by(tables.entries.c.seq)
    for row in connection.execution_options(yield_per=BATCH).execute(statement):
        yield leaf_content(row.seq, row.kind, row.actor, row.recorded_at, row.payload)
