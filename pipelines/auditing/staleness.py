"""Staleness: how late what is known came to be served, and what of it is overdue, as SQL over ledger and snapshots.

DuckDB works in memory over the release's Parquet snapshot and over Arrow tables that are read from the ledger once; it
owns no file. What SQL counts here, `guards.forgetting` turns into a schedule.

Three moments of a row: `observed_at`, when its source was looked at (the feed says so, mostly as a day); `recorded_at`,
when a run first took it in; `served_at`, when a release answers with it: the moment that the release bears, which is
the beginning of its run, and the seconds that the run took.
"""

from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from guards.forgetting import History
from pipelines.auditing.staleness_sql import HISTORIES, LAG_SUMMARY, LAGS, OVERDUE, ROWS, STALE_SUMMARY
from registry.artifacts import checked
from registry.catalogue import Catalogue
from registry.home import Home
from registry.ledger import Ledger
from registry.records import Release
from registry.releases import ReleaseStore
from registry.snapshots import SNAPSHOT, as_of_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb
    import pyarrow as pa

CHECKED = "checked"
"""Kind of the ledger entry that keeps one check of the system: `fact`, `right`, `said`, `release`."""
QUANTILES = {"median": 0.5, "q90": 0.9, "q99": 0.99, "most": 1.0}
STAGES = ("arrival", "handling", "total")
"""arrival: observed to recorded; handling: recorded to served; total: observed to served."""


