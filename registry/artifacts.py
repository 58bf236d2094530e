"""Content-addressed folders: written aside, flushed to disk, renamed into place, never changed afterwards.

A folder's MANIFEST.json holds the digest of every other file in it; the folder is named by the digest of that
manifest. The same content therefore lands in the same place, and storing it again changes nothing.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from registry.digests import canonical_json, digest_bytes, digest_file, folder_manifest
from registry.errors import InputError, IntegrityError

MANIFEST = "MANIFEST.json"
STAGED_PREFIX = ".staged-"
SHARED_BYTES = 1 << 12
"""Files below this size are not worth a link."""


@dataclass(frozen=True)
class Artifact:
    """A stored folder.

    Attributes:
        digest: digest of its manifest, and its name.
        path: where it lies.
    """

    digest: str
    path: Path


def fsync_folder(folder: Path) -> None:
    """Make the names in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def fsync_tree(folder: Path) -> None:
    """Make all files and names below `folder` survive a power cut."""
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            fsync_folder(path)
        else:
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
    fsync_folder(folder)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file of its own in one step: after a kill or a power cut it is there whole, as before, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    fsync_folder(path.parent)


@contextmanager
def staged(parent: Path) -> Iterator[Path]:
    """A new folder beside its future place; what is left of it after the block is removed."""
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=STAGED_PREFIX, dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def seal(folder: Path) -> str:
    """Write the manifest of `folder` and return its digest."""
    manifest = canonical_json(folder_manifest(folder, lambda name: name != MANIFEST))
    (folder / MANIFEST).write_bytes(manifest)
    return digest_bytes(manifest)


def store(root: Path, build: Callable[[Path], None]) -> Artifact:
    """Let `build` fill an empty folder and keep it under `root`, named by its content.

    Args:
        root: parent of all folders of this kind.
        build: writes the content into the empty folder it is given.

    Returns:
        The stored folder; an equal one that lies there already and is sound is kept, a damaged one is replaced.

    Raises:
        InputError: `build` wrote nothing.
    """
    with staged(root) as folder:
        content = folder / "content"
        content.mkdir()
        build(content)
        if not any(content.iterdir()):
            raise InputError("an artefact with at least one file", "an empty folder", "write into the folder given")
        digest = seal(content)
        target = root / digest
        if target.exists():
            if not verify(target):
                return Artifact(digest, target)
            target.rename(folder / "damaged")
        fsync_tree(content)
        content.rename(target)
        fsync_folder(root)
        return Artifact(digest, target)


def store_copy(root: Path, source: Path) -> Artifact:
    """Keep a copy of the folder `source` under `root`; a manifest it brings is made anew.

    Raises:
        InputError: there is no such folder, or it is empty.
    """
    if not source.is_dir():
        raise InputError("a folder to keep", str(source), "name one that exists")

    def build(content: Path) -> None:
        shutil.copytree(source, content, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MANIFEST))

    return store(root, build)


def share(folder: Path, *roots: Path) -> int:
    """Let large files of `folder` that kept artefacts hold as well take their room once, as hard links.

    Args:
        folder: being filled, not stored yet.
        roots: parents of kept artefacts.

    Returns:
        Bytes that were saved; on a file system without links the copies stay.
    """
    kept: dict[tuple[int, str], Path] = {}
    for path in (one for root in roots if root.is_dir() for one in root.rglob("*") if one.is_file()):
        if path.stat().st_size >= SHARED_BYTES and STAGED_PREFIX not in str(path):
            kept.setdefault((path.stat().st_size, path.name), path)
    saved = 0
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        twin = kept.get((path.stat().st_size, path.name))
        if twin is None or digest_file(twin) != digest_file(path):
            continue
        link = path.with_name(f"{path.name}.link")
        try:
            os.link(twin, link)
        except OSError:
            return saved
        link.replace(path)
        saved += twin.stat().st_size
    return saved


def verify(path: Path) -> list[str]:
    """Re-digest the folder `path`; one line per file that is missing, changed or not listed, none if all is well."""
    listed_at = path / MANIFEST
    if not listed_at.is_file():
        return [f"{path}: {MANIFEST} is missing" if path.is_dir() else f"{path}: the folder is missing"]
    data = listed_at.read_bytes()
    if digest_bytes(data) != path.name:
        return [f"{listed_at}: its digest is {digest_bytes(data)}, recorded is {path.name}"]
    return compare(path, json.loads(data), folder_manifest(path, lambda name: name != MANIFEST))


def compare(folder: Path, recorded: dict[str, str], found: dict[str, str]) -> list[str]:
    """One line for each file of `folder` whose recorded and found digests differ, in the order of names."""
    problems = []
    for name in sorted({*recorded, *found}):
        if name not in found:
            problems.append(f"{folder / name}: the file is missing")
        elif name not in recorded:
            problems.append(f"{folder / name}: the file is not listed in the manifest")
        elif recorded[name] != found[name]:
            problems.append(f"{folder / name}: its digest is {found[name]}, recorded is {recorded[name]}")
    return problems


def checked(root: Path, digest: str) -> Path:
    """The folder `digest` under `root`, after its content has been re-digested.

    Raises:
        IntegrityError: it is missing or differs; the message names the first bad file.
    """
    path = root / digest
    problems = verify(path)
    if problems:
        raise IntegrityError(f"artefact in {root.name}", digest, problems[0])
    return path


def sweep(root: Path) -> list[Path]:
    """Remove what a killed writer left half-written under `root`; returns what was removed."""
    left = sorted(root.glob(f"{STAGED_PREFIX}*")) if root.is_dir() else []
    for path in left:
        shutil.rmtree(path)
    return left
