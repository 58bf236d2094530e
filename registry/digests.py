"""Digests: one canonical encoding for records, streaming SHA-256 for files and folders.

All digests are lower-case hexadecimal SHA-256.
"""

import hashlib
import json
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

_CHUNK = 1 << 20


def _plain(value: Any) -> str:
    """Encode what JSON has no type for: dates and times as ISO 8601."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    raise TypeError(f"no canonical form for {type(value).__name__}: {value!r}")


_CANONICAL = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_plain
)


def canonical_json(value: Any) -> bytes:
    """Encode `value` as JSON with sorted keys, no white space, UTF-8; equal values give equal bytes.

    Raises:
        TypeError: a value has no canonical form.
        ValueError: a number is not finite.
    """
    return _CANONICAL.encode(value).encode()


def digest_bytes(data: bytes) -> str:
    """Digest of a byte string."""
    return hashlib.sha256(data).hexdigest()


def digest_json(value: Any) -> str:
    """Digest of the canonical encoding of `value`."""
    return digest_bytes(canonical_json(value))


def digest_file(path: Path) -> str:
    """Digest of a file's bytes, read in pieces."""
    state = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            state.update(chunk)
    return state.hexdigest()


def folder_manifest(folder: Path, keep: Callable[[str], bool] = lambda name: True) -> dict[str, str]:
    """Digest of every file below `folder` that `keep` accepts, by its path relative to the folder (POSIX form)."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    names = {path.relative_to(folder).as_posix(): path for path in files}
    return {name: digest_file(path) for name, path in names.items() if keep(name)}
