"""Pruning: which releases gave up their artefacts, and what the log says of it.

The record of a pruned release, its facts and its certificate stay; what is gone are folders: deltas, snapshots, its
MLflow version, checkpoints that nothing stands on. A "pruned" entry names them:

    {"releases": [1, 2], "deltas": [...], "snapshots": [...], "bases": [...], "versions": [...], "policy": {...}}
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from registry.errors import InputError
from registry.releases import ReleaseStore

if TYPE_CHECKING:
    from registry.ledger import Ledger
    from registry.records import LedgerEntry, Release

PRUNED = "pruned"
"""Ledger kind of a pruning."""
KINDS = ("deltas", "snapshots", "bases", "versions")
"""What a pruning removes, by kind."""


@dataclass(frozen=True)
class Pruning:
    """One pruning, as its entry tells it.

    Attributes:
        seq: position of the entry.
        at: when.
        actor: who did it.
        releases: the numbers that gave up their artefacts.
        gone: digests of the folders that were removed, by kind.
    """

    seq: int
    at: datetime
    actor: str
    releases: tuple[int, ...]
    gone: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, entry: "LedgerEntry") -> "Pruning":
        """The pruning that an entry records."""
        said: Mapping[str, Any] = entry.payload
        gone = {kind: tuple(said[kind]) for kind in KINDS}
        return cls(entry.seq, entry.recorded_at, entry.actor, tuple(said["releases"]), gone)

    @property
    def words(self) -> str:
        """Who pruned when, for people."""
        return f"pruned by {self.actor} on {self.at.date().isoformat()} (entry {self.seq})"


class PruningStore:
    """All prunings, read from the log once."""

    def __init__(self, ledger: "Ledger") -> None:
        """Read nothing yet."""
        self.ledger = ledger

    @cached_property
    def all(self) -> tuple[Pruning, ...]:
        """Every pruning in order."""
        return tuple(Pruning.of(entry) for entry in self.ledger.entries(PRUNED))

    @cached_property
    def releases(self) -> Mapping[int, Pruning]:
        """The pruning of every release that was pruned, by number."""
        return {number: one for one in self.all for number in one.releases}

    def gone(self, kind: str) -> frozenset[str]:
        """Digests of all folders of a kind that a pruning removed."""
        return frozenset(digest for one in self.all for digest in one.gone[kind])

    def kept(self, ref: str | int) -> "Release":
        """The release that `ref` names, whose artefacts must be there.

        Raises:
            InputError: there is no such release, or it was pruned.
        """
        release = ReleaseStore(self.ledger).get(ref)
        found = self.releases.get(release.number)
        if found is not None:
            todo = "its record, facts and certificate are kept, its artefacts are not; name a release that is kept"
            raise InputError("a release that is kept", f"release {release.number}, {found.words}", todo)
        return release
