"""The log against what vouches for it: signed checkpoints, witnesses, and what the caller kept from before."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from registry import newest_note
from registry.checkpoints import KEY_KIND, CheckpointStore, Stored, log_keys, witness_keys
from registry.errors import InputError
from registry.home import Home
from registry.keys import fingerprint
from registry.ledger import Ledger
from registry.notes import Checkpoint, public_of
from registry.walk import Walk

FIRST = re.compile(r"entr(?:y|ies) (\d+)(?: to (\d+))?\b")
NAMED = {"fact": "fact", "fact_id": "fact", "facts": "fact", "request": "request", "release": "release"}
FEW = 10


@dataclass(frozen=True)
class Pins:
    """What a caller knows of the log from elsewhere.

    Attributes:
        key: its public key, hexadecimal; any where it is None.
        checkpoints: earlier ones, which the log must still begin with.
    """

    key: str | None = None
    checkpoints: tuple[Checkpoint, ...] = ()

    @classmethod
    def read(cls, key: str | None, files: Sequence[Path]) -> "Pins":
        """Pins from words and files.

        Args:
            key: 64 hexadecimal characters, a verifier key, or a file with either.
            files: checkpoints that were kept.

        Raises:
            InputError: the key is none, or a file cannot be read as a checkpoint.
        """
        if key is not None:
            place = Path(key)
            key = public_of(_text(place) if len(key) < FILE_NAME and place.is_file() else key)
        return cls(key, tuple(Checkpoint.parse(_text(path)) for path in files))


FILE_NAME = 4096
NO_PINS = Pins()


def _text(path: Path) -> str:
    """A file's text.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("a file of text", f"{path} ({error})", "name the file of the checkpoint or key") from error


def log_problems(ledger: Ledger, pins: Pins = NO_PINS) -> Iterator[str]:
    """Everything wrong with the log and its checkpoints; the first bad entry first."""
    kept = CheckpointStore(ledger).all()
    sizes = {one.size for one in kept} | {one.size for one in pins.checkpoints}
    done = ledger.walk(sizes)
    yield from done.problems
    keys = log_keys(ledger)
    yield from _keys(ledger, keys, pins, kept)
    yield from _checkpoints(kept, done, _Signers.of(ledger, pins), witness_keys(ledger))
    yield from _pinned(pins, done, _Signers.of(ledger, pins))


def note_problems(home: Home, ledger: Ledger) -> Iterator[str]:
    """The newest checkpoint in its own file, against the log and against those in the tables."""
    try:
        note = newest_note.kept(home)
    except InputError as error:
        yield f"{newest_note.NAME}: {error}"
        return
    if note is None:
        return
    if not any(note.signed_by(public) for public in log_keys(ledger)):
        yield f"{newest_note.NAME}: no key of the log signed it"
        return
    size, store = ledger.head().size, CheckpointStore(ledger)
    if note.size > size:
        yield f"entry {size} is missing: {newest_note.NAME} covers {note.size} entries, {size} are there"
        return
    there = store.at(note.size)
    if there is None:
        yield f"checkpoint of {note.size} entries: {newest_note.NAME} has it, the ledger has not"
    elif there.checkpoint().root != note.root:
        yield f"checkpoint of {note.size} entries: {newest_note.NAME} signs another root than the ledger's"


@dataclass(frozen=True)
class _Signers:
    """Who may have signed checkpoints.

    Attributes:
        origin: the log's name.
        keys: keys and the entry of each; those from the pinned one on where one is pinned.
        since: checkpoints of more entries than this must be signed by one of them.
    """

    origin: str
    keys: Mapping[str, int]
    since: int

    @classmethod
    def of(cls, ledger: Ledger, pins: Pins) -> "_Signers":
        """Those of a log, for a caller who knows what `pins` say."""
        every, keys = log_keys(ledger), log_keys(ledger, pins.key)
        origin = f"dmmgov/{fingerprint(next(iter(every)))}" if every else ""
        if pins.key is None:
            return cls(origin, keys, 0)
        return cls(origin, {pins.key: 0, **keys}, min(keys.values(), default=0))

    def signed(self, checkpoint: Checkpoint) -> bool:
        """Whether one of them signed a checkpoint."""
        return any(checkpoint.signed_by(public) for public, seq in self.keys.items() if seq < checkpoint.size)


