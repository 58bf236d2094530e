"""Dated facts: what the rows of the feeds say about when a fact began, against what the release keeps (E-MARS+ P1).

The truth is the text of every row that was accepted, as it arrived; the record is the release's own snapshot. What is
lost, moved or swapped between the two, by admission or by what was written, shows. Rows whose text names no columns (a
feed of which no row keeps its header) and forgotten rows are no truth; what was taken back was right to go.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from itertools import pairwise
from random import Random
from typing import Any

from guards.longmemory import TimePanel, came_first, order_score, time_panel
from pipelines.admission.release_rows import cells_of
from registry.artifacts import checked
from registry.errors import InputError
from registry.facts import read_snapshot, view
from registry.feeds import FeedStore
from registry.home import Home
from registry.ledger import Ledger
from registry.records import Release
from registry.releases import ReleaseStore

WINDOW_DAYS = 365
"""The window of TAE: a day that is a year off counts as wholly wrong."""
ACCEPTED = ("ADD", "UPDATE")
RELEASED = "released"
"""Rule of a row that came with a person's word; its text has the columns of the feed in which it was held."""


def dated(home: Home, ledger: Ledger, release: Release, *, seed: int = 0) -> TimePanel:
    """P1 of a release: its dated facts against the rows that brought them.

    Args:
        home: where its snapshot lies.
        ledger: the open ledger of `home`.
        release: which release.
        seed: of the order in which both facts of a pair are named.

    Raises:
        IntegrityError: the snapshot is not as recorded.
    """
    numbers = set(ReleaseStore(ledger).lineage(release.number))
    feeds = FeedStore(ledger)
    rows = [row for run in feeds.runs() if run.release in numbers for row in feeds.rows(run=run.id)]
    events = read_snapshot(checked(home.snapshots, release.facts_snapshot))
    withdrawn = {event.fact.id for event in events if event.kind == "retract"}
    said = {key: told for key, told in told_days(rows).items() if key not in withdrawn}
    true = {key: day for key, (_, day) in said.items() if day is not None}
    kept = {item.fact.id: item.fact for item in view(events)}
    held = {key: fact.valid_from for key, fact in kept.items() if key in said and (fact.valid_from or key in true)}
    pairs = list(neighbours({key: (said[key][0], day) for key, day in true.items()}, seed))
    order = order_score(
        [came_first(held.get(one), held.get(other)) for one, other in pairs],
        [came_first(true[one], true[other]) for one, other in pairs],
    )
    return time_panel(held, true, WINDOW_DAYS, order)


def told_days(rows: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, date | None]]:
    """Relation and first day of every accepted fact, by its id, as the text of its last row says; None for no day.

    Rows whose columns are not known are left out: no row of their feed keeps the header.
    """
    headers = {row["feed"]: row["header"] for row in rows if row.get("header")}
    found = {}
    for row in rows:
        if row["decision"] not in ACCEPTED or not row.get("fact_id"):
            continue
        cells = _cells(row, headers.get(row["feed"], ()))
        if cells is not None:
            found[str(row["fact_id"])] = (str(row["relation"]), whole_day(cells.get("valid_from")))
    return found


def _cells(row: Mapping[str, Any], header: Sequence[str]) -> Mapping[str, str] | None:
    """The cells of a row's text by column; None where it does not tell which is which."""
    try:
        return cells_of({"raw": row.get("raw", ""), "header": () if RELEASED in row.get("rules", ()) else header})
    except (InputError, ValueError, AttributeError):
        return None


def whole_day(text: Any) -> date | None:
    """The day in `text`; None where it names none, or a year or a month alone."""
    try:
        return date.fromisoformat(str(text or "").strip()[:10])
    except ValueError:
        return None


def neighbours(dated_facts: Mapping[str, tuple[str, date]], seed: int) -> Iterator[tuple[str, str]]:
    """Pairs of facts of one relation that began one after the other, in an order that is drawn."""
    draw = Random(seed)
    by_relation: dict[str, list[tuple[date, str]]] = {}
    for key, (relation, day) in dated_facts.items():
        by_relation.setdefault(relation, []).append((day, key))
    for _, begun in sorted(by_relation.items()):
        for (earlier, one), (later, other) in pairwise(sorted(begun)):
            if earlier != later:
                yield (one, other) if draw.random() < 0.5 else (other, one)
