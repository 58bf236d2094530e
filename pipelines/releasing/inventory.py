"""Files that are no artefacts of a release and still matter: base models, and caches such as beliefs and moments.

Their digests are noted in the log when a release is published, so that a change of any of them is found later.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from registry.artifacts import compare
from registry.digests import digest_file, folder_manifest
from registry.home import Home
from registry.ledger import Ledger, Transaction
from registry.sealed import is_sealed

MODEL_SUFFIXES = (".json", ".safetensors", ".txt", ".model", ".jinja", ".gguf", ".bin")
"""Of files of a model that decide what it answers."""
CACHE_SUFFIXES = (".json", ".parquet", ".safetensors")
SOURCE_FILE = "SOURCE.json"
MOMENTS = "moments.json"
SEALED = "sealed"
"""What the log says of a cache file that vouches for itself."""


@dataclass(frozen=True)
class Inventory:
    """The files of one model.

    Attributes:
        model: name or path by which it was asked for.
        base_digest: digest of its weights; empty for a model that only helps (an embedder).
        files: digest of each file, by its path relative to the model's folder (or its own name).
    """

    model: str
    base_digest: str
    files: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def model_place(home: Home, model: str) -> Path | None:
    """The folder or file of a model on this machine, without fetching anything; None where it lies elsewhere."""
    from pipelines.running.models import models_folder

    pulled = models_folder(home) / model
    if pulled.is_dir():
        return pulled
    given = Path(model).expanduser()
    return given if given.exists() else None


def files_of(place: Path) -> dict[str, str]:
    """Digest of every file of a model that counts."""
    if place.is_file():
        return {place.name: digest_file(place)}
    return folder_manifest(place, lambda name: name.endswith(MODEL_SUFFIXES))


def model_inventory(home: Home, ledger: Ledger, model: str, base_digest: str) -> Sequence[Inventory]:
    """Inventories that the log does not hold yet, of the base model and of the sentence encoder."""
    from pipelines.answering.indexing import ENCODER

    known = {(entry.payload["model"], entry.payload["base_digest"]) for entry in ledger.entries("model")}
    found = []
    for name, digest in {model: base_digest, ENCODER: ""}.items():
        place = model_place(home, name)
        if place is not None and (name, digest) not in known:
            found.append(Inventory(name, digest, files_of(place)))
    return found


def model_problems(home: Home, ledger: Ledger) -> Iterator[str]:
    """Files of models that differ from the log, or from the record beside them where the log has none."""
    recorded = {entry.payload["model"]: entry for entry in ledger.entries("model")}
    for name, entry in recorded.items():
        place = model_place(home, name)
        if place is None:
            yield f"model {name} (entry {entry.seq}): it is not on this machine"
            continue
        folder = place if place.is_dir() else place.parent
        for problem in compare(folder, entry.payload["files"], files_of(place)):
            yield f"model {name} (entry {entry.seq}): {problem}"
    for source in sorted(home.models.glob(f"*/{SOURCE_FILE}")):
        if source.parent.name not in recorded:
            listed = json.loads(source.read_bytes())["files"]
            found = {name: digest for name, digest in files_of(source.parent).items() if name in listed}
            for problem in compare(source.parent, {name: listed[name] for name in found}, found):
                yield f"model {source.parent.name}: {problem}"


def caches(home: Home) -> dict[str, str]:
    """Every file of a cache below the home folder, by its path relative to it: its digest, or that it is sealed."""
    found = {}
    for root in (home.beliefs, home.moments):
        for path in sorted(root.rglob("*")) if root.is_dir() else ():
            if path.is_file() and path.suffix in CACHE_SUFFIXES and not path.name.startswith("."):
                name = path.relative_to(home.root).as_posix()
                found[name] = SEALED if path.suffix == ".json" and is_sealed(path.read_bytes()) else digest_file(path)
    return found


def record_caches(home: Home, ledger: Ledger, txn: Transaction, actor: str, at: datetime) -> None:
    """Note the caches in the log, inside a transaction, where they differ from what it says."""
    before = {name: state for name, (_, state) in recorded_caches(ledger).items()}
    changed = {name: state for name, state in caches(home).items() if before.get(name) != state}
    if changed:
        ledger.append(txn, "caches", {"files": changed}, actor, at)


def recorded_caches(ledger: Ledger) -> dict[str, tuple[int, str]]:
    """The last entry about each file of a cache, and its digest in it (or that it is sealed)."""
    return {
        name: (entry.seq, state) for entry in ledger.entries("caches") for name, state in entry.payload["files"].items()
    }


def cache_problems(home: Home, ledger: Ledger) -> Iterator[str]:
    """Files of caches that differ from the log, or whose seal is broken.

    One that was removed is no problem, since it is made again when it is needed; no release rests on one that the log
    does not know yet.
    """
    recorded = recorded_caches(ledger)
    for name, state in caches(home).items():
        if name in recorded and state != recorded[name][1]:
            seq, wanted = recorded[name]
            yield f"{home.root / name}: found {state}, entry {seq} records {wanted}"
    for path in sorted(home.moments.rglob(MOMENTS)):
        if path.relative_to(home.root).as_posix() not in recorded:
            yield from _moments_problems(path)


def _moments_problems(path: Path) -> Iterator[str]:
    """Why moments that the log does not know yet do not have the digest that they name."""
    from editors.moments import Moments

    try:
        Moments.load(path.parent)
    except Exception as error:
        # Readers of damaged files raise anything; whatever it is, these moments cannot be used.
        yield f"{path.parent} cannot be used: {type(error).__name__}: {error}"