def _keys(ledger: Ledger, keys: Mapping[str, int], pins: Pins, kept: Sequence[Stored]) -> Iterator[str]:
    """The log's own keys."""
    for entry in ledger.entries(KEY_KIND):
        if keys.get(str(entry.payload.get("public"))) is None:
            yield f"entry {entry.seq} ({KEY_KIND}): a further key that no earlier key of the log vouches for"
    if pins.key is not None and pins.key not in keys:
        known = ", ".join(fingerprint(public) for public in keys) or "none"
        yield f"log key: {fingerprint(pins.key)} is expected, the log has {known}"
    if keys and not kept:
        yield f"checkpoints: entry {min(keys.values())} says that the log is signed, no checkpoint is kept"


def _checkpoints(kept: Sequence[Stored], done: Walk, signers: _Signers, witnesses: Mapping[str, str]) -> Iterator[str]:
    """Every kept checkpoint: whose it is, who countersigned it, and whether the log is still the one it signs."""
    agreed = 0
    for one in kept:
        what = f"checkpoint of {one.size} entries"
        try:
            checkpoint = one.checkpoint()
        except InputError as error:
            yield f"{what}: {error}"
            continue
        if (checkpoint.size, checkpoint.origin) != (one.size, signers.origin):
            yield f"{what}: it says {checkpoint.origin} and {checkpoint.size}, expected {signers.origin} and {one.size}"
        if one.size > signers.since and not signers.signed(checkpoint):
            yield f"{what}: no key of the log signed it"
            continue
        for name in checkpoint.witnesses:
            if name not in witnesses or checkpoint.witnessed_by(name, witnesses[name]) is None:
                yield f"{what}: the countersignature of {name} does not hold"
        problem = _root(checkpoint, done, agreed)
        if problem:
            yield problem
        else:
            agreed = one.size


def _pinned(pins: Pins, done: Walk, signers: _Signers) -> Iterator[str]:
    """The checkpoints that the caller kept."""
    agreed = 0
    for checkpoint in sorted(pins.checkpoints, key=lambda one: one.size):
        if not signers.signed(checkpoint):
            yield f"your checkpoint of {checkpoint.size} entries: no key of the log signed it"
            continue
        problem = _root(checkpoint, done, agreed)
        if problem:
            yield f"your checkpoint: {problem}" if not problem.startswith("entr") else problem
        else:
            agreed = checkpoint.size


def _root(checkpoint: Checkpoint, done: Walk, agreed: int) -> str | None:
    """Whether the log has the root that a checkpoint signs; the entries after the last agreement where it has not."""
    size, found = checkpoint.size, done.roots.get(checkpoint.size)
    if found is None:
        if done.bad is not None and done.bad < size:
            return None  # the walk has named what is missing
        return f"entry {done.size} is missing: a checkpoint covers {size} entries, {done.size} are there"
    if found == checkpoint.root:
        return None
    return f"entries {agreed} to {size - 1}: their root is {found}, the checkpoint of {size} signs {checkpoint.root}"


def dependents(ledger: Ledger, seq: int) -> str:
    """What rests on an entry, in words: the releases published at or after it, and what it names."""
    after = [int(one.payload["release"]) for one in ledger.entries("published") if one.seq >= seq]
    words = [f"releases {_listed(after)} (published at or after it)" if after else "no release published after it"]
    named: dict[str, list[str]] = {}
    for entry in ledger.entries_between(seq, seq + 1):
        for kind, name in _names(entry.payload):
            named.setdefault(kind, []).append(name)
    words += [f"{kind} {_listed(list(dict.fromkeys(names)))}" for kind, names in sorted(named.items())]
    return f"what rests on entry {seq}: {'; '.join(words)}"


def first_bad(problems: Sequence[str]) -> tuple[int, int] | None:
    """The place among `problems` of the one with the first bad entry, and that entry; None where none names one.

    Of an entry and a span of entries the one that ends first counts.
    """
    found = [
        (int(match[2] or match[1]), at, int(match[1])) for at, match in enumerate(map(FIRST.match, problems)) if match
    ]
    return min(found)[1:] if found else None


def _names(payload: Any) -> Iterator[tuple[str, str]]:
    """Facts, requests and releases that a payload names."""
    if not isinstance(payload, Mapping):
        return
    for key, value in payload.items():
        if key in NAMED:
            values = value if isinstance(value, list) else [value]
            yield from ((NAMED[key], str(one)) for one in values if isinstance(one, str | int))


def _listed(values: Sequence[Any]) -> str:
    """The first few values, and how many more; numbers in a row as a span."""
    numbers = [one for one in values if isinstance(one, int)]
    if len(values) > FEW and len(numbers) == len(values) and all(b - a == 1 for a, b in pairwise(numbers)):
        return f"{numbers[0]} to {numbers[-1]}"
    shown = ", ".join(str(one) for one in values[:FEW])
    return f"{shown} and {len(values) - FEW} more" if len(values) > FEW else shown
