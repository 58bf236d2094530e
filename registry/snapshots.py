"""Facts snapshots: the events of a release as one Parquet file, and the questions that DuckDB answers over it.

The same events give the same bytes. DuckDB works in memory over the file and never owns one.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry.errors import InputError
from registry.events import DATE_FIELDS, FactEvent

if TYPE_CHECKING:
    import pyarrow as pa

SNAPSHOT = "facts.parquet"
DAYS = (*DATE_FIELDS, "closed_on")
COLUMNS = (
    *("seq", "kind", "fact_id", "subject", "relation", "object", "valid_from", "valid_to", "source", "source_url"),
    *("confidence", "sensitivity", "closed_on", "recorded_at", "memory", "release", "reason"),
)

_AS_OF = """
WITH seen AS (
    SELECT * FROM events
    WHERE ($known_at IS NULL OR recorded_at <= $known_at) AND ($every OR list_contains($releases, release))
),
marks AS (
    SELECT fact_id, max(seq) FILTER (kind = 'assert') AS asserted,
           coalesce(max(seq) FILTER (kind = 'retract'), -1) AS retracted
    FROM seen GROUP BY fact_id
),
ends AS (
    SELECT m.fact_id, m.asserted,
           min(s.closed_on) FILTER (s.kind = 'close' AND s.seq > m.asserted) AS closed_on,
           min(s.seq) FILTER (s.kind = 'assert' AND s.seq > m.retracted) AS first_seq
    FROM marks m JOIN seen s USING (fact_id) WHERE m.asserted > m.retracted GROUP BY ALL
),
held AS (
    SELECT e.fact_id, a.subject, a.relation, a.object, a.valid_from, least(a.valid_to, e.closed_on) AS valid_to,
           f.recorded_at, a.source, a.source_url, a.confidence, a.sensitivity, a.memory, a.release, a.reason,
           e.first_seq
    FROM ends e JOIN seen a ON a.seq = e.asserted JOIN seen f ON f.seq = e.first_seq
)
SELECT * EXCLUDE (first_seq) FROM held
WHERE $valid_at IS NULL
   OR ((valid_from IS NULL OR valid_from <= $valid_at) AND (valid_to IS NULL OR $valid_at < valid_to))
ORDER BY first_seq
"""


def write_snapshot(events: Iterable[FactEvent], folder: Path) -> None:
    """Write events as `facts.parquet` into `folder`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [_typed(event) for event in sorted(events, key=lambda event: event.seq)]
    table = pa.Table.from_pylist(rows, schema=_schema())
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / SNAPSHOT, compression="zstd", store_schema=False, write_statistics=True)


