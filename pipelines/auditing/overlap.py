"""Overlap between sets of texts, streaming: Arrow on the way in, DuckDB for the joins, memory bounded by a setting.

Texts are read once, in batches, into Parquet files in a scratch folder. Hashes of their runs of words and of their
MinHash bands are written beside them and joined by DuckDB, which spills to the same folder. Whatever a hash proposes is
then compared in full, so that no collision is ever reported.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from guards.overlap import Match, OverlapCase, OverlapPolicy, Signer, jaccard, runs, shared_run, words_of
from registry.errors import InputError
from registry.progress import track

if TYPE_CHECKING:
    import duckdb

BATCH = 512
"""Texts that are held at a time."""

MEMORY_MB = 512
"""What DuckDB may use before it spills."""

PAIRS = 2_048
"""Proposed pairs that are compared at a time."""

_RUNS = """
SELECT DISTINCT l.id AS l, r.id AS r FROM read_parquet($left) l JOIN read_parquet($right) r USING (length, hash)
"""
_BANDS = """
SELECT DISTINCT l.id AS l, r.id AS r FROM read_parquet($left) l JOIN read_parquet($right) r USING (band, hash)
"""
_TEXTS = """
SELECT p.l, p.r, a.name, a.words, b.name, b.words FROM pairs p
JOIN read_parquet($left) a ON a.id = p.l JOIN read_parquet($right) b ON b.id = p.r ORDER BY p.r, p.l
"""


@dataclass(frozen=True)
class Document:
    """One text with the name under which it is reported."""

    name: str
    text: str


def overlaps(
    sets: Mapping[str, Iterable[Document]],
    policy: OverlapPolicy,
    *,
    pairs: Sequence[tuple[str, str]] | None = None,
    memory_mb: int = MEMORY_MB,
    scratch: Path | None = None,
) -> tuple[OverlapCase, ...]:
    """Compare sets of texts with each other.

    Args:
        sets: texts by name of the set; each is read once, front to back.
        policy: what counts as overlap.
        pairs: which sets to compare; all with all in their order where it is not given.
        memory_mb: what DuckDB may hold in memory.
        scratch: where the scratch folder is made; the system's place otherwise.

    Returns:
        One case per pair, with every pair of texts that overlaps.
    """
    chosen = list(pairs if pairs is not None else combinations(sets, 2))
    unknown = {name for pair in chosen for name in pair} - set(sets)
    if unknown:
        raise InputError(f"pairs of {', '.join(sets)}", ", ".join(sorted(unknown)), "name sets that are given")
    with TemporaryDirectory(prefix="overlap-", dir=scratch) as folder, track("overlap", total=len(sets) * 2) as advance:
        stored = {}
        for name, texts in sets.items():
            stored[name] = _Stored.of(Path(folder), name, texts, policy)
            advance(1)
        short = _short_runs(stored.values(), policy)
        for one in stored.values():
            one.hashed(policy, short)
            advance(1)
        with _connection(Path(folder), memory_mb) as connection:
            return tuple(_compare(connection, stored[one], stored[other], policy) for one, other in chosen)


@dataclass
class _Stored:
    """One set of texts on disk."""

    name: str
    folder: Path
    kept: int = 0
    short: int = 0

    def file(self, kind: str) -> str:
        """Path of one of its files."""
        return str(self.folder / f"{self.name}.{kind}.parquet")

    @classmethod
    def of(cls, folder: Path, name: str, texts: Iterable[Document], policy: OverlapPolicy) -> "_Stored":
        """Write the words of every text that is long enough."""
        import pyarrow as pa

        stored = cls(name, folder)
        schema = pa.schema([("id", pa.int32()), ("name", pa.string()), ("words", pa.string()), ("count", pa.int32())])
        with _writer(stored.file("texts"), schema) as write:
            stream = iter(texts)
            while batch := list(islice(stream, BATCH)):
                rows = []
                for one in batch:
                    words = words_of(one.text)
                    if len(words) < policy.shortest:
                        stored.short += 1
                        continue
                    rows.append((stored.kept, one.name, " ".join(words), len(words)))
                    stored.kept += 1
                write(list(zip(*rows, strict=True)) if rows else [()] * 4)
        return stored

    def texts(self) -> Iterator[list[tuple[int, list[str]]]]:
        """Number and words of every kept text, in batches."""
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.file("texts")) as file:
            for batch in file.iter_batches(BATCH, columns=["id", "words"]):
                columns = batch.to_pydict()
                yield [(number, text.split(" ")) for number, text in zip(*columns.values(), strict=True)]

    def hashed(self, policy: OverlapPolicy, short: Mapping[int, Any]) -> None:
        """Write the hashes of runs and of bands.

        Args:
            policy: their lengths.
            short: hashes of all texts shorter than a run, ascending, by their length.
        """
        import pyarrow as pa

        signer = Signer.of(policy)
        wide = [("id", pa.int32()), ("hash", pa.uint64())]
        with (
            _writer(self.file("runs"), pa.schema([("length", pa.int8()), *wide])) as write_runs,
            _writer(self.file("bands"), pa.schema([("band", pa.int16()), *wide])) as write_bands,
        ):
            for batch in self.texts():
                owners = np.repeat([number for number, _ in batch], [len(words) for _, words in batch])
                joined = [word for _, words in batch for word in words]
                for length in (policy.ngram, *short):
                    hashes = runs(joined, length)
                    inside = owners[: len(hashes)] == owners[len(owners) - len(hashes) :]
                    if length in short:
                        inside &= _among(hashes, short[length])
                    hashes, held = hashes[inside], owners[: len(hashes)][inside]
                    write_runs([np.full(len(hashes), length), held, hashes])
                signed = [signer.sign(words) for _, words in batch]
                count = len(signed[0])
                numbers = np.repeat([number for number, _ in batch], count)
                write_bands([np.tile(np.arange(count), len(batch)), numbers, np.array(signed, np.uint64).ravel()])


def _among(hashes: Any, known: Any) -> Any:
    """Which of the hashes stand in `known`, which is ascending and not empty."""
    places = np.searchsorted(known, hashes)
    return known[np.minimum(places, len(known) - 1)] == hashes


def _short_runs(stored: Iterable[_Stored], policy: OverlapPolicy) -> dict[int, Any]:
    """Hashes of all texts that are shorter than a run of words, ascending, by length: 8 bytes for each such text."""
    from collections import defaultdict

    found: dict[int, list[int]] = defaultdict(list)
    for one in stored:
        for batch in one.texts():
            for _, words in batch:
                if len(words) < policy.ngram:
                    found[len(words)].append(int(runs(words, len(words))[0]))
    return {length: np.unique(np.array(hashes, np.uint64)) for length, hashes in sorted(found.items())}


class _writer:
    """A Parquet file that takes columns batch by batch."""

    def __init__(self, path: str, schema: Any) -> None:
        """Open the file."""
        import pyarrow.parquet as pq

        self.schema, self.file = schema, pq.ParquetWriter(path, schema)

    def __enter__(self) -> Any:
        """The function that writes."""
        import pyarrow as pa

        def write(columns: Sequence[Any]) -> None:
            arrays = [pa.array(column, field.type) for column, field in zip(columns, self.schema, strict=True)]
            self.file.write_batch(pa.record_batch(arrays, schema=self.schema))

        return write

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.file.close()


def _connection(folder: Path, memory_mb: int) -> "duckdb.DuckDBPyConnection":
    """DuckDB in memory, bounded, spilling into the scratch folder."""
    import duckdb

    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{memory_mb}MB",
        "threads": 2,
        "temp_directory": str(folder / "spill"),
        "preserve_insertion_order": False,
    }
    return duckdb.connect(":memory:", config=config)


def _compare(
    connection: "duckdb.DuckDBPyConnection", left: _Stored, right: _Stored, policy: OverlapPolicy
) -> OverlapCase:
    """Join what the hashes propose and compare each pair in full."""
    connection.execute("CREATE OR REPLACE TEMP TABLE pairs (l INTEGER, r INTEGER)")
    for kind, sql in (("runs", _RUNS), ("bands", _BANDS)):
        files = {"left": left.file(kind), "right": right.file(kind)}
        connection.execute(f"INSERT INTO pairs {sql}", files)
    connection.execute("CREATE OR REPLACE TEMP TABLE pairs AS SELECT DISTINCT l, r FROM pairs")
    cursor = connection.execute(_TEXTS, {"left": left.file("texts"), "right": right.file("texts")})
    matches: list[Match] = []
    while rows := cursor.fetchmany(PAIRS):
        for _, _, one, text, other, second in rows:
            words = text.split(" "), second.split(" ")
            run, similar = shared_run(*words, policy.ngram), jaccard(*words, policy.shingle)
            if run or similar >= policy.jaccard:
                matches.append(Match(one, other, similar, run))
    pair = f"{left.name}-{right.name}"
    return OverlapCase(pair, left.kept, right.kept, left.short + right.short, tuple(matches))
