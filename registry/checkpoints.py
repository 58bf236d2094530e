"""Checkpoints of the log: signed with its key after every command that writes, kept for good, countersigned by others.

Whoever has an old checkpoint and the log's public key can tell whether the log since only grew. The key itself is the
log's: its public part is an entry (`log_key`) before the first checkpoint; a later key counts only where an entry with
the earlier key's signature brings it.

    with ledger.transaction() as txn: ...
    stamp(home, ledger)
    CheckpointStore(ledger).latest()
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, insert, select

from registry import newest_note, tables
from registry.digests import canonical_json
from registry.errors import InputError, IntegrityError
from registry.home import Home
from registry.keys import SigningKey, fingerprint, log_key, verify
from registry.notes import Checkpoint, verifier_key

if TYPE_CHECKING:
    from registry.ledger import Ledger, Transaction

KEY_KIND, WITNESS_KIND = "log_key", "witness_key"
KEY_PURPOSE = "dmmgov/log_key/v1"


@dataclass(frozen=True)
class Stored:
    """A checkpoint as it is kept.

    Attributes:
        size: number of entries that it covers.
        note: its text and the log's signature.
        recorded_at: when it was made.
        lines: what witnesses put below it.
    """

    size: int
    note: str
    recorded_at: str
    lines: tuple[str, ...] = ()

    @property
    def whole(self) -> str:
        """The note with the lines of its witnesses."""
        return self.note + "".join(f"{line}\n" for line in self.lines)

    def checkpoint(self) -> Checkpoint:
        """The checkpoint read.

        Raises:
            InputError: it is none.
        """
        return Checkpoint.parse(self.whole)


@dataclass(frozen=True)
class CheckpointStore:
    """All checkpoints, in the ledger's database."""

    ledger: "Ledger"

    def all(self) -> list[Stored]:
        """Every checkpoint with its witnesses, the smallest first."""
        with self.ledger.read() as connection:
            return stored(connection)

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint with its witnesses, None where there is none."""
        with self.ledger.read() as connection:
            row = connection.execute(_newest()).first()
            lines = [] if row is None else _lines(connection, int(row.size))
        return None if row is None else Stored(row.size, row.note, row.recorded_at, tuple(lines)).checkpoint()

    def at(self, size: int) -> Stored | None:
        """The checkpoint of a size, None where there is none."""
        return next((one for one in self.all() if one.size == size), None)

    def add_witness(self, found: Checkpoint, name: str, public: str, actor: str, at: datetime) -> None:
        """Keep what a witness put below one of our checkpoints, and the witness's key in the log.

        Args:
            found: the checkpoint with the witness's line.
            name: the witness's.
            public: its public key.
            actor: who brings it.
            at: when.

        Raises:
            InputError: we have no such checkpoint, the line does not hold, or the name has another key already.
        """
        kept, line = self.at(found.size), found.of_witness(name)
        if kept is None or kept.checkpoint().text != found.text:
            raise InputError("a checkpoint of this log", f"one of {found.size} entries", "take one that the log made")
        if line is None or found.witnessed_by(name, public) is None:
            raise InputError(f"a countersignature of {name} by its key {fingerprint(public)}", "none", "sign it")
        known = witness_keys(self.ledger).get(name)
        if known not in (None, public):
            raise InputError(f"the key of {name} that the log has", fingerprint(public), "give it another name")
        with self.ledger.transaction() as txn:
            if known is None:
                self.ledger.append(txn, WITNESS_KIND, {"name": name, "public": public}, actor, at)
            if kept.checkpoint().of_witness(name) is None:
                row = {"size": found.size, "witness": name, "line": str(line), "recorded_at": at.isoformat()}
                txn.execute(insert(tables.cosignatures), [row])


def stamp(home: Home, ledger: "Ledger", at: datetime | None = None) -> Checkpoint | None:
    """Sign where the log is now; the first time its key becomes an entry.

    Returns:
        The newest checkpoint; None while the log is empty.

    Raises:
        InputError: the key does not open, or the log was begun with another.
        IntegrityError: the log is not the one that the last checkpoint or `checkpoint.note` signed; nothing is signed.
    """
    if not behind(ledger):
        _as_noted(home, ledger)
        return CheckpointStore(ledger).latest()
    key, moment = log_signer(home, ledger), at or datetime.now(UTC)
    with ledger.transaction() as txn:
        keys = trusted_keys(_key_entries(txn.connection))
        if keys and key.public not in keys:
            raise _other_key(home, next(iter(keys)), fingerprint(key.public))
        origin = f"dmmgov/{fingerprint(next(iter(keys), key.public))}"
        _unchanged(txn)
        _as_noted(home, ledger)
        if not keys:
            payload = {"public": key.public, "fingerprint": fingerprint(key.public), "origin": origin}
            ledger.append(txn, KEY_KIND, payload, "dmmgov", moment)
        checkpoint = Checkpoint(origin, txn.frontier.size, txn.frontier.root.hex()).signed(key)
        last = txn.execute(_newest()).first()
        if last is None or last.size < checkpoint.size:
            row = {"size": checkpoint.size, "note": str(checkpoint), "recorded_at": moment.isoformat()}
            txn.execute(insert(tables.checkpoints), [row])
    newest_note.keep(home, checkpoint, {key.public, *keys})
    return CheckpointStore(ledger).latest()


def _as_noted(home: Home, ledger: "Ledger") -> None:
    """Refuse a log that has lost its end or goes on otherwise, which its database alone does not show.

    Raises:
        IntegrityError: `checkpoint.note`, signed by a key of this log, has another root than the log at its size.
    """
    try:
        note = newest_note.kept(home)
    except InputError:
        return  # for `audit verify` to name; the next checkpoint takes its place
    if note is None or not any(note.signed_by(public) for public in log_keys(ledger)):
        return
    heads = tables.heads.c
    with ledger.read() as connection:
        found = connection.execute(select(heads.root).where(heads.size == note.size)).scalar()
    if found != note.root:
        todo = f"put the ledger back from a copy; whoever accepts the loss moves {newest_note.NAME} away"
        what = f"the log at the {note.size} entries that {newest_note.NAME} covers ({todo})"
        raise IntegrityError(what, note.root, found or "a shorter log")


def behind(ledger: "Ledger") -> bool:
    """Whether the log has entries that no checkpoint covers."""
    size = ledger.head().size
    with ledger.read() as connection:
        row = connection.execute(_newest()).first()
    return size > (0 if row is None else int(row.size))


def log_signer(home: Home, ledger: "Ledger") -> SigningKey:
    """The log's own key; made at its first use, and never a second one for a log that has one.

    Raises:
        InputError: its file is gone, does not open, or holds another key.
    """
    keys = log_keys(ledger)
    known = next(iter(keys), None)
    if known is not None and not (home.keys / "log.pem").exists():
        raise _other_key(home, known, "no file")
    key = log_key(home)
    if known is not None and key.public not in keys:
        raise _other_key(home, known, fingerprint(key.public))
    return key


def _other_key(home: Home, known: str, got: str) -> InputError:
    """The error where the log's own key is not at hand."""
    expected = f"the log's key ({fingerprint(known)}) in {home.keys / 'log.pem'}"
    return InputError(expected, got, "put the file back, from a copy of the home")


