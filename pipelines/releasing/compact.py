"""Compact: merge the weight deltas of a release into a checkpoint, on which later releases stand.

What is merged are the deltas from the first one on, as long as they write into the weights. A side memory or an index
(wise, grace, serac, rag) lives beside the weights and cannot be in a checkpoint: it stays a delta, and so does whatever
was put on after it, since it was fitted on what was there then.

Order, and what a kill leaves behind at each point:

1. the checkpoint is written aside, read back, and its digest compared with that of the chain (left: a staged folder);
2. it is renamed into place (left: a folder that no entry names, which `recover` removes);
3. one transaction holds the entry (left: all of it, or nothing).
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.releasing.bases import CERTIFICATE, BaseCertificate, base_place
from pipelines.releasing.recovery import Checkpoint, passing, recover
from registry.artifacts import checked, store
from registry.checkpoints import log_signer, stamp
from registry.compactions import COMPACTED, Compaction, CompactionStore
from registry.errors import InputError, IntegrityError
from registry.home import Home
from registry.keys import SigningKey
from registry.ledger import Ledger
from registry.locks import writer
from registry.progress import track
from registry.pruning import PruningStore
from registry.records import Release

if TYPE_CHECKING:
    from editors.base import EditDelta
    from editors.load import LoadedModel

STAYS = "a memory beside the weights: it cannot be part of a checkpoint"
AFTER = "put on after a memory beside the weights, and fitted on what was there then"


@dataclass(frozen=True)
class CompactResult:
    """What a compaction came to.

    Attributes:
        release: number of the release.
        base: digest of the base that it was made from.
        merged: digests of the deltas that are in the checkpoint.
        kept: what stays a delta, with its editor and the reason.
        facts: how many facts the merged deltas hold.
        chain: digest of the weights as the base and the merged deltas give them.
        weights: digest of the weights as read back from the checkpoint.
        folder: where it lies.
        size: its bytes.
        entry: position of the entry in the log.
        seconds: wall time of the whole.
    """

    release: int
    base: str
    merged: tuple[str, ...]
    kept: tuple[dict[str, str], ...]
    facts: int
    chain: str
    weights: str
    folder: str
    size: int
    entry: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def compact(home: Home, ref: str, actor: str, *, checkpoint: Checkpoint = passing) -> CompactResult:
    """Merge the weight deltas of a release into a checkpoint.

    Args:
        home: where the release is kept.
        ref: its number or alias.
        actor: who does it.
        checkpoint: called at every point at which a kill could leave something behind.

    Raises:
        InputError: no such release, one that was pruned, nothing to merge, or it was merged already.
        IntegrityError: base, delta or checkpoint do not come out as recorded; nothing is kept.
        BusyError: another writer is at work.
    """
    started = time.perf_counter()
    with writer(home), Ledger.open(home) as ledger:
        recover(home, ledger)
        release = PruningStore(ledger).kept(ref)
        _check_new(ledger, release)
        key = log_signer(home, ledger)
        with track(f"compact release {release.number}", total=2) as advance:
            merged, rest = _parted(home, release)
            loaded = _chained(home, release, merged)
            advance(1)
            made = _made(release, merged, loaded.digest)
            certificate = _certificate(made, merged, loaded.digest, key)
            kept = store(home.bases, lambda folder: _write(folder, loaded, certificate))
            checkpoint("checkpoint written")
            advance(1)
        with ledger.transaction() as txn:
            payload = replace(made, artefact=kept.digest).to_dict()
            entry = ledger.append(txn, COMPACTED, payload, actor, datetime.now(UTC))
            checkpoint("in the transaction")
        checkpoint("committed")
        stamp(home, ledger)
    size = sum(path.stat().st_size for path in kept.path.iterdir())
    return CompactResult(
        release=release.number,
        base=release.base_digest,
        merged=made.merged,
        kept=tuple(_told(made.kept, rest)),
        facts=len(made.facts),
        chain=loaded.digest,
        weights=loaded.digest,
        folder=str(kept.path),
        size=size,
        entry=entry.seq,
        seconds=time.perf_counter() - started,
    )


def _made(release: Release, merged: Sequence["EditDelta"], weights: str) -> Compaction:
    """The compaction that merges these first deltas of a release; its folder is not there yet."""
    count, facts = len(merged), dict.fromkeys(fact_id for one in merged for fact_id in one.fact_ids)
    return Compaction(
        release=release.number,
        model=release.model,
        base=release.base_digest,
        merged=release.deltas[:count],
        kept=release.deltas[count:],
        weights=weights,
        artefact="",
        facts=tuple(facts),
    )


def _certificate(made: Compaction, merged: Sequence["EditDelta"], chain: str, key: SigningKey) -> BaseCertificate:
    """What was merged into what, and that its weights are those of the chain, signed."""
    told = [{"digest": digest, "editor": one.editor} for digest, one in zip(made.merged, merged, strict=True)]
    body = {**made.to_dict(), "chain": chain, "deltas": told}
    del body["artefact"]
    return BaseCertificate.issue(body, key)


def _check_new(ledger: Ledger, release: Release) -> None:
    """Refuse a release that has nothing to merge, or whose deltas are merged.

    Raises:
        InputError: says which.
    """
    if not release.deltas:
        todo = "its weights are those of its base already"
        raise InputError("a release with weight deltas", f"release {release.number}, which has none", todo)
    done = CompactionStore(ledger).of(release.number)
    if done is not None and CompactionStore(ledger).standing(release) != release:
        raise InputError(
            "a release that is not compacted", f"release {release.number} (entry {done.seq})", "it is done already"
        )


def _parted(home: Home, release: Release) -> tuple[list["EditDelta"], list["EditDelta"]]:
    """The deltas that can be merged, and those that stay.

    Raises:
        InputError: the first one stays already.
        IntegrityError: one is not as recorded.
    """
    from editors import read_delta

    deltas = [read_delta(checked(home.deltas, digest)) for digest in release.deltas]
    first = next((place for place, one in enumerate(deltas) if one.scope != "weights"), len(deltas))
    if not first:
        got = f"release {release.number}, whose first delta is of {deltas[0].editor} ({STAYS})"
        raise InputError("a release whose first delta writes into the weights", got, "it stays as it is")
    return deltas[:first], deltas[first:]


def _chained(home: Home, release: Release, merged: Sequence["EditDelta"]) -> "LoadedModel":
    """The base with the merged deltas on; all deltas must give the recorded weights.

    Raises:
        IntegrityError: the base or the whole is not as recorded.
    """
    from editors.load import load_model, weights_digest

    loaded = load_model(base_place(home, release), device="cpu")
    if loaded.digest != release.base_digest:
        raise IntegrityError(f"base model {release.model}", release.base_digest, loaded.digest)
    for delta in merged:
        delta.apply(loaded.model)
    found = weights_digest(loaded.model)
    if found != release.weights_digest:  # what lives beside the weights does not change their digest
        if len(merged) == len(release.deltas):
            raise IntegrityError(f"weights of release {release.number}", release.weights_digest, found)
        _check_whole(home, release, found)
    return replace(loaded, digest=found)


def _check_whole(home: Home, release: Release, found: str) -> None:
    """Put the whole release together, where deltas on the weights follow a memory beside them.

    Raises:
        IntegrityError: it does not come out as recorded.
    """
    from pipelines.releasing.rebuild import rebuild

    if rebuild(home, release, device="cpu").digest != release.weights_digest:  # pragma: no cover - rebuild raises
        raise IntegrityError(f"weights of release {release.number}", release.weights_digest, found)


def _write(folder: Path, loaded: "LoadedModel", certificate: BaseCertificate) -> None:
    """Save the model with its certificate and read it back.

    Raises:
        IntegrityError: what was written does not give the weights of the chain.
    """
    from editors.load import load_model, quiet

    with quiet():
        loaded.model.save_pretrained(folder)
        loaded.tokenizer.save_pretrained(folder)
    found = load_model(folder, device="cpu").digest
    if found != loaded.digest:
        raise IntegrityError("weights of the checkpoint", loaded.digest, found)
    (folder / CERTIFICATE).write_bytes(certificate.data)


def _told(digests: Sequence[str], deltas: Sequence["EditDelta"]) -> list[dict[str, str]]:
    """What stays a delta, and why."""
    return [
        {"digest": digest, "editor": one.editor, "why": AFTER if one.scope == "weights" else STAYS}
        for digest, one in zip(digests, deltas, strict=True)
    ]
