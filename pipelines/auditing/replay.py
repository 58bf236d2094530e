"""Replay of a session log: do the ledger's events, played again, come to the state that the release keeps?

Every fact event has a leaf in the log. The events of a release's lineage are written into a snapshot anew: the same
events give the same bytes, so its digest must be the recorded one. The digest of each single event is checked by
`audit verify`; here it is counted what can be replayed at all, and what stands behind it (E-MARS+ P2). What was
forgotten is in neither.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from guards.longmemory import ReplayPanel, step_order
from guards.stats import wilson
from registry.artifacts import store
from registry.facts import FactEvent, FactStore, view, write_snapshot
from registry.feeds import FeedStore
from registry.ledger import Ledger
from registry.records import Release
from registry.releases import ReleaseStore

STEPS = ("read", "admit", "route", "guard", "write", "publish", "serve")
"""The order in which a run is logged."""
STEP_OF = {
    **{"feed": "read", "admitted": "admit", "refused": "admit", "quarantined": "admit", "noop": "admit"},
    **{"routed": "route", "gate_passed": "guard", "gate_failed": "guard", "fact": "write"},
    **{"published": "publish", "registered": "serve"},
}
"""Step by kind of entry."""
ACCEPTED = ("ADD", "UPDATE")
LEAF = ("seq", "kind", "fact_id", "release", "memory")


def replay(ledger: Ledger, release: Release) -> ReplayPanel:
    """Replay what led to a release.

    Args:
        ledger: the open ledger.
        release: which release.
    """
    numbers = ReleaseStore(ledger).lineage(release.number)
    events = FactStore(ledger).events(numbers)
    forgotten = {tuple(row[name] for name in LEAF) for row in FactStore(ledger).shredded()}
    logged = {
        tuple(entry.payload[name] for name in LEAF)
        for entry in ledger.entries("fact")
        if entry.payload["release"] in numbers
    } - forgotten
    there = {(one.seq, one.kind, one.fact.id, one.release, one.memory) for one in events}
    accepted = _accepted(ledger)
    known = view(events)
    supported = sum(one.fact.id in accepted for one in known)
    return ReplayPanel(
        wilson(len(logged & there), len(logged | there)) if logged or there else None,
        wilson(supported, len(known)) if known else None,
        step_order(runs_of(_kinds(ledger)), STEPS),
        snapshot_digest(events) == release.facts_snapshot,
    )


def runs_of(kinds: Iterable[str]) -> list[list[str]]:
    """The steps of every run in a log, given the kinds of its entries; a run begins with its feed."""
    runs: list[list[str]] = []
    for kind in kinds:
        step = STEP_OF.get(kind)
        if kind == "feed":
            runs.append([])
        if runs and step:
            runs[-1].append(step)
    return runs


def snapshot_digest(events: Sequence[FactEvent]) -> str:
    """The digest that a snapshot of these events has."""
    with TemporaryDirectory() as folder:
        return store(Path(folder), lambda place: write_snapshot(events, place)).digest


def _accepted(ledger: Ledger) -> set[str]:
    """Ids of the facts of all rows that were accepted."""
    feeds = FeedStore(ledger)
    return {str(row.get("fact_id")) for decision in ACCEPTED for row in feeds.rows(decision=decision)}


def _kinds(ledger: Ledger) -> list[str]:
    """The kind of every entry, in the order of the log."""
    from sqlalchemy import select

    from registry import tables

    with ledger.read() as connection:
        return list(connection.execute(select(tables.entries.c.kind).order_by(tables.entries.c.seq)).scalars())
