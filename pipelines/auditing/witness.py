"""Checkpoints by hand: sign one now, and countersign one as a witness who saw the log before.

A witness signs a checkpoint only where the log it stands for really has that root, is signed by the log's key, and
still begins with what the witness saw before. From then on nobody can show another history of that size.
"""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipelines.auditing.log_checks import Pins
from registry.checkpoints import CheckpointStore, log_keys, log_verifier, stamp
from registry.errors import InputError, IntegrityError
from registry.home import Home
from registry.keys import SigningKey, fingerprint
from registry.ledger import Ledger
from registry.notes import COSIGNATURE_TYPE, Checkpoint, public_of, verifier_key

PASSPHRASE_VARIABLE = "DMMGOV_WITNESS_PASSPHRASE"
"""Environment variable with the passphrase of a witness's key."""


@dataclass(frozen=True)
class Witness:
    """Who countersigns.

    Attributes:
        name: as it stands in the note.
        key: file of the private key, None where the signature was made elsewhere.
        public: public key of a signature that was made elsewhere.
        fresh: make the key's file.
    """

    name: str
    key: Path | None = None
    public: str | None = None
    fresh: bool = False


@dataclass(frozen=True)
class Made:
    """A checkpoint with the keys that check it.

    Attributes:
        checkpoint: the note.
        log: the log's public key, as tools for signed notes take it.
        witness: the witness's, nothing where there is none.
    """

    checkpoint: Checkpoint
    log: str
    witness: str = ""


def make_checkpoint(home: Home) -> Made:
    """Sign where the log is, unless that is signed already.

    Raises:
        InputError: the log is empty, or its key is not at hand.
        IntegrityError: the log is not the one that was signed before.
    """
    with Ledger.open(home) as ledger:
        found = stamp(home, ledger)
        verifier = log_verifier(ledger)
    if found is None or verifier is None:
        raise InputError("a log with entries", "an empty one", "publish something first")
    return Made(found, verifier)


def witness(home: Home, file: Path, who: Witness, *, since: Path | None = None, log: str | None = None) -> Made:
    """Countersign the checkpoint in `file` and keep that in the home.

    Args:
        home: whose log it is; every root is made again from its entries.
        file: the checkpoint; with a countersignature where that was made elsewhere.
        who: the witness.
        since: a checkpoint that the witness saw before, with which the log must still begin.
        log: the log's public key as the witness knows it; the one in the log otherwise.

    Raises:
        InputError: a file, a key or the name cannot be used, or the checkpoint is not one of this log.
        IntegrityError: the log has another root at that size, or no longer begins with `since`.
    """
    pins = Pins.read(log, [file, *([since] if since is not None else [])])
    found = pins.checkpoints[0]
    with Ledger.open(home) as ledger:
        _agrees(ledger, pins)
        now = datetime.now(UTC)
        if who.key is None:
            public = public_of(who.public or "")
        else:
            key = _key(who)
            public, found = key.public, found.witnessed(key, who.name, now)
        CheckpointStore(ledger).add_witness(found, who.name, public, who.name, now)
        stamp(home, ledger)
        return Made(found, log_verifier(ledger) or "", verifier_key(who.name, public, COSIGNATURE_TYPE))


def _agrees(ledger: Ledger, pins: Pins) -> None:
    """Refuse where the log contradicts a checkpoint.

    Raises:
        InputError: a checkpoint is not signed by the log's key, or is older than the one before it.
        IntegrityError: a root differs.
    """
    found, *before = pins.checkpoints
    keys = list(log_keys(ledger))
    if pins.key is not None and pins.key not in keys:
        known = ", ".join(map(fingerprint, keys)) or "none"
        raise IntegrityError("the log's key", fingerprint(pins.key), known)
    done = ledger.walk({one.size for one in pins.checkpoints})
    for one in pins.checkpoints:
        if not any(one.signed_by(public) for public in keys):
            raise InputError(f"a checkpoint of {one.size} entries signed by this log", "another", "take its own")
        if done.roots.get(one.size) != one.root:
            problem = done.problems[0] if done.problems else f"the log at {one.size} entries"
            raise IntegrityError(problem, one.root, str(done.roots.get(one.size, "nothing")))
    if done.bad is not None and done.bad < found.size:
        raise IntegrityError(done.problems[0], "a log without a bad entry", f"entry {done.bad}")
    for earlier in before:
        if earlier.size > found.size:
            raise InputError(f"a checkpoint of {earlier.size} entries or more", f"{found.size}", "take a newer one")


def _key(who: Witness) -> SigningKey:
    """The witness's key, made where that is asked for.

    Raises:
        InputError: it cannot be read, or is there already and shall be made.
    """
    assert who.key is not None
    passphrase = os.environ.get(PASSPHRASE_VARIABLE) or None
    if who.fresh:
        SigningKey.generate().save(who.key, passphrase)
    return SigningKey.load(who.key, passphrase)
