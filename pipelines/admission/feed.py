"""Read a feed of facts (CSV, JSONL or Parquet) with DuckDB into one Arrow table of text.

Nothing is guessed: the format follows the file's ending, the delimiter is `,`, the quote `"`, the encoding UTF-8 and
every column is text. What makes the whole file unusable is a `FeedError`; what makes one CSV row unusable is noted in
`Feed.broken`, and the others are read as usual.
"""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.admission.records import cells_of, csv_records, requoted, split_lines
from registry.digests import digest_bytes
from registry.errors import FeedError
from registry.events import RowRelease

if TYPE_CHECKING:
    import pyarrow as pa

NEEDED = ("subject", "relation", "object")
OPTIONAL = (
    *("valid_from", "valid_to", "source", "source_url", "observed_at"),
    *("confidence", "sensitivity", "op", "prompt"),
)
COLUMNS = (*NEEDED, *OPTIONAL)
FORMATS = (".csv", ".jsonl", ".ndjson", ".parquet")

_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Feed:
    """A feed as it was read: every row is there, whatever is wrong with it.

    Attributes:
        path: the file.
        name: its name without the folder.
        digest: SHA-256 of its bytes.
        table: one row per data row, text columns: `COLUMNS` in their order, then the file's further ones; an absent
            value is the empty text.
        raw: original text of each row (for Parquet: the row as JSON).
        broken: what is wrong with the shape of a row, by its 1-based number; its cells are empty in `table`.
        notes: what a person should know about the file as a whole.
        header: the columns in the file's own order, where a row's raw text does not name them (CSV).
        released: rows of earlier feeds that a person released and that are decided with this one, by their number here.
    """

    path: Path
    name: str
    digest: str
    table: "pa.Table"
    raw: tuple[str, ...]
    broken: Mapping[int, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    released: Mapping[int, RowRelease] = field(default_factory=dict)


@dataclass(frozen=True)
class _Rows:
    """What a format's reader gives: rows with the file's own columns."""

    table: "pa.Table"
    raw: tuple[str, ...]
    broken: Mapping[int, str] = field(default_factory=dict)
    header: tuple[str, ...] = ()


def read_feed(path: Path | str) -> Feed:
    """Read a feed.

    Raises:
        FeedError: the file as a whole cannot be used: missing, empty, a folder, binary, wrongly encoded, without the
            needed columns or without rows, broken JSONL (with the line), or damaged Parquet.
    """
    path = Path(path)
    readers: Mapping[str, Callable[[Path, bytes], _Rows]] = {
        ".csv": _read_csv,
        ".jsonl": _read_jsonl,
        ".ndjson": _read_jsonl,
        ".parquet": _read_parquet,
    }
    if path.is_dir():
        raise FeedError("a feed file", f"the folder {path}", "name a file in it")
    if not path.is_file():
        raise FeedError("a feed file", f"{path}, which is not there", "check the path")
    ending = path.suffix.lower()
    if ending not in readers:
        raise FeedError(f"a file ending in {', '.join(FORMATS)}", repr(path.name), "rename or convert it")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FeedError("a readable feed", f"{path}: {error.strerror}", "check its permissions") from error
    if not data.strip():
        raise FeedError("a feed with rows", f"{path}, which is empty", "hand in a file with a header and rows")
    rows = readers[ending](path, data)
    if not rows.raw:
        raise FeedError("a feed with rows", f"{path}, which has a header only", "add rows or leave it out")
    extra = tuple(name for name in rows.table.column_names if name not in COLUMNS)
    notes = (f"columns that are kept but not used: {', '.join(extra)}",) if extra else ()
    if rows.broken:
        notes = (*notes, f"{len(rows.broken)} rows have the wrong shape and are refused; the others are read")
    table = _complete(rows.table, extra)
    return Feed(path, path.name, digest_bytes(data), table, rows.raw, rows.broken, notes, rows.header)


def _check_columns(names: Sequence[str], path: Path) -> None:
    """Refuse a file that lacks a needed column or names one twice."""
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise FeedError("each column once", f"{', '.join(twice)} more than once in {path.name}", "rename or drop one")
    missing = [name for name in NEEDED if name not in names and not (name == "relation" and "prompt" in names)]
    if not missing:
        return
    hints = []
    for name in missing:
        near = get_close_matches(name, names, n=1)
        hints.append(f"{name} (is {near[0]!r} meant?)" if near else name)
    other = next((mark for mark in (";", "\t", "|") if len(names) == 1 and mark in names[0]), None)
    todo = f"separate the cells by ',' instead of {other!r}" if other else f"add {', '.join(hints)}"
    raise FeedError(f"the columns {', '.join(NEEDED)}", f"{', '.join(map(repr, names))} in {path.name}", todo)


def _column_name(text: str) -> str:
    return "_".join(text.strip().casefold().split())


def _text_of(data: bytes, path: Path) -> str:
    """The file as text, or a `FeedError` that says where it stops being UTF-8."""
    if data.startswith(_UTF16):
        raise FeedError("UTF-8 text", f"UTF-16 (by its first two bytes) in {path.name}", "save it as UTF-8")
    if b"\0" in data:
        where = data.index(b"\0")
        raise FeedError("UTF-8 text", f"a zero byte at byte {where}: {path.name} is binary", "hand in a text file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        at = error.start + (3 if data.startswith(b"\xef\xbb\xbf") else 0)
        line = data.count(b"\n", 0, at) + 1
        got = f"byte 0x{data[at]:02x} at byte {at} (line {line}) of {path.name}"
        raise FeedError("UTF-8 text", got, "save it as UTF-8") from error


def _read_csv(path: Path, data: bytes) -> _Rows:
    """Records are cut first, so that a broken one stays alone; DuckDB reads the sound ones, told everything."""
    lines = split_lines(_text_of(data, path))
    start = next(index for index, line in enumerate(lines) if line.strip())
    names = [_column_name(cell) or f"unnamed_{place}" for place, cell in enumerate(cells_of(lines[start]), 1)]
    _check_columns(names, path)
    records = list(csv_records(lines[start + 1 :], len(names), first_line=start + 2))
    texts = [record.text for record in records if not record.problem]
    sound = [requoted(text) if "\r" in text else text for text in texts]
    with tempfile.TemporaryDirectory(prefix="dmmgov-feed-") as folder:
        copy = Path(folder) / "sound.csv"
        copy.write_text("".join(f"{text}\n" for text in sound), encoding="utf-8", newline="")
        table = _query(
            "SELECT * FROM read_csv($file, auto_detect=false, header=false, columns=$columns, delim=',', quote='\"',"
            " escape='\"', nullstr='', new_line='\\n', strict_mode=true, null_padding=false, ignore_errors=false,"
            f" parallel=false, compression='none', max_line_size={8 * max(map(len, [*sound, '']), default=0) + 1024})",
            {"file": str(copy), "columns": dict.fromkeys(names, "VARCHAR")},
            path,
        )
    if table.num_rows != len(sound):
        got = f"{table.num_rows} where the text has {len(sound)} in {path.name}"
        raise FeedError("as many rows from DuckDB as the file has", got, "check the quotes in the file")
    broken = {row: f"line {record.line}: {record.problem}" for row, record in enumerate(records, 1) if record.problem}
    raw = tuple(record.text for record in records)
    return _Rows(_with_gaps(table, broken, len(records)), raw, broken, tuple(names))


def _with_gaps(table: "pa.Table", broken: Mapping[int, str], size: int) -> "pa.Table":
    """The table with an empty row at each 1-based number in `broken`; `size` rows in all."""
    import pyarrow as pa

    if not broken:
        return table
    found = iter(range(table.num_rows))
    return table.take(pa.array([None if row in broken else next(found) for row in range(1, size + 1)], pa.int64()))


def _read_jsonl(path: Path, data: bytes) -> _Rows:
    """One JSON object per line; the keys of all lines together are the columns."""
    import pyarrow as pa

    text = _text_of(data, path)
    raw = [line for line in split_lines(text) if line.strip()]
    objects = []
    for number, line in enumerate(split_lines(text), 1):
        if line.strip():
            objects.append(_json_object(line, number, path))
    folded = [{_column_name(key) or "unnamed": key for key in keys} for keys in objects]
    names = list(dict.fromkeys(name for keys in folded for name in keys))
    _check_columns(names, path)
    lines = pa.table({"line": pa.array(raw, pa.string())})
    spellings = {name: list(dict.fromkeys(keys[name] for keys in folded if name in keys)) for name in names}
    picks = [
        f"coalesce({', '.join(f'line->>{_pointer(key)}' for key in spellings[name])}) AS {_quoted(name)}"
        for name in names
    ]
    table = _query(f"SELECT {', '.join(picks)} FROM (SELECT line::JSON AS line FROM lines)", {}, path, lines=lines)
    return _Rows(table, tuple(raw))


def _json_object(line: str, number: int, path: Path) -> list[str]:
    """The keys of the object on a line, or a `FeedError` with the line's number."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    try:
        value = json.loads(line, parse_constant=refuse)
        line.encode()
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        got = f"line {number} of {path.name}: {str(error).splitlines()[0]}"
        raise FeedError("one JSON object per line", got, "mend or drop that line") from error
    if not isinstance(value, dict):
        got = f"line {number} of {path.name}: {type(value).__name__}"
        raise FeedError("one JSON object per line", got, "write it as an object")
    return [str(key) for key in value]


def _read_parquet(path: Path, data: bytes) -> _Rows:
    """All columns are cast to text; a row's raw text is the row as JSON."""
    del data
    source = {"file": str(path)}
    described = _query("SELECT column_name FROM (DESCRIBE SELECT * FROM read_parquet($file))", source, path)
    given = [str(name) for name in described.column("column_name").to_pylist()]
    names = [_column_name(name) or f"unnamed_{place}" for place, name in enumerate(given, 1)]
    _check_columns(names, path)
    picks = [f"CAST({_quoted(old)} AS VARCHAR) AS {_quoted(new)}" for old, new in zip(given, names, strict=True)]
    query = f"SELECT {', '.join(picks)} FROM read_parquet($file)"
    table = _query(query, source, path)
    raw = tuple(json.dumps(row, ensure_ascii=False) for row in table.to_pylist())
    return _Rows(table, raw)


def _query(sql: str, parameters: Mapping[str, Any], path: Path, **tables: "pa.Table") -> "pa.Table":
    """Run one query on a connection of its own and give its rows as Arrow; DuckDB's errors become `FeedError`."""
    import duckdb

    with duckdb.connect(":memory:", config={"autoinstall_known_extensions": False}) as connection:
        for name, table in tables.items():
            connection.register(name, table)
        try:
            return connection.sql(sql, params=dict(parameters)).to_arrow_table()
        except duckdb.Error as error:
            ending, first = path.suffix.lower().removeprefix("."), str(error).strip().splitlines()[0]
            raise FeedError(f"a sound {ending} file", f"{path.name}: {first}", "write the file anew") from error


def _complete(table: "pa.Table", extra: Sequence[str]) -> "pa.Table":
    """`COLUMNS` in their order, then `extra`; whatever is absent is the empty text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    blank = pa.array([""] * table.num_rows, pa.string())
    columns = {
        name: pc.fill_null(table.column(name).cast(pa.string()), "") if name in table.column_names else blank
        for name in (*COLUMNS, *extra)
    }
    return pa.table(columns)


def _quoted(name: str) -> str:
    """A name as an SQL identifier."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def _pointer(key: str) -> str:
    """A JSON pointer to a key, as an SQL text."""
    escaped = key.replace("~", "~0").replace("/", "~1").replace("'", "''")
    return f"'/{escaped}'"
