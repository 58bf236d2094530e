"""Pruning: which releases gave up their artefacts, and what the log says of it.

The record of a pruned release, its facts and its certificate stay; what is gone are folders: deltas, snapshots, its
MLflow version, checkpoints that nothing stands on. A "pruned" entry names them:

    {"releases": [1, 2], "deltas": [...], "snapshots": [...], "bases": [...], "versions": [...], "policy": {...}}
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from registry.compactions import CompactionStore
from registry.errors import InputError
from registry.releases import ReleaseStore

if TYPE_CHECKING:
    from registry.ledger import Ledger
    from registry.records import LedgerEntry, Release

PRUNED = "pruned"
"""Ledger kind of a pruning."""
KINDS = ("deltas", "snapshots", "bases", "versions")
"""What a pruning removes, by kind."""
SHOWN = 12
"""So many characters of a digest are told."""


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

    def kept(self, ref: str | int, asked: str = "") -> "Release":
        """The release that `ref` names, whose artefacts must be there.

        Args:
            ref: a number or an alias.
            asked: how it came to be meant, where nobody named it.

        Raises:
            InputError: there is no such release, or it was pruned; says which ones beside it are kept, and which
                checkpoint holds its weights or its deltas.
        """
        release = ReleaseStore(self.ledger).get(ref)
        found = self.releases.get(release.number)
        if found is not None:
            told = [*self._beside(release.number), *self._instead(release), "`dmmgov facts show` tells what it knew"]
            todo = f"its record, facts and certificate are kept, its artefacts are not; {'; '.join(told)}"
            raise InputError("a release that is kept", f"release {release.number}{asked}, {found.words}", todo)
        return release

    def _beside(self, number: int) -> Iterator[str]:
        """The nearest releases before and after one that can still be used."""
        kept = [one.number for one in ReleaseStore(self.ledger).all() if one.number not in self.releases]
        before, after = [one for one in kept if one < number], [one for one in kept if one > number]
        near = [f"release {before[-1]} before it"] if before else []
        near += [f"release {after[0]} after it"] if after else []
        yield f"kept and to be asked: {' and '.join(near)}" if near else "no release is kept"

    def _instead(self, release: "Release") -> Iterator[str]:
        """The checkpoints that are kept and hold its weights, or else its deltas."""
        compactions, gone = CompactionStore(self.ledger), self.gone("bases")
        there = {one: part for one, part in compactions.holding(release).items() if one.artefact not in gone}
        same = [one for one in there if one.weights == release.weights_digest]
        if same:
            yield f"checkpoint {same[-1].artefact[:SHOWN]} takes its place: it holds the same weights"
            return
        for one, part in there.items():
            yield f"checkpoint {one.artefact[:SHOWN]} of release {one.release} holds {len(part)} of its deltas"
