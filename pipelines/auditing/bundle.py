"""A bundle of the log for an outsider: entries, checkpoints, keys, deltas, and one script that checks them alone.

    DIR/entries.jsonl      the canonical content of every entry, one a line; its hash is the leaf
    DIR/checkpoints/       every signed checkpoint, with the lines of its witnesses
    DIR/keys.json          keys of the log, its witnesses and its users, as the log has them
    DIR/artifacts/         the deltas of every release (left out with `--without-deltas`)
    DIR/certificates/      certificates, where there are
    DIR/verify.py          checks all that with the standard library and `cryptography`

A delta gives away what it was made for: that it is read out becomes an entry before the bundle's checkpoint is signed.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines import standalone
from registry.artifacts import checked
from registry.checkpoints import CheckpointStore, log_keys, log_verifier, stamp, witness_keys
from registry.digests import canonical_json, digest_file
from registry.errors import InputError
from registry.home import Home
from registry.ledger import Ledger
from registry.locks import writer
from registry.notes import Checkpoint
from registry.progress import track
from registry.releases import ReleaseStore
from registry.walk import contents

READ_KIND, EXPORTED_KIND = "delta_read", "bundle_exported"
SCRIPT = "verify_bundle.py"


@dataclass(frozen=True)
class Bundle:
    """What was written.

    Attributes:
        folder: where it lies.
        entries: how many entries it holds.
        deltas: how many deltas it holds.
        absent: digests of deltas that the log names and that are not there any more.
        key: the log's public key as tools for signed notes take it; hand it over by another way than the bundle.
        root: Merkle root over its entries.
    """

    folder: str
    entries: int
    deltas: int
    absent: tuple[str, ...]
    key: str
    root: str


def export_bundle(home: Home, folder: Path, actor: str, *, deltas: bool = True) -> Bundle:
    """Write a bundle.

    Args:
        home: whose log it is.
        folder: a folder that is not there yet, or is empty.
        actor: who takes the deltas out.
        deltas: take them along.

    Raises:
        InputError: the folder has something in it, or the log is empty.
        IntegrityError: a delta is not as recorded, or the log is not the one that was signed.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError("an empty folder, or none, for the bundle", str(folder), "name another")
    with writer(home), Ledger.open(home) as ledger:
        named = sorted({digest for release in ReleaseStore(ledger).all() for digest in release.deltas})
        there = [digest for digest in named if (home.deltas / digest).is_dir()] if deltas else []
        certificates = _digests(home.certificates)
        signed = _signed(home, ledger, actor, there, certificates)
        draft = folder.with_name(f".{folder.name}.{os.getpid()}")
        shutil.rmtree(draft, ignore_errors=True)
        try:
            draft.mkdir(parents=True)
            _write(home, ledger, draft, signed, there)
            if folder.exists():
                folder.rmdir()
            draft.rename(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        absent = tuple(digest for digest in named if digest not in there) if deltas else ()
        return Bundle(str(folder), signed.size, len(there), absent, log_verifier(ledger) or "", signed.root)


def _signed(home: Home, ledger: Ledger, actor: str, deltas: list[str], certificates: Mapping[str, str]) -> Checkpoint:
    """The checkpoint that the bundle ends with, after entries on what is taken out.

    Raises:
        InputError: the log is empty.
    """
    now = datetime.now(UTC)
    with ledger.transaction() as txn:
        if deltas:
            ledger.append(txn, READ_KIND, {"digests": deltas, "for": "bundle"}, actor, now)
        if certificates:
            ledger.append(txn, EXPORTED_KIND, {"certificates": dict(certificates)}, actor, now)
    found = stamp(home, ledger, now)
    if found is None:
        raise InputError("a log with entries", "an empty one", "publish something first")
    return found


def _write(home: Home, ledger: Ledger, folder: Path, signed: Checkpoint, deltas: list[str]) -> None:
    """Write everything into an empty folder.

    Raises:
        IntegrityError: a delta is not as recorded.
    """
    with ledger.read() as connection, (folder / "entries.jsonl").open("wb") as out:
        for content in contents(connection, signed.size):
            out.write(content + b"\n")
    (folder / "checkpoints").mkdir()
    for one in CheckpointStore(ledger).all():
        (folder / "checkpoints" / f"{one.size:012d}.note").write_text(one.whole, encoding="utf-8")
    (folder / "keys.json").write_bytes(canonical_json(_keys(ledger)) + b"\n")
    (folder / "artifacts").mkdir()
    with track("deltas", total=max(1, len(deltas))) as advance:
        for digest in deltas:
            shutil.copytree(checked(home.deltas, digest), folder / "artifacts" / digest)
            advance(1)
    if (home.certificates).is_dir():
        shutil.copytree(home.certificates, folder / "certificates")
    shutil.copyfile(script(), folder / "verify.py")


def script() -> Path:
    """The script that checks a bundle alone."""
    return Path(standalone.__file__).with_name(SCRIPT)


def _keys(ledger: Ledger) -> dict[str, Any]:
    """All keys as the log has them; for people, the script reads the log itself."""
    users: dict[str, Mapping[str, Any]] = {}
    for entry in sorted([*ledger.entries("user_added"), *ledger.entries("user_revoked")], key=lambda one: one.seq):
        name = str(entry.payload.get("name"))
        revoked = entry.kind == "user_revoked"
        users[name] = {**users.get(name, {}), "revoked": entry.seq} if revoked else entry.payload
    log = [{"public": public, "entry": seq} for public, seq in log_keys(ledger).items()]
    return {"log": log, "verifier": log_verifier(ledger), "witnesses": witness_keys(ledger), "users": users}


def _digests(folder: Path) -> dict[str, str]:
    """Digest of every file below a folder, by its name in it; none where there is no such folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    return {path.relative_to(folder).as_posix(): digest_file(path) for path in files}
