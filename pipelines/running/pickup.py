"""Pick up new feeds from a folder, each once: what a schedule does at every beat.

A file is told by its content, so that a renamed copy is no new feed and a rollback is not undone by the next beat: what
any run has recorded, with whatever outcome, is never run again from here (`dmmgov update FILE` still does it). Files
stay where they are. A file that is still being written is left for the next beat: name it `.something` or
`something.part` until it is whole, or let it rest for `settle_s` seconds.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from registry.digests import digest_file
from registry.errors import BusyError, DmmGovError, FeedError, InputError
from registry.feeds import FeedStore
from registry.home import Home
from registry.ledger import Ledger
from registry.redaction import GONE
from registry.shredding import Shredded, opened, told

FORMATS = (".csv", ".jsonl", ".ndjson", ".parquet")
LOCK_NAME = "pickup.lock"
UNREADABLE = "feed_unreadable"
"""Ledger kind of a feed that cannot be read as a whole: there is no run of it, and it is not tried again."""

Outcome = Literal["taken", "known", "waiting", "failed"]
"""What became of a file at this beat.

taken: it was run through the loop.
known: its content was run before.
waiting: it is not whole yet; the next beat looks again.
failed: it was tried and something went wrong, which `words` tells.
"""

Runner = Callable[[Path, Home, str], Mapping[str, Any]]
"""Runs one feed: its path, the home, the model's name; returns at least `status`."""


@dataclass(frozen=True)
class Pickup:
    """One file of the folder and what became of it.

    Attributes:
        name: of the file.
        digest: of its bytes; empty while it is not whole.
        outcome: see `Outcome`.
        words: for a person.
    """

    name: str
    digest: str
    outcome: Outcome
    words: str

    def to_dict(self) -> dict[str, str]:
        """Plain JSON values."""
        return asdict(self)


def pick_up_files(
    folder: Path,
    home: Home,
    model: str,
    run: Runner,
    *,
    settle_s: float = 2.0,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[Pickup, ...]:
    """Run every new feed in `folder`, in the order of names.

    Args:
        folder: where feeds arrive.
        home: the home folder.
        model: name of the base model.
        run: runs one feed.
        settle_s: seconds for which a file must not have changed.
        sleep: waits.

    Returns:
        One entry per feed file; what goes wrong with one is told in its entry and does not stop the others.

    Raises:
        InputError: there is no such folder.
        BusyError: another pick-up is at work in this home.
    """
    if not folder.is_dir():
        raise InputError("a folder in which feeds arrive", str(folder), "make it, or name another")
    before = {path: _look(path) for path in _candidates(folder)}
    if not before:
        return ()
    from filelock import FileLock, Timeout

    home.root.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(home.root / LOCK_NAME, timeout=0):
            sleep(settle_s)
            with Ledger.open(home) as ledger:
                return tuple(_take(path, seen, ledger, home, model, run) for path, seen in before.items())
    except Timeout as error:
        raise BusyError(f"another pick-up is at work in {home.root}; this one leaves it to it") from error


def _candidates(folder: Path) -> list[Path]:
    """Files that look like feeds, in the order of names."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in FORMATS and not path.name.startswith((".", "~")) and path.is_file()
    )


def _look(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file does: its inode, size and time of change; None when it is gone."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _take(path: Path, seen: tuple[int, int, int] | None, ledger: Ledger, home: Home, model: str, run: Runner) -> Pickup:
    """Decide on one file and run it when it is new and whole."""
    try:
        now = _look(path)
        if now is None or now != seen:
            return Pickup(path.name, "", "waiting", "it is still being written")
        if now[1] == 0:
            return Pickup(path.name, "", "waiting", "it is empty so far")
        digest = digest_file(path)
        if _look(path) != seen:
            return Pickup(path.name, "", "waiting", "it is still being written")
        if (before := _recorded(ledger, digest)) is not None:
            return Pickup(path.name, digest, "known", before)
        try:
            status = str(run(path, home, model).get("status", "done"))
        except FeedError as error:
            with ledger.transaction() as txn:
                payload = {"digest": digest, "name": path.name, "why": told(txn, str(error))}
                ledger.append(txn, UNREADABLE, payload, "schedule", datetime.now(UTC))
            return Pickup(path.name, digest, "failed", f"{error}; it is not tried again unless its content changes")
        if status == "blocked":
            return Pickup(path.name, digest, "failed", "a gate forbids the release: see the report; nothing published")
        return Pickup(path.name, digest, "taken", status.replace("_", " "))
    except (DmmGovError, OSError) as error:
        return Pickup(path.name, "", "failed", f"{error}; it is tried again at the next beat")
    except Exception as error:
        # One feed must not stop the others, whatever happens; the run is reported as failed.
        return Pickup(path.name, "", "failed", f"{type(error).__name__}: {error}; it is tried again at the next beat")


def _recorded(ledger: Ledger, digest: str) -> str | None:
    """What is recorded about a feed with this content, in words; None when nothing is."""
    runs = [run for run in FeedStore(ledger).runs() if run.digest == digest]
    if runs:
        last = runs[-1]
        where = f", release {last.release}" if last.release is not None else ""
        return f"run before as {last.name} ({last.status.replace('_', ' ')}{where})"
    for entry in ledger.entries(UNREADABLE):
        if entry.payload.get("digest") == digest:
            with ledger.read() as connection:
                why = opened(connection, entry.payload["why"])
            return f"tried before as {entry.payload['name']}: {GONE if isinstance(why, Shredded) else why}"
    return None