def read_snapshot(folder: Path) -> list[FactEvent]:
    """Read the events that `write_snapshot` wrote into `folder`.

    Raises:
        InputError: there is no readable snapshot.
    """
    columns = _read(folder).to_pydict()
    rows = (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
    return [FactEvent.from_row(_texts(row)) for row in rows]


def events_table(rows: Iterable[Mapping[str, Any]]) -> "pa.Table":
    """Flat rows of events, in the order of `seq`, as a snapshot would hold them.

    Raises:
        ValueError: a row holds what is no date or time.
    """
    import pyarrow as pa

    return pa.Table.from_pylist([_dated(row) for row in rows], schema=_schema())


def holds_lineage(folder: Path, every: "pa.Table", releases: Collection[int]) -> bool:
    """Whether the snapshot in `folder` holds exactly those of the events `every` that `releases` brought.

    Raises:
        InputError: there is no readable snapshot.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = every.filter(pc.is_in(every["release"], value_set=pa.array(sorted(releases), pa.int64())))
    same: bool = _read(folder).equals(wanted)
    return same


def as_of_table(
    folder: Path,
    *,
    valid_at: date | None = None,
    known_at: datetime | None = None,
    releases: Collection[int] | None = None,
) -> "pa.Table":
    """What was known, as `events.view` says it, computed by DuckDB over a snapshot.

    Args:
        folder: folder of the snapshot.
        valid_at: only facts that hold on this day.
        known_at: only events recorded up to this moment.
        releases: only events that these releases brought.

    Returns:
        One row per fact in the order of first recording: fact_id, subject, relation, object, valid_from, valid_to,
        recorded_at (UTC), source, source_url, confidence, sensitivity, memory, release, reason.
    """
    parameters = {
        "valid_at": valid_at,
        "known_at": known_at.astimezone(UTC).replace(tzinfo=None) if known_at else None,
        "releases": sorted(releases) if releases is not None else [],
        "every": releases is None,
    }
    return query(folder, _AS_OF, parameters)


def query(folder: Path, sql: str, parameters: Mapping[str, Any] | None = None) -> "pa.Table":
    """Run SQL over the table `events` of a snapshot.

    Args:
        folder: folder of the snapshot.
        sql: any query; parameters are named ($name).
        parameters: their values.

    Returns:
        The result. Times go in and come out as UTC without a zone (DuckDB needs an extension for zones).
    """
    import duckdb
    import pyarrow as pa

    events = _read(folder)
    place = events.schema.get_field_index("recorded_at")
    events = events.set_column(place, "recorded_at", events["recorded_at"].cast(pa.timestamp("us")))
    with duckdb.connect(":memory:", config={"threads": 2}) as connection:
        connection.register("events", events)
        return connection.sql(sql, params=dict(parameters or {})).to_arrow_table()


def memory_counts(folder: Path, *, valid_at: date, releases: Collection[int] | None = None) -> dict[str, int]:
    """Number of facts that hold on `valid_at`, by the memory in which they live."""
    import duckdb

    held = as_of_table(folder, valid_at=valid_at, releases=releases)
    with duckdb.connect(":memory:") as connection:
        connection.register("held", held)
        rows = connection.execute("SELECT memory, count(*) FROM held GROUP BY memory ORDER BY memory").fetchall()
    return {str(memory): int(number) for memory, number in rows}


def stale(
    folder: Path, lifetimes: Mapping[str, int | None], *, on: date, releases: Collection[int] | None = None
) -> list[dict[str, Any]]:
    """Facts that hold on `on` and were last confirmed longer ago than their relation is expected to hold.

    Args:
        folder: folder of the snapshot.
        lifetimes: days by relation; None or absent means for ever.
        on: the day on which age is counted.
        releases: only events that these releases brought.

    Returns:
        fact_id, subject, relation, object, memory, age_days, lifetime_days; the oldest beyond its lifetime first.
    """
    import duckdb
    import pyarrow as pa

    bounded = {name: days for name, days in lifetimes.items() if days is not None}
    expected = pa.table(
        {
            "relation": pa.array(list(bounded), pa.string()),
            "lifetime_days": pa.array(list(bounded.values()), pa.int64()),
        }
    )
    sql = (
        "SELECT fact_id, subject, relation, object, memory, date_diff('day', CAST(recorded_at AS DATE), $on) AS "
        "age_days, lifetime_days FROM held JOIN expected USING (relation) WHERE age_days > lifetime_days "
        "ORDER BY age_days - lifetime_days DESC, subject, relation"
    )
    with duckdb.connect(":memory:") as connection:
        connection.register("held", as_of_table(folder, valid_at=on, releases=releases))
        connection.register("expected", expected)
        found: pa.Table = connection.sql(sql, params={"on": on}).to_arrow_table()
    rows: list[dict[str, Any]] = found.to_pylist()
    return rows


def _schema() -> "pa.Schema":
    """Types of the columns."""
    import pyarrow as pa

    special = {
        "seq": pa.int64(),
        "release": pa.int64(),
        "confidence": pa.float64(),
        "recorded_at": pa.timestamp("us", tz="UTC"),
        **{name: pa.date32() for name in DAYS},
    }
    return pa.schema([(name, special.get(name, pa.string())) for name in COLUMNS])


def _typed(event: FactEvent) -> dict[str, Any]:
    """A flat row with dates and times as such."""
    return _dated(event.to_row())


def _dated(row: Mapping[str, Any]) -> dict[str, Any]:
    """The same of a flat row whose dates and times are ISO 8601 texts."""
    days = {name: date.fromisoformat(row[name]) if row[name] else None for name in DAYS}
    return {**row, **days, "recorded_at": datetime.fromisoformat(row["recorded_at"]).astimezone(UTC)}


def _texts(row: dict[str, Any]) -> dict[str, Any]:
    """A flat row with dates and times as ISO 8601 texts."""
    days = {name: row[name].isoformat() if row[name] else None for name in DAYS}
    return {**row, **days, "recorded_at": row["recorded_at"].isoformat()}


def _read(folder: Path) -> "pa.Table":
    """The Parquet file as a table."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / SNAPSHOT
    try:
        return pq.read_table(path, schema=_schema())
    except (OSError, pa.ArrowException) as error:
        raise InputError("a facts snapshot (Parquet)", f"{path}: {error}", "name the folder of a snapshot") from error