@dataclass(frozen=True)
class Staleness:
    """What a release's record says about time.

    Attributes:
        lags: seconds from stage to stage: rows with `part`, `name`, `n`, `observed` (how many say when) and, per stage,
            quantiles; the first is over all.
        states: how many facts of the feeds are served, wait in quarantine, or were said by another source meanwhile.
        relations: per relation: facts, expected lifetime, overdue ones, age.
        overdue: the overdue facts, riskier and older ones first, as many as were asked for.
        histories: what the schedule rests on, one per fact that holds.
    """

    lags: tuple[Mapping[str, Any], ...]
    states: Mapping[str, int]
    relations: tuple[Mapping[str, Any], ...]
    overdue: tuple[Mapping[str, Any], ...]
    histories: tuple[History, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, without the histories."""
        return {
            "facts": len(self.histories),
            "overdue_facts": sum(one["overdue_facts"] for one in self.relations),
            "states": dict(self.states),
            "lags_s": [dict(one) for one in self.lags],
            "relations": [dict(one) for one in self.relations],
            "overdue": [dict(one) for one in self.overdue],
        }


def staleness(
    home: Home, ledger: Ledger, release: Release, catalogue: Catalogue, today: date, *, most: int = 50
) -> Staleness:
    """What the record of a release says about time.

    Args:
        home: where its snapshot lies.
        ledger: the open ledger of `home`.
        release: which release.
        catalogue: how long a fact of each relation is expected to hold, and its risk tier.
        today: the day on which age is counted.
        most: how many overdue facts are named.

    Raises:
        IntegrityError: the snapshot is not as recorded.
    """
    with _opened(home, ledger, release, catalogue, today) as connection:
        connection.execute(ROWS)
        connection.execute(LAGS)
        columns = ", ".join(
            f"quantile_cont({stage}, {share}) AS {stage}_{name}"
            for stage in STAGES
            for name, share in QUANTILES.items()
        )
        lags = _listed(connection.sql(LAG_SUMMARY.format(columns=columns)))
        states = connection.sql("SELECT state, count(*) FROM lags GROUP BY state ORDER BY state").fetchall()
        connection.execute(f"CREATE TABLE histories AS {HISTORIES}")
        relations = _listed(connection.sql(STALE_SUMMARY, params={"today": today}))
        overdue = _listed(connection.sql(OVERDUE, params={"today": today, "most": most}))
        histories = _histories(connection.sql("SELECT * FROM histories").to_arrow_table())
    return Staleness(tuple(lags), dict(states), tuple(relations), tuple(overdue), histories)


@contextmanager
def _opened(
    home: Home, ledger: Ledger, release: Release, catalogue: Catalogue, today: date
) -> "Iterator[duckdb.DuckDBPyConnection]":
    """A connection with the tables of a release: events, held, stored_rows, feeds, lineage, expected, passes."""
    import duckdb

    folder = checked(home.snapshots, release.facts_snapshot)
    with duckdb.connect(":memory:", config={"threads": 2}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name, table in {
            "held": as_of_table(folder, valid_at=today),
            "stored_rows": _stored_rows(ledger),
            "feeds": _feeds(ledger),
            "lineage": _lineage(ledger, release),
            "expected": _expected(catalogue),
            "passes": _passes(ledger),
        }.items():
            connection.register(name, table)
        connection.read_parquet(str(folder / SNAPSHOT)).create_view("events")
        yield connection


def _listed(relation: "duckdb.DuckDBPyRelation") -> list[dict[str, Any]]:
    """The rows of a result as mappings."""
    rows: list[dict[str, Any]] = relation.to_arrow_table().to_pylist()
    return rows


def _histories(table: "pa.Table") -> tuple[History, ...]:
    """The histories in a result."""
    columns = table.to_pydict()
    subjects, objects = columns.pop("subject"), columns.pop("object")
    columns["what"] = [
        f"{subject} \u00b7 {relation} \u00b7 {thing}"
        for subject, relation, thing in zip(subjects, columns["relation"], objects, strict=True)
    ]
    return tuple(History(**dict(zip(columns, values, strict=True))) for values in zip(*columns.values(), strict=True))


def _stored_rows(ledger: Ledger) -> "pa.Table":
    """Every feed row as it was recorded; rows that were forgotten are left out."""
    import pyarrow as pa

    from registry.digests import canonical_json
    from registry.feeds import FeedStore

    rows = FeedStore(ledger).rows()
    return pa.table(
        {
            "feed": pa.array([row["feed"] for row in rows], pa.int64()),
            "decision": pa.array([row["decision"] for row in rows], pa.string()),
            "body": pa.array([canonical_json(row).decode() for row in rows], pa.string()),
        }
    )


def _feeds(ledger: Ledger) -> "pa.Table":
    """Every run of a feed with its moment (seconds since 1970)."""
    import pyarrow as pa

    from registry.feeds import FeedStore

    runs = FeedStore(ledger).runs()
    return pa.table(
        {
            "feed": pa.array([run.id for run in runs], pa.int64()),
            "recorded_at": pa.array([run.recorded_at.timestamp() for run in runs], pa.float64()),
        }
    )


def served_at(release: Release) -> datetime:
    """When a release began to answer: the moment that it bears, and the seconds that its run took."""
    seconds = sum(float(value) for value in (release.summary.get("seconds") or {}).values())
    return release.created_at.astimezone(UTC) + timedelta(seconds=seconds)


def _lineage(ledger: Ledger, release: Release) -> "pa.Table":
    """The releases that the release is built on and itself, with the moment from which each answered."""
    import pyarrow as pa

    store = ReleaseStore(ledger)
    numbers = set(store.lineage(release.number))
    kept = [one for one in store.all() if one.number in numbers]
    moments = [served_at(one).timestamp() for one in kept]
    return pa.table(
        {
            "number": pa.array([one.number for one in kept], pa.int64()),
            "served_at": pa.array(moments, pa.float64()),
        }
    )


def _expected(catalogue: Catalogue) -> "pa.Table":
    """What the catalogue expects of each relation."""
    import pyarrow as pa

    relations = list(catalogue.relations.values())
    return pa.table(
        {
            "relation": pa.array([one.name for one in relations], pa.string()),
            "lifetime_days": pa.array([one.lifetime_days for one in relations], pa.int64()),
            "risk_tier": pa.array([one.risk_tier for one in relations], pa.string()),
        }
    )


def _passes(ledger: Ledger) -> "pa.Table":
    """By fact: checks passed since the last failure, the moments of the last pass and of the last check."""
    import pyarrow as pa

    from guards.forgetting import passed_in_a_row

    series: dict[str, list[tuple[float, bool]]] = {}
    for entry in ledger.entries(CHECKED):
        moment = entry.recorded_at.timestamp()
        series.setdefault(str(entry.payload["fact"]), []).append((moment, bool(entry.payload["right"])))
    rows = [
        {
            "fact_id": fact_id,
            "moment": max((at for at, right in checks if right), default=None),
            "last": checks[-1][0],
            "recalls": passed_in_a_row([right for _, right in checks]),
            "failed": not checks[-1][1],
        }
        for fact_id, checks in series.items()
    ]
    kinds = {
        "fact_id": pa.string(),
        "moment": pa.float64(),
        "last": pa.float64(),
        "recalls": pa.int64(),
        "failed": pa.bool_(),
    }
    return pa.Table.from_pylist(rows, schema=pa.schema(list(kinds.items())))