def _unchanged(txn: "Transaction") -> None:
    """Sign nothing that contradicts the last checkpoint.

    Raises:
        IntegrityError: the log has become shorter, or has another root at that size.
    """
    last = txn.execute(_newest()).first()
    if last is None:
        return
    heads = tables.heads.c
    found = txn.execute(select(heads.root).where(heads.size == last.size)).scalar()
    recorded = Checkpoint.parse(last.note).root
    if found != recorded or txn.frontier.size < last.size:
        raise IntegrityError(f"the log at its last checkpoint ({last.size} entries)", recorded, str(found))


def stored(connection: Connection) -> list[Stored]:
    """Every checkpoint with its witnesses, seen through `connection`."""
    rows = connection.execute(select(tables.checkpoints).order_by(tables.checkpoints.c.size)).all()
    lines: dict[int, list[str]] = {}
    for row in connection.execute(select(tables.cosignatures).order_by(tables.cosignatures.c.recorded_at)):
        lines.setdefault(row.size, []).append(row.line)
    return [Stored(row.size, row.note, row.recorded_at, tuple(lines.get(row.size, ()))) for row in rows]


def trusted_keys(entries: list[tuple[int, Mapping[str, Any]]], pinned: str | None = None) -> dict[str, int]:
    """The log's own keys and the entry that brings each: the first, and those that an earlier one vouched for.

    Args:
        entries: place and payload of every entry that brings a key.
        pinned: begin with this key instead; whoever vouches for it counts for nothing.
    """
    keys: dict[str, int] = {}
    for seq, payload in entries:
        public = str(payload.get("public", ""))
        if public == pinned or (not keys and pinned is None) or vouched(payload, keys):
            keys.setdefault(public, seq)
    return keys


