"""Export: a release as an ordinary Hugging Face checkpoint, with a manifest of the facts that live elsewhere."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines.releasing.rebuild import rebuild
from registry.artifacts import fsync_folder, fsync_tree, staged
from registry.digests import folder_manifest
from registry.errors import InputError, IntegrityError, UnknownNameError
from registry.facts import FactStore, view
from registry.home import Home
from registry.ledger import Ledger
from registry.progress import track
from registry.pruning import PruningStore
from registry.records import KnownFact, Release
from registry.releases import ReleaseStore

EXPORT_MANIFEST = "DMMGOV_MANIFEST.json"


@dataclass(frozen=True)
class ExportResult:
    """What was exported.

    Attributes:
        release: number of the release.
        folder: where the checkpoint lies.
        weights_digest: digest of its weights, read back from the files written.
        facts_in_weights: how many facts live in the weights.
        facts_elsewhere: how many live in other memories and travel in the manifest only.
        files: digest of each file.
    """

    release: int
    folder: str
    weights_digest: str
    facts_in_weights: int
    facts_elsewhere: int
    files: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def export(home: Home, ref: str, folder: Path) -> ExportResult:
    """Write a release as a checkpoint that stock transformers loads.

    Args:
        home: where the release is kept.
        ref: its number or alias.
        folder: where to write; new or empty.

    Raises:
        InputError: no such release, one that was pruned, or a folder that cannot be used.
        IntegrityError: the release does not come out as recorded.
    """
    folder = folder.expanduser().resolve()
    _check_target(folder)
    with Ledger.open(home) as ledger:
        releases = ReleaseStore(ledger)
        release = PruningStore(ledger).kept(ref)
        known = view(FactStore(ledger).events(releases.lineage(release.number)), valid_at=datetime.now(UTC).date())
    with staged(folder.parent) as scratch, track(f"export release {release.number}", total=2) as advance:
        content = scratch / "content"
        content.mkdir()
        _write_checkpoint(home, release, content)
        advance(1)
        manifest = _manifest(release, known, folder_manifest(content))
        text = json.dumps(manifest, indent=2, ensure_ascii=False)
        (content / EXPORT_MANIFEST).write_text(text + "\n", encoding="utf-8")
        fsync_tree(content)
        os.replace(content, folder)  # an empty folder gives way, anything else is refused by the system
        fsync_folder(folder.parent)
        advance(1)
    return ExportResult(
        release=release.number,
        folder=str(folder),
        weights_digest=release.weights_digest,
        facts_in_weights=len(manifest["facts_in_weights"]),
        facts_elsewhere=len(manifest["facts_elsewhere"]),
        files=manifest["files"],
    )


def _check_target(folder: Path) -> None:
    """Refuse a target that holds something, and make the folder above it.

    Raises:
        InputError: says what is there.
    """
    if folder.is_dir() and any(folder.iterdir()):
        raise InputError("a new or empty folder", f"{folder}, which holds files", "name another, or empty it")
    if folder.exists() and not folder.is_dir():
        raise InputError("a new or empty folder", f"the file {folder}", "name another")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError("a folder that can be made", f"{folder} ({error.strerror})", "name another") from error


def _write_checkpoint(home: Home, release: Release, folder: Path) -> None:
    """Save the rebuilt model and read it back.

    Raises:
        IntegrityError: what was written does not give the recorded weights.
    """
    from editors.load import load_model, quiet

    loaded = rebuild(home, release, device="cpu")
    with quiet():
        loaded.model.save_pretrained(folder)
        loaded.tokenizer.save_pretrained(folder)
    found = load_model(folder, device="cpu").digest
    if found != release.weights_digest:
        raise IntegrityError(f"weights of the exported release {release.number}", release.weights_digest, found)


def in_weights(memory: str) -> bool:
    """Whether the editor of that name writes into the weights; a name that is not registered does not."""
    from editors import get_editor

    try:
        return get_editor(memory).scope == "weights"
    except UnknownNameError:
        return False


def _manifest(release: Release, known: list[KnownFact], files: Mapping[str, str]) -> dict[str, Any]:
    """What the checkpoint is, and which facts it does and does not hold."""
    scopes = {memory: in_weights(memory) for memory in {one.memory for one in known}}
    facts = [
        ({**one.fact.to_dict(), "memory": one.memory, "release": one.release}, scopes[one.memory]) for one in known
    ]
    return {
        "release": release.number,
        "created_at": release.created_at.isoformat(),
        "created_by": release.created_by,
        "model": release.model,
        "base_digest": release.base_digest,
        "weights_digest": release.weights_digest,
        "deltas": list(release.deltas),
        "facts_snapshot": release.facts_snapshot,
        "index_snapshot": release.index_snapshot,
        "files": dict(files),
        "facts_in_weights": [fact for fact, inside in facts if inside],
        "facts_elsewhere": [fact for fact, inside in facts if not inside],
    }
