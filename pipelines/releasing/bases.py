"""Checkpoints into which chains of deltas were merged: where the base of a release lies, and whether it is sound.

Each is an ordinary Hugging Face folder with a signed certificate beside its files: from which base and deltas it was
made, and that its weights have the digest of the chain.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from registry.artifacts import MANIFEST, STAGED_PREFIX, compare, verify
from registry.checkpoints import log_keys
from registry.compactions import Compaction, CompactionStore
from registry.digests import canonical_json, digest_bytes, folder_manifest
from registry.errors import IntegrityError
from registry.home import Home
from registry.keys import SigningKey
from registry.keys import verify as signed_by
from registry.ledger import Ledger
from registry.pruning import PruningStore

if TYPE_CHECKING:
    from registry.records import Release

CERTIFICATE = "CERTIFICATE.json"
PURPOSE = "dmmgov/compaction/v1"
WEIGHTS_SUFFIX = ".safetensors"


@dataclass(frozen=True)
class BaseCertificate:
    """The signed certificate of a merged checkpoint.

    Attributes:
        body: plain JSON values: what was merged into what, and the digests that were found.
        public: key that signed it, hexadecimal.
        signature: over the canonical JSON of the body, hexadecimal.
    """

    body: Mapping[str, Any]
    public: str
    signature: str

    @classmethod
    def issue(cls, body: Mapping[str, Any], key: SigningKey) -> Self:
        """Sign a body."""
        whole: dict[str, Any] = json.loads(canonical_json({**body, "purpose": PURPOSE}))
        return cls(whole, key.public, key.sign(canonical_json(whole)))

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The certificate in the folder of a checkpoint.

        Raises:
            IntegrityError: it is missing or cannot be read.
        """
        path = folder / CERTIFICATE
        try:
            values = json.loads(path.read_bytes())
            return cls(dict(values["certificate"]), str(values["public"]), str(values["signature"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise IntegrityError(str(path), "a signed certificate", f"unreadable content ({error})") from error

    @property
    def data(self) -> bytes:
        """The bytes of its file."""
        return canonical_json({"certificate": self.body, "public": self.public, "signature": self.signature})

    def problems(self, compaction: Compaction, publics: Mapping[str, int]) -> Iterator[str]:
        """What is wrong with it, for the log that recorded `compaction` and has these keys."""
        told = {**compaction.to_dict(), "purpose": PURPOSE}
        del told["artefact"]
        wrong = [name for name, value in told.items() if self.body.get(name) != value]
        if wrong:
            yield f"{wrong[0]} in its certificate is not what entry {compaction.seq} says"
        if self.body.get("chain") != compaction.weights:
            yield "its certificate does not say that its weights are those of the chain"
        if self.public not in publics or not signed_by(self.public, canonical_json(self.body), self.signature):
            yield "no key of the log signed its certificate"


def base_place(home: Home, release: "Release") -> Path | str:
    """Where the base of a release is to be read from: a merged checkpoint of those weights, the named model otherwise.

    Raises:
        IntegrityError: a file of the checkpoint other than its weights is not as recorded; those are digested when it
            is loaded.
        ModelError: the named model cannot be had.
    """
    from pipelines.running.models import resolve

    found = merged_base(home, release.base_digest)
    return found if found is not None else resolve(home, release.model)


def from_checkpoint(home: Home, release: "Release") -> "Release | None":
    """The release as its own merged checkpoint and what is put on after it; None where it has no checkpoint."""
    for _, body in _certified(home):
        chain = (*body.get("merged", ()), *body.get("kept", ()))
        if (body.get("release"), body.get("base"), chain) == (release.number, release.base_digest, release.deltas):
            return replace(release, base_digest=str(body["weights"]), deltas=tuple(body["kept"]))
    return None


def merged_base(home: Home, weights: str) -> Path | None:
    """The folder of a merged checkpoint with these weights, None where there is none.

    Raises:
        IntegrityError: a file of it other than its weights is not as recorded.
    """
    for folder, body in _certified(home):
        if body.get("weights") == weights:
            _check_small(folder)
            return folder
    return None


def _certified(home: Home) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Every checkpoint with what its certificate says."""
    for folder in sorted(home.bases.iterdir()) if home.bases.is_dir() else ():
        if not folder.name.startswith(STAGED_PREFIX) and (folder / CERTIFICATE).is_file():
            yield folder, BaseCertificate.read(folder).body


def _check_small(folder: Path) -> None:
    """Re-digest what is not weights: config and tokenizer.

    Raises:
        IntegrityError: names the first bad file.
    """
    try:
        data = (folder / MANIFEST).read_bytes()
        listed = json.loads(data)
    except (OSError, ValueError) as error:
        raise IntegrityError(f"checkpoint in {folder.parent.name}", folder.name, f"no manifest ({error})") from error
    small = {name: digest for name, digest in listed.items() if not name.endswith(WEIGHTS_SUFFIX)}
    found = folder_manifest(folder, lambda name: name != MANIFEST and not name.endswith(WEIGHTS_SUFFIX))
    problems = [f"digest {digest_bytes(data)}"] if digest_bytes(data) != folder.name else []
    problems += compare(folder, small, found)
    if problems:
        raise IntegrityError(f"checkpoint in {folder.parent.name}", folder.name, problems[0])


def base_problems(home: Home, ledger: Ledger) -> Iterator[str]:
    """Checkpoints that are gone, changed, not certified by the log's key, or named by no entry."""
    pruned = PruningStore(ledger).gone("bases")
    compactions = [one for one in CompactionStore(ledger).all if one.artefact not in pruned]
    publics = log_keys(ledger) if compactions else {}
    for one in compactions:
        what, folder = f"checkpoint of release {one.release} (entry {one.seq})", home.bases / one.artefact
        broken = verify(folder)
        yield from (f"{what}: {problem}" for problem in broken)
        if not broken:
            yield from (f"{what}: {words}" for words in BaseCertificate.read(folder).problems(one, publics))
    named = {one.artefact for one in compactions}
    for folder in sorted(home.bases.iterdir()) if home.bases.is_dir() else ():
        if folder.name not in named and not folder.name.startswith(STAGED_PREFIX):
            yield f"{folder}: no entry names this checkpoint"