def vouched(payload: Mapping[str, Any], keys: Mapping[str, int]) -> bool:
    """Whether one of `keys` signed for the key in `payload`."""
    content = canonical_json({"purpose": KEY_PURPOSE, "public": payload.get("public", "")})
    return any(verify(public, content, str(payload.get("signature", ""))) for public in keys)


def rotate(home: Home, ledger: "Ledger", fresh: SigningKey, actor: str, at: datetime) -> None:
    """Let the log's key vouch for a new one; the new one signs once its file is in the place of the old one.

    Raises:
        InputError: the key does not open, or is not the log's.
    """
    if stamp(home, ledger, at) is None:
        raise InputError("a log with entries", "an empty one", "put the new key in its place")
    signature = log_key(home).sign(canonical_json({"purpose": KEY_PURPOSE, "public": fresh.public}))
    payload = {"public": fresh.public, "fingerprint": fingerprint(fresh.public), "signature": signature}
    with ledger.transaction() as txn:
        ledger.append(txn, KEY_KIND, payload, actor, at)


def witness_keys(ledger: "Ledger") -> dict[str, str]:
    """Public key of every witness by its name; the first entry of a name counts."""
    keys: dict[str, str] = {}
    for entry in ledger.entries(WITNESS_KIND):
        keys.setdefault(str(entry.payload.get("name", "")), str(entry.payload.get("public", "")))
    return keys


def log_keys(ledger: "Ledger", pinned: str | None = None) -> dict[str, int]:
    """The log's own keys and the entry that brings each, the first one first; from `pinned` on where it is given."""
    with ledger.read() as connection:
        return trusted_keys(_key_entries(connection), pinned)


def log_verifier(ledger: "Ledger") -> str | None:
    """The log's first public key as other tools take it, None where it has signed nothing."""
    public = next(iter(log_keys(ledger)), None)
    return None if public is None else verifier_key(f"dmmgov/{fingerprint(public)}", public)


def _key_entries(connection: Connection) -> list[tuple[int, Mapping[str, Any]]]:
    """Place and payload of every entry that brings a key of the log."""
    entries = tables.entries.c
    found = select(entries.seq, entries.payload).where(entries.kind == KEY_KIND).order_by(entries.seq)
    return [(seq, json.loads(payload)) for seq, payload in connection.execute(found)]


def _newest() -> Any:
    """The statement that finds the newest checkpoint."""
    return select(tables.checkpoints).order_by(tables.checkpoints.c.size.desc()).limit(1)


def _lines(connection: Connection, size: int) -> list[str]:
    """What witnesses put below the checkpoint of a size."""
    table = tables.cosignatures.c
    return [row.line for row in connection.execute(select(table.line).where(table.size == size))]
