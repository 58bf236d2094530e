"""The newest checkpoint once more, in a file of its own beside the ledger: `checkpoint.note`.

A database can lose its end and be whole: a write-ahead log of which one byte has changed is read up to there. Whoever
looks at the database alone then finds nothing. This file tells how long the log has been.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING

from registry.artifacts import write_whole
from registry.errors import InputError
from registry.notes import Checkpoint

if TYPE_CHECKING:
    from registry.home import Home

NAME = "checkpoint.note"


def keep(home: "Home", checkpoint: Checkpoint, keys: Collection[str]) -> None:
    """Put a checkpoint into the file, unless a longer one that one of `keys` signed is there."""
    try:
        before = kept(home)
    except InputError:
        before = None
    longer = before is not None and before.size > checkpoint.size and any(before.signed_by(key) for key in keys)
    if not longer:
        write_whole(home.root / NAME, str(checkpoint).encode())


def kept(home: "Home") -> Checkpoint | None:
    """The checkpoint in the file, None where there is none.

    Raises:
        InputError: what is in the file is no checkpoint.
    """
    path = home.root / NAME
    if not path.is_file():
        return None
    try:
        return Checkpoint.parse(path.read_bytes().decode())
    except UnicodeDecodeError as error:
        raise InputError("a checkpoint", f"{path} ({error.reason})", "move it away") from error
