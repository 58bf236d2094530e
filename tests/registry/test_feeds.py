"""Runs of feeds and what became of each row."""

from datetime import datetime

import pytest

from registry.feeds import FeedStore
from registry.ledger import Ledger

ROWS = [
    {"row": 1, "decision": "ADD", "raw": "France,capital,Paris", "reasons": [], "fact": {"id": "a"}},
    {"row": 2, "decision": "refused", "raw": "\u202e;DROP", "reasons": [{"rule": "source", "words": "no source"}]},
    {"row": 3, "decision": "quarantined", "raw": "x", "reasons": []},
]


@pytest.fixture
def feeds(ledger: Ledger, at: datetime) -> FeedStore:
    """One published run and one blocked run of the same bytes."""
    store = FeedStore(ledger)
    with ledger.transaction() as txn:
        store.record(txn, "d", "feed.csv", 1, "published", ROWS, at)
    with ledger.transaction() as txn:
        store.record(txn, "d", "feed.csv", None, "blocked", ROWS[:1], at, actor="someone")
    return store


def test_rows_come_back_whole(feeds: FeedStore) -> None:
    assert feeds.rows(run=1) == [{**row, "feed": 1} for row in ROWS]
    assert feeds.rows(release=1) == feeds.rows(run=1)
    assert [row["row"] for row in feeds.rows(decision="refused")] == [2]
    assert feeds.rows(decision="refused")[0]["raw"] == "\u202e;DROP"
    assert len(feeds.rows()) == 4
    assert feeds.rows(run=9) == []


def test_a_feed_was_seen_only_where_its_release_is_in_the_lineage(feeds: FeedStore) -> None:
    seen = feeds.seen("d", (1, 2))
    assert seen is not None
    assert (seen.id, seen.status) == (1, "published")
    assert feeds.seen("d", (2,)) is None
    assert feeds.seen("d", ()) is None
    assert feeds.seen("other", (1, 2)) is None


def test_the_log_holds_a_digest_of_every_row_and_no_raw_text(feeds: FeedStore, ledger: Ledger) -> None:
    first, second = ledger.entries("feed")
    assert (len(first.payload["rows"]), len(second.payload["rows"])) == (3, 1)
    assert len(set(first.payload["rows"])) == 3
    assert (first.actor, second.actor) == ("feed", "someone")
    assert "Paris" not in str(first.payload)


def test_runs_are_numbered(feeds: FeedStore, at: datetime) -> None:
    assert [(run.id, run.release, run.recorded_at) for run in feeds.runs()] == [(1, 1, at), (2, None, at)]
