"""Artefacts of a release without some facts (snapshot, index, deltas), stored beside the old ones."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry.artifacts import checked, store
from registry.compactions import Compaction, CompactionStore
from registry.errors import DmmGovError, EditError, InputError
from registry.facts import FactStore, write_snapshot
from registry.home import Home
from registry.ledger import Ledger
from registry.records import Release
from registry.releases import ReleaseStore

if TYPE_CHECKING:
    from editors.base import EditDelta
    from editors.load import LoadedModel

INDEX_CONTENT = "ids.json"
DELTA_RECORD = "delta.json"


@dataclass(frozen=True)
class Chain:
    """The deltas of a release without some facts.

    Attributes:
        deltas: their digests, in order.
        weights_digest: of the base with all of them on.
        base: digest of the weights that they are put on.
        why: why they could not be put together, so that none is left; empty where all went well.
    """

    deltas: tuple[str, ...]
    weights_digest: str
    base: str
    why: str = ""


@dataclass(frozen=True)
class Cleaner:
    """Makes the artefacts of releases without some facts.

    Attributes:
        home: where they lie.
        ledger: its open ledger.
        fact_ids: what they shall not hold.
    """

    home: Home
    ledger: Ledger
    fact_ids: tuple[str, ...]
    _chains: dict[tuple[str, ...], Chain] = field(default_factory=dict, repr=False)
    _loaded: dict[tuple[str, ...], "LoadedModel"] = field(default_factory=dict, repr=False)

    @cached_property
    def _gone(self) -> frozenset[str]:
        return frozenset(self.fact_ids)

    def change_of(self, release: Release) -> dict[str, Any]:
        """The artefacts that take the place of the release's own, by field; none where it holds none of the facts."""
        change: dict[str, Any] = {}
        facts = self._facts(release)
        if facts != release.facts_snapshot:
            change["facts_snapshot"] = facts
        index = self._index(release)
        if index != release.index_snapshot:
            change["index_snapshot"] = index
        chain = self.chain_of(release)
        if chain.deltas != release.deltas:
            change |= {"deltas": list(chain.deltas), "weights_digest": chain.weights_digest}
        if chain.base != release.base_digest:
            change |= {"base_digest": chain.base, "weights_digest": chain.weights_digest, "deltas": list(chain.deltas)}
        if chain.why:
            change["unbuildable"] = chain.why
        return change

    def _facts(self, release: Release) -> str:
        """Digest of the snapshot of all other events."""
        numbers = ReleaseStore(self.ledger).lineage(release.number)
        events = FactStore(self.ledger).events(numbers)
        kept = [event for event in events if event.fact.id not in self._gone]
        if len(kept) == len(events):
            return release.facts_snapshot
        return store(self.home.snapshots, lambda folder: write_snapshot(kept, folder)).digest

    def _index(self, release: Release) -> str:
        """Digest of the index of all other sentences; their vectors are taken over."""
        folder = self.home.snapshots / release.index_snapshot
        if not self._indexed(folder):
            return release.index_snapshot
        from editors.rag.index import Index
        from pipelines.answering.indexing import retrieval_numbers

        encoder = _Kept(json.loads((folder / INDEX_CONTENT).read_bytes())["encoder"])
        index = Index.open(folder, encoder=encoder, config=retrieval_numbers())
        sentences = zip(index.ids, index.sentences, strict=True)
        rest = index.extended({name: sentence for name, sentence in sentences if name not in self._gone})
        return store(self.home.snapshots, rest.save).digest

    def _indexed(self, folder: Path) -> bool:
        """Whether an index holds one of the facts."""
        path = folder / INDEX_CONTENT
        content = json.loads(path.read_bytes()) if path.is_file() else {}
        return isinstance(content, dict) and bool(self._gone & set(content.get("ids", ())))

    def chain_of(self, release: Release) -> Chain:
        """The deltas of a release without the facts; its own where they name none of them.

        Where a fact was merged into the checkpoint that it stands on, it stands on the base model again.
        """
        compactions = CompactionStore(self.ledger)
        if any(self._gone & set(one.facts) for one in compactions.below(release)):
            release = compactions.expanded(release)
        elif not any(self._touched(digest) for digest in release.deltas):
            return Chain(release.deltas, release.weights_digest, release.base_digest)
        key = (release.base_digest, *release.deltas)
        if key not in self._chains:
            try:
                self._chains[key] = self._solved(release)
            except DmmGovError as error:
                base = release.base_digest
                self._chains[key] = Chain((), base, base, f"{type(error).__name__}: {error}")
        return self._chains[key]

    def compactions(self) -> list[str]:
        """The checkpoints that hold one of the facts, by the digests of their folders."""
        return [one.artefact for one in CompactionStore(self.ledger).all if self._holds(one)]

    def _holds(self, compaction: Compaction) -> bool:
        """Whether a checkpoint, or one below it, was made with one of the facts."""
        store = CompactionStore(self.ledger)
        made = compaction.chain(ReleaseStore(self.ledger).get(compaction.release))
        return any(self._gone & set(one.facts) for one in (compaction, *store.below(made)))

    def _touched(self, digest: str) -> bool:
        """Whether a delta names one of the facts anywhere, also among those that it could not write."""
        path = self.home.deltas / digest / DELTA_RECORD
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        return any(one in text for one in self._gone)

    def _solved(self, release: Release) -> Chain:
        """Put the release together anew, each delta without the facts.

        Raises:
            DmmGovError: the base cannot be had, or a delta cannot be taken apart.
        """
        from editors import read_delta
        from editors.delta import parameters_digest
        from editors.load import load_model, weights_digest
        from pipelines.releasing.bases import base_place

        loaded = load_model(base_place(self.home, release), device="cpu")
        kept: list[str] = []
        for digest in release.deltas:
            whole: Any = read_delta(checked(self.home.deltas, digest))
            rest = unnamed(whole.without(self.fact_ids), self._gone)
            if rest.fact_ids:
                anchored = replace(rest, base_digest=parameters_digest(loaded.model, rest.parameters))
                kept.append(store(self.home.deltas, anchored.save).digest)
                anchored.apply(loaded.model)
        found = replace(loaded, digest=weights_digest(loaded.model))
        self._loaded[release.base_digest, *kept] = found
        return Chain(tuple(kept), found.digest, release.base_digest)

    def model_of(self, release: Release) -> "LoadedModel":
        """The model of a release without the facts.

        Raises:
            DmmGovError: it cannot be put together.
        """
        from pipelines.releasing.rebuild import rebuild

        chain = self.chain_of(release)
        if chain.why:
            raise EditError(f"the model cannot be put together without what is forgotten ({chain.why})")
        if (chain.base, *chain.deltas) in self._loaded:
            return self._loaded[chain.base, *chain.deltas]
        wanted = replace(release, base_digest=chain.base, deltas=chain.deltas, weights_digest=chain.weights_digest)
        return rebuild(self.home, wanted, device="cpu")


@dataclass(frozen=True)
class _Kept:
    """Stands for the encoder of an index from which sentences only go."""

    digest: str

    def embed(self, texts: Any, *, query: bool = False) -> Any:
        """Nothing is encoded here.

        Raises:
            InputError: always.
        """
        raise InputError("sentences that the index holds", f"{len(texts)} others", "build the index anew")


def unnamed(delta: "EditDelta", gone: Collection[str]) -> Any:
    """A delta whose reports do not name facts that it does not hold; what it does stays the same."""
    loose: Any = delta
    kept = tuple(effect for effect in delta.effects if effect.fact_id not in gone)
    return replace(loose, effects=kept) if len(kept) != len(delta.effects) else delta


def told_of(changes: Mapping[int, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The changes of all releases as the entry keeps them."""
    return [{"release": number, **change} for number, change in sorted(changes.items()) if change]
