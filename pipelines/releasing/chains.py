"""Does every release still come out of its base and its deltas as recorded?

And do the checkpoints into which deltas were merged? Each base is loaded once, and each delta put on once for all
releases that begin with the same ones.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from registry.artifacts import checked
from registry.compactions import CompactionStore
from registry.errors import DmmGovError
from registry.home import Home
from registry.ledger import Ledger
from registry.progress import track
from registry.pruning import PruningStore
from registry.records import Release
from registry.releases import ReleaseStore

if TYPE_CHECKING:
    from editors.base import EditDelta


def chain_problems(home: Home, ledger: Ledger) -> Iterator[str]:
    """One line for every release that does not come out as recorded.

    Args:
        home: where models and deltas lie.
        ledger: its ledger.
    """
    groups: dict[tuple[str, str], list[Release]] = {}
    every = {release.number: release for release in ReleaseStore(ledger).all()}
    pruned = PruningStore(ledger)
    merged = [
        form
        for one in CompactionStore(ledger).all
        for form in (
            one.chain(every[one.release]),
            replace(every[one.release], base_digest=one.weights, deltas=one.kept),
        )
    ]
    kept = [release for release in every.values() if release.number not in pruned.releases]
    for release in (one for one in (*kept, *merged) if not _pruned(home, pruned, one)):
        groups.setdefault((release.model, release.base_digest), []).append(release)
    for releases in groups.values():
        yield from _group(home, releases)


def _pruned(home: Home, pruned: PruningStore, release: Release) -> bool:
    """Whether the checkpoint or a delta of a release, in this form, is gone since it was pruned."""
    bases, deltas = pruned.gone("bases"), pruned.gone("deltas")
    first = next(iter(CompactionStore(pruned.ledger).below(release)), None)
    return (first is not None and first.artefact in bases) or any(
        digest in deltas and not (home.deltas / digest).exists() for digest in release.deltas
    )


def _group(home: Home, releases: Sequence[Release]) -> Iterator[str]:
    """The releases of one base."""
    from editors.load import load_model
    from pipelines.releasing.bases import base_place

    chains: dict[tuple[str, ...], list[Release]] = {}
    for release in releases:
        chains.setdefault(release.deltas, []).append(release)
    first = releases[0]
    with track(f"rebuild releases on {first.model}", total=len(chains)) as advance:
        try:
            loaded = load_model(base_place(home, first), device="cpu")
        except DmmGovError as error:
            numbers = ", ".join(str(release.number) for release in releases)
            yield f"releases {numbers} cannot be rebuilt: {error}"
            return
        if loaded.digest != first.base_digest:
            yield f"release {first.number}: its base has the digest {loaded.digest}, recorded is {first.base_digest}"
            return
        walked = _Chain(home, loaded.model, loaded.digest)
        for deltas in sorted(chains):
            try:
                found = walked.digest_of(deltas)
            except DmmGovError as error:
                yield from (f"release {one.number} cannot be rebuilt: {error}" for one in chains[deltas])
            else:
                for release in chains[deltas]:
                    if found != release.weights_digest:
                        recorded = release.weights_digest
                        yield f"release {release.number}: its weights come out as {found}, recorded is {recorded}"
            advance(1)


class _Chain:
    """A model on which deltas are put and from which they are taken again, the last one first."""

    def __init__(self, home: Home, model: Any, base: str) -> None:
        """Begin with the bare base model, whose digest is `base`."""
        self.home, self.model, self.base = home, model, base
        self.on: list[tuple[str, EditDelta]] = []

    def digest_of(self, deltas: tuple[str, ...]) -> str:
        """Digest of the weights with exactly these deltas on.

        Raises:
            IntegrityError: one is not as recorded, or was fitted on other weights.
            EditError: one cannot be put on.
        """
        from editors import read_delta
        from editors.load import weights_digest

        shared = 0
        while shared < min(len(self.on), len(deltas)) and self.on[shared][0] == deltas[shared]:
            shared += 1
        while len(self.on) > shared:
            self.on.pop()[1].revert(self.model)
        for digest in deltas[shared:]:
            delta = read_delta(checked(self.home.deltas, digest))
            delta.apply(self.model)
            self.on.append((digest, delta))
        return weights_digest(self.model) if deltas else self.base
