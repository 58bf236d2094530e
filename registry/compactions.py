"""Compactions: chains of weight deltas that were merged into a checkpoint, on which later releases stand.

The record of a release never changes: it keeps its base and its deltas. A "compacted" entry says that the checkpoint
`artefact` holds the weights of `base` with the deltas `merged` on, so that whoever builds on the release begins there.

    store = CompactionStore(ledger)
    store.standing(release)     # as later releases build on it: from the checkpoint, with what was not merged
    store.expanded(release)     # as it was made: from the first base, with every delta
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from registry.records import Release
from registry.shredding import FORGOTTEN

if TYPE_CHECKING:
    from registry.ledger import Ledger

COMPACTED = "compacted"
"""Ledger kind of a compaction."""


@dataclass(frozen=True)
class Compaction:
    """One checkpoint that takes the place of a base and the first deltas of a chain.

    Attributes:
        release: number of the release whose chain was merged.
        model: name of the base model, as the release has it.
        base: digest of the weights that it was made from.
        merged: digests of the deltas that are in it, in their order.
        kept: digests of the release's deltas that are not, and are put on after it.
        weights: digest of the checkpoint's weights, which is that of the chain.
        artefact: digest of its folder.
        facts: ids of the facts that the merged deltas hold.
        seq: position of its entry in the log.
    """

    release: int
    model: str
    base: str
    merged: tuple[str, ...]
    kept: tuple[str, ...]
    weights: str
    artefact: str
    facts: tuple[str, ...] = ()
    seq: int = -1

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values without the position; `from_dict` is its inverse."""
        values = {"release": self.release, "model": self.model, "base": self.base, "weights": self.weights}
        lists = {"merged": list(self.merged), "kept": list(self.kept), "facts": list(self.facts)}
        return {**values, **lists, "artefact": self.artefact}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], seq: int) -> Self:
        """Rebuild a compaction from the payload of the entry at `seq`."""
        lists = {name: tuple(values[name]) for name in ("merged", "kept", "facts")}
        return cls(**{**values, **lists}, seq=seq)

    def chain(self, release: Release) -> Release:
        """`release` as the base and the merged deltas alone, which must give the checkpoint's weights."""
        return replace(release, base_digest=self.base, deltas=self.merged, weights_digest=self.weights)


class CompactionStore:
    """All compactions that count, read from the log once."""

    def __init__(self, ledger: "Ledger") -> None:
        """Read nothing yet."""
        self.ledger = ledger

    @cached_property
    def all(self) -> tuple[Compaction, ...]:
        """Every compaction in order, without those whose checkpoint went with what was forgotten."""
        gone = {digest for entry in self.ledger.entries(FORGOTTEN) for digest in entry.payload.get("compactions", ())}
        found = [Compaction.from_dict(entry.payload, entry.seq) for entry in self.ledger.entries(COMPACTED)]
        return tuple(one for one in found if one.artefact not in gone)

    def of(self, release: int) -> Compaction | None:
        """The last compaction of a release, None where its chain was not merged."""
        return next((one for one in reversed(self.all) if one.release == release), None)

    def standing(self, release: Release) -> Release:
        """The release as later ones build on it: from its checkpoint where it has one."""
        found = self.of(release.number)
        if found is None or (found.base, (*found.merged, *found.kept)) != (release.base_digest, release.deltas):
            return release
        return replace(release, base_digest=found.weights, deltas=found.kept)

    def below(self, release: Release) -> Iterator[Compaction]:
        """The compactions that a release stands on, the one that it is built on first."""
        every, base = self.all, release.base_digest
        while (found := _of_weights(every, base)) is not None:
            yield found
            every = tuple(one for one in every if one.seq < found.seq)
            base = found.base

    def bases(self, release: Release) -> frozenset[str]:
        """Digests of every base on which a release that is built on this one may stand."""
        standing = self.standing(release)
        return frozenset((release.base_digest, standing.base_digest, *(one.base for one in self.below(standing))))

    def holding(self, release: Release) -> dict[Compaction, tuple[str, ...]]:
        """The checkpoints that hold deltas of a release, as it was made from the base model, with those deltas."""
        deltas = self.expanded(release).deltas
        parts = {found: tuple(one for one in deltas if one in found.merged) for found in self.all}
        return {found: part for found, part in parts.items() if part}

    def expanded(self, release: Release) -> Release:
        """The release from the base model itself, with every delta that was merged on the way."""
        for found in self.below(release):
            release = replace(release, base_digest=found.base, deltas=(*found.merged, *release.deltas))
        return release


def _of_weights(every: tuple[Compaction, ...], weights: str) -> Compaction | None:
    """The last compaction whose checkpoint has these weights."""
    return next((one for one in reversed(every) if one.weights == weights), None)
