"""Rotate the log's key: the old one vouches for a new one, which then signs; what the old one signed still holds.

Order, and what a kill leaves behind at each point (`recover` ends or undoes it):

1. the new key lies in a file of its own, named by its fingerprint (left: a file that the log does not know, removed);
2. one entry, signed by the old key, brings the new one (left: both are the log's, and the file is moved);
3. the new file takes the place of the old one, whose private key is gone with that;
4. the next checkpoint is signed by the new key.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from registry.artifacts import fsync_folder
from registry.checkpoints import log_keys, log_signer, log_verifier, rotate, stamp
from registry.errors import InputError
from registry.home import Home
from registry.keys import LOG_PASSPHRASE_VARIABLE, SigningKey, fingerprint
from registry.ledger import Ledger
from registry.locks import writer
from registry.notes import verifier_key

NEW_PASSPHRASE_VARIABLE = "DMMGOV_NEW_LOG_PASSPHRASE"
"""Environment variable with the passphrase of the new key; unset, it is sealed as the old one was."""
NEXT = "log.next-"
LOG_FILE = "log.pem"


@dataclass(frozen=True)
class Rotated:
    """What a rotation came to.

    Attributes:
        old: fingerprint of the key that signed until now.
        new: fingerprint of the one that signs from now on.
        verifier: the new public key, under the log's name.
        first: the log's first public key, which still checks everything.
        size: entries that the first checkpoint of the new key covers.
    """

    old: str
    new: str
    verifier: str
    first: str
    size: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def passing(name: str) -> None:
    """The checkpoint that does nothing."""


def rotate_key(home: Home, actor: str, *, checkpoint: Callable[[str], None] = passing) -> Rotated:
    """Give the log a new key.

    Args:
        home: whose log.
        actor: who does it.
        checkpoint: called at every point at which a kill could leave something behind, with its name.

    Raises:
        InputError: the log is empty, or its key is not at hand (no file, another key, another passphrase).
        IntegrityError: the log is not the one that its last checkpoint signed.
        BusyError: another writer is at work.
    """
    from pipelines.releasing.recovery import recover

    with writer(home), Ledger.open(home) as ledger:
        recover(home, ledger)
        if not ledger.head().size:
            raise InputError("a log with entries", "an empty one", "its key is made with its first entry")
        old, fresh = log_signer(home, ledger), SigningKey.generate()
        passphrase = os.environ.get(NEW_PASSPHRASE_VARIABLE) or os.environ.get(LOG_PASSPHRASE_VARIABLE) or None
        path = home.keys / f"{NEXT}{fingerprint(fresh.public)}.pem"
        fresh.save(path, passphrase)
        if SigningKey.load(path, passphrase).public != fresh.public:
            raise InputError("the new key as it was written", "another", "look at the disk")
        checkpoint("key written")
        rotate(home, ledger, fresh, actor, datetime.now(UTC))
        checkpoint("committed")
        finish_rotation(home, ledger)
        checkpoint("key moved")
        with _passphrase(passphrase):
            signed = stamp(home, ledger)
        origin = signed.origin if signed is not None else ""
        size = signed.size if signed is not None else 0
        return Rotated(
            fingerprint(old.public),
            fingerprint(fresh.public),
            verifier_key(origin, fresh.public),
            log_verifier(ledger) or "",
            size,
        )


def finish_rotation(home: Home, ledger: Ledger) -> str:
    """Move a new key into place where the log has it, remove it where the log has not; what was done, in words."""
    known = {fingerprint(public): public for public in log_keys(ledger)}
    done = ""
    for path in waiting(home):
        if path.stem.removeprefix(NEXT) in known:
            path.replace(home.keys / LOG_FILE)
            done = "moved the new key of the log into place"
        else:
            path.unlink()
            done = "removed a key that never became the log's"
        fsync_folder(home.keys)
    return done


def waiting(home: Home) -> list[Path]:
    """Files of new keys that are not in place."""
    return sorted(home.keys.glob(f"{NEXT}*.pem")) if home.keys.is_dir() else []


@contextmanager
def _passphrase(passphrase: str | None) -> Iterator[None]:
    """The log's key opens with this passphrase inside the block."""
    before = os.environ.get(LOG_PASSPHRASE_VARIABLE)
    if passphrase is not None:
        os.environ[LOG_PASSPHRASE_VARIABLE] = passphrase
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(LOG_PASSPHRASE_VARIABLE, None)
        else:
            os.environ[LOG_PASSPHRASE_VARIABLE] = before
