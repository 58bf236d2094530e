"""Where in a home some strings still stand: raw bytes of every file, SQLite's pages and journals included.

Compressed and columnar files are read as well (Parquet, gzip, zip and NumPy archives). What is encrypted, and numbers
from which a string might be worked out (weights, vectors), cannot be searched this way.
"""

import gzip
import html
import io
import json
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.home import Home

LARGEST = 1 << 30
"""Files from this size on are not read; they are named."""


@dataclass(frozen=True)
class Leftover:
    """A string that still stands in the home.

    Attributes:
        file: path relative to the home folder.
        how: in which form: "as it is", "inside parquet", ...
    """

    file: str
    how: str


def search(home: Home, names: Sequence[str], pairs: Sequence[tuple[str, str]] = ()) -> list[Leftover]:
    """Every file of a home that holds one of the names, or both names of a pair in one line or row.

    Args:
        home: which home; its base models are left out, they are what they were before.
        names: strings that must not stand anywhere, in any case of letters.
        pairs: two strings each that must not stand in one line or row together.
    """
    found: list[Leftover] = []
    for path in sorted(home.root.rglob("*")):
        if path.is_symlink() or not path.is_file() or home.models in path.parents:
            continue
        name = path.relative_to(home.root).as_posix()
        if any(_holds(name.encode().lower(), form) for form in forms(names)):
            found.append(Leftover(name, "in its own name"))
        if path.stat().st_size >= LARGEST:
            found.append(Leftover(name, "not read, it is too large"))
            continue
        for how, data in contents(path):
            if _spoken(data, names, pairs if how in RECORDS else ()):
                found.append(Leftover(name, how))
    return found


RECORDS = ("inside Parquet", "record by record", "line by line")
"""Forms in which what stands in one line belongs together."""


def contents(path: Path) -> Iterator[tuple[str, bytes]]:
    """The bytes of a file as it is, and of what is packed into it."""
    data = path.read_bytes()
    yield "as it is", data
    if data[:1] in (b"{", b"[") and (records := _records(data)) is not None:
        yield "record by record", records
    elif b"\0" not in data[:4096]:
        yield "line by line", data
    try:
        if data[:4] == b"PAR1":
            yield "inside Parquet", _rows(path)
        elif data[:2] == b"\x1f\x8b":
            yield "inside gzip", gzip.decompress(data)
        elif data[:2] == b"PK":
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                yield "inside an archive", b"\n".join(archive.read(one) for one in archive.namelist())
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        yield "cannot be unpacked", b""


def _rows(path: Path) -> bytes:
    """A Parquet file, one line of JSON a row."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(path).to_pylist()
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error
    return "\n".join(json.dumps(row, ensure_ascii=False, default=str) for row in rows).encode()


def _records(data: bytes) -> bytes | None:
    """JSON with the texts of each object on one line, and each text of a list on its own; None where it is none."""
    try:
        value = json.loads(data)
    except ValueError:
        return None
    lines: list[str] = []

    def walk(one: Any) -> None:
        if isinstance(one, dict):
            lines.append(" ".join(text for text in one.values() if isinstance(text, str)))
        parts = one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
        for part in parts:
            walk(part)
            if isinstance(one, list) and isinstance(part, str):
                lines.append(part)

    walk(value)
    return "\n".join(line.replace("\n", " ") for line in lines).encode()


def forms(names: Iterable[str]) -> list[bytes]:
    """Every way in which a name may be written in a file, in small letters."""
    written: dict[bytes, None] = {}
    for name in names:
        for text in (name, html.escape(name), json.dumps(name)[1:-1], json.dumps(name, ensure_ascii=False)[1:-1]):
            written[text.lower().encode()] = None
            written[text.lower().encode("utf-16-le")] = None
    return [form for form in written if form]


def _spoken(data: bytes, names: Sequence[str], pairs: Sequence[tuple[str, str]]) -> bool:
    """Whether bytes hold a name, or a line of them both names of a pair."""
    small = _lower(data)
    if any(_holds(small, form) for form in forms(names)):
        return True
    for one, other in pairs:
        ones, others = forms([one]), forms([other])
        if not any(form in small for form in ones) or not any(form in small for form in others):
            continue
        for line in small.split(b"\n"):
            if any(_holds(line, form) for form in ones) and any(_holds(line, form) for form in others):
                return True
    return False


def _lower(data: bytes) -> bytes:
    """Bytes in small letters; those that are text in any script, as text."""
    try:
        return data.decode().lower().encode()
    except UnicodeDecodeError:
        return data.lower()


def _holds(data: bytes, form: bytes) -> bool:
    """Whether a form stands in the bytes as a whole word."""
    start = data.find(form)
    while start >= 0:
        before, after = data[start - 1 : start], data[start + len(form) : start + len(form) + 1]
        if not (before.isalnum() or after.isalnum()):
            return True
        start = data.find(form, start + 1)
    return False
