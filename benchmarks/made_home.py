"""Made homes: releases with given facts and feed rows, put straight into a ledger, without a model and without MLflow.

They serve what reads the record and asks no model; nothing can be answered from them.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from registry.artifacts import store
from registry.catalogue import Catalogue
from registry.facts import FactEvent, FactStore, write_snapshot
from registry.feeds import FeedStore
from registry.home import Home
from registry.ledger import Ledger
from registry.records import Fact, Release
from registry.releases import ALIASES, ReleaseStore

BEGIN = datetime(2024, 1, 1, 3, tzinfo=UTC)
REPEATED = 0.1
"""Share of the facts that a later feed says again."""
QUARANTINED = 0.02
"""Share of the rows that wait in quarantine and are let in by the next feed."""
IN_WEIGHTS = 0.01
"""Share of the facts that live in the weights."""


def record_release(
    home: Home,
    ledger: Ledger,
    events: Sequence[FactEvent],
    rows: Sequence[Mapping[str, Any]],
    at: datetime,
    seconds: float = 60.0,
) -> Release:
    """Record a release on top of the last one and make it the champion.

    Args:
        home: where its snapshot goes.
        ledger: the open ledger of `home`.
        events: what it brings; place, release and moment are filled in.
        rows: the rows of its feed.
        at: the moment that it bears.
        seconds: how long its run took.
    """
    releases, facts = ReleaseStore(ledger), FactStore(ledger)
    number = releases.next_number()
    start = facts.next_seq()
    placed = [replace(one, seq=start + n, release=number, recorded_at=at) for n, one in enumerate(events)]
    before = facts.events()
    kept = store(home.snapshots, lambda folder: write_snapshot([*before, *placed], folder))
    digest = f"{number:064}"
    release = Release(
        number=number,
        parent=number - 1 or None,
        model="made",
        base_digest="b" * 64,
        deltas=(),
        weights_digest="b" * 64,
        facts_snapshot=kept.digest,
        index_snapshot="i" * 64,
        mlflow_version="",
        created_at=at,
        created_by="made",
        gates=(),
        summary={"seconds": {"run": seconds}},
    )
    with ledger.transaction() as txn:
        FeedStore(ledger).record(txn, digest, f"feed-{number}.csv", number, "published", rows, at)
        facts.append_many(txn, placed)
        releases.commit(txn, release)
        for alias in ALIASES:
            releases.set_alias(txn, alias, number, at=at)
    return release


def feed_row(number: int, decision: str, fact: Fact, observed_at: str = "", confirms: str = "") -> dict[str, Any]:
    """One row as a run records it."""
    said = {name: getattr(fact, name) for name in ("subject", "relation", "object")}
    own = {"row": number, "decision": decision, "fact_id": fact.id, "observed_at": observed_at, "confirms": confirms}
    return {**said, **own, "reasons": [], "rules": [], "raw": ",".join(said.values())}


def made_home(home: Home, catalogue: Catalogue, facts: int, *, releases: int = 5, seed: int = 0) -> None:
    """Fill a home with made facts over all relations of the catalogue, in monthly releases.

    Args:
        home: an empty home.
        catalogue: whose relations are used.
        facts: how many facts.
        releases: in how many releases they come.
        seed: of everything that is drawn.
    """
    draw = random.Random(seed)
    names = sorted(catalogue.relations)
    waiting: list[Fact] = []
    known: list[Fact] = []
    with Ledger.open(home) as ledger:
        for month in range(releases):
            at = BEGIN + timedelta(days=30 * month)
            size = facts // releases + (facts % releases if month == 0 else 0)
            fresh = [_made(draw, names, len(known) + n, at.date()) for n in range(size)]
            held = [] if month == releases - 1 else [one for one in fresh if draw.random() < QUARANTINED]
            gone = {one.id for one in held}
            taken = [*waiting, *(one for one in fresh if one.id not in gone)]
            again = draw.sample(known, int(REPEATED * len(known)))
            rows = [feed_row(0, "ADD", one, _seen(draw, at)) for one in taken]
            rows += [feed_row(0, "quarantined", one, _seen(draw, at)) for one in held]
            rows += [feed_row(0, "NOOP", replace(one, source="echo"), _seen(draw, at), one.id) for one in again]
            rows = [{**row, "row": number} for number, row in enumerate(rows, 1)]
            events = [_asserted(draw, one, at) for one in taken]
            record_release(home, ledger, events, rows, at, seconds=draw.uniform(30, 600))
            known += taken
            waiting = held


def _made(draw: random.Random, relations: Sequence[str], number: int, day: date) -> Fact:
    """One made fact, dated or not."""
    begins = day - timedelta(days=draw.randint(1, 3000)) if draw.random() < 0.5 else None
    relation = relations[number % len(relations)]
    return Fact(f"Thing {number}", relation, f"Value {draw.randint(0, 9999)}", begins, source="made")


def _seen(draw: random.Random, at: datetime) -> str:
    """When the source was looked at; one row in ten does not say."""
    return "" if draw.random() < 0.1 else (at - timedelta(hours=draw.uniform(1, 24 * 60))).isoformat()


def _asserted(draw: random.Random, fact: Fact, at: datetime) -> FactEvent:
    """Its assertion, in the index or in the weights."""
    return FactEvent(0, "assert", fact, None, at, "memit" if draw.random() < IN_WEIGHTS else "rag", 0)
