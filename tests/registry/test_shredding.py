"""Sealed content: what a key opens, what is left when it is gone, and that no proof depends on it."""

import sqlite3
from datetime import datetime

import pytest
from sqlalchemy.exc import DBAPIError

from registry.consistency import table_problems
from registry.errors import IntegrityError
from registry.facts import FactEvent, FactStore
from registry.feeds import FeedStore
from registry.home import Home
from registry.ledger import Ledger
from registry.records import Fact, Release
from registry.releases import ReleaseStore
from registry.shredding import (
    FORGOTTEN,
    Shredded,
    fingerprint,
    key_id,
    make_pepper,
    opened,
    pepper,
    seal,
    seal_many,
    sealed_texts,
    shred,
    told,
    unseal,
)

KEY, OTHER = b"k" * 32, b"o" * 32
MARIE = Fact("Marie Zorn", "employer", "Quibble Works", source="feed of hers", source_url="https://example.org/zorn")
FRANCE = Fact("France", "capital", "Paris")


def fill(ledger: Ledger, at: datetime) -> None:
    """A release with two facts, two rows and a sample that speaks of one of them."""
    events = [FactEvent(seq, "assert", fact, None, at, "rag", 1, "as told") for seq, fact in enumerate((MARIE, FRANCE))]
    rows = [
        {"row": 1, "decision": "ADD", "raw": "Marie Zorn,employer,Quibble Works"},
        {"row": 2, "decision": "refused", "raw": "France,capital,Lyon"},
    ]
    summary = {"samples": ["Marie Zorn works at Quibble Works", "Paris"], "notes": []}
    gates = ({"guard": "efficacy", "decision": "pass", "explanation": "Quibble Works was said", "evidence": ()},)
    release = Release(1, None, "m", "b", (), "b", "f", "i", "", at, "tester", gates, summary)
    with ledger.transaction() as txn:
        FeedStore(ledger).record(txn, "f", "feed.csv", 1, "published", rows, at)
        FactStore(ledger).append_many(txn, events)
        ReleaseStore(ledger).commit(txn, release)


def ids(ledger: Ledger) -> list[str]:
    with ledger.read() as connection:
        return list(connection.exec_driver_sql("SELECT id FROM content_keys ORDER BY id").scalars())


def forget(ledger: Ledger, at: datetime, keys: list[str]) -> None:
    """Delete keys as `pipelines.forgetting.forget` does: with the entry that says so."""
    with ledger.transaction() as txn:
        shred(txn, keys)
        ledger.append(txn, FORGOTTEN, {"keys": keys, "releases": []}, "tester", at)


def test_what_is_sealed_comes_back_with_its_key_alone() -> None:
    text = seal(KEY, "fact:1:2", {"a": "é", "b": [1, None]})
    assert unseal(KEY, text) == {"a": "é", "b": [1, None]}
    assert key_id(text) == "fact:1:2"
    assert key_id("plain") is None
    assert seal(KEY, "fact:1:2", {"a": "é", "b": [1, None]}) != text
    for wrong in (text.replace("fact:1:2", "fact:1:3"), text[:-8] + "AAAAAAA=", text + "%"):
        with pytest.raises(IntegrityError):
            unseal(KEY, wrong)
    with pytest.raises(IntegrityError):
        unseal(OTHER, text)


def test_the_length_says_little() -> None:
    assert len({len(seal(KEY, "i", "x" * size)) for size in range(40)}) == 1


def test_a_fingerprint_needs_the_key_and_keeps_its_parts_apart() -> None:
    assert fingerprint(KEY, "ab", "c") != fingerprint(KEY, "a", "bc")
    assert fingerprint(KEY, "ab", "c") != fingerprint(OTHER, "ab", "c")


def test_the_pepper_is_made_once_and_never_shredded(ledger: Ledger) -> None:
    with ledger.read() as connection:
        assert pepper(connection) is None
    with ledger.transaction() as txn:
        first = make_pepper(txn)
        assert shred(txn, ["pepper"]) == 0
        assert make_pepper(txn) == first


def test_an_id_is_used_once(ledger: Ledger) -> None:
    with ledger.transaction() as txn:
        seal_many(txn, [("x", 1)])
    with pytest.raises(DBAPIError), ledger.transaction() as txn:
        seal_many(txn, [("x", 2)])


def test_nested_values_are_opened_and_what_is_gone_is_marked(ledger: Ledger) -> None:
    with ledger.transaction() as txn:
        first, second = told(txn, "one"), told(txn, {"two": 2})
    value = {"a": [first, "plain"], "b": {"c": second}, "d": 3}
    assert list(sealed_texts(value)) == [first, second]
    with ledger.transaction() as txn:
        assert opened(txn.connection, value) == {"a": ["one", "plain"], "b": {"c": {"two": 2}}, "d": 3}
        assert shred(txn, [key_id(first) or ""]) == 1
    with ledger.read() as connection:
        assert opened(connection, value)["a"] == [Shredded(key_id(first) or ""), "plain"]


def test_the_tables_hold_no_content(home: Home, ledger: Ledger, at: datetime) -> None:
    fill(ledger, at)
    assert list(table_problems(ledger)) == []
    data = b"".join(path.read_bytes() for path in home.root.iterdir() if path.is_file())
    for word in (b"Marie", b"Quibble", b"zorn", b"Lyon", b"as told"):
        assert word not in data
    assert b"efficacy" in data
    release = ReleaseStore(ledger).get(1)
    assert release.summary["samples"] == ["Marie Zorn works at Quibble Works", "Paris"]
    assert release.gates[0]["explanation"] == "Quibble Works was said"


def test_without_its_keys_content_is_gone_and_the_proofs_stand(ledger: Ledger, at: datetime) -> None:
    fill(ledger, at)
    head = ledger.head()
    chosen = [name for name in ids(ledger) if MARIE.id in name or name == "row:1:1" or name.startswith("told:")]
    forget(ledger, at, chosen)
    assert [event.fact for event in FactStore(ledger).events()] == [FRANCE]
    assert [one["fact_id"] for one in FactStore(ledger).shredded()] == [MARIE.id]
    assert [row["row"] for row in FeedStore(ledger).rows()] == [2]
    assert FeedStore(ledger).shredded() == [(1, 1)]
    release = ReleaseStore(ledger).get(1)
    assert release.summary["samples"] == []
    assert release.gates[0]["explanation"] == "(forgotten)"
    assert ledger.verify() == []
    assert list(table_problems(ledger)) == []
    assert ledger.entries()[head.size].kind == FORGOTTEN


def test_a_key_that_is_gone_without_a_word_is_found(ledger: Ledger, at: datetime) -> None:
    fill(ledger, at)
    with ledger.transaction() as txn:
        shred(txn, ["row:1:1"])
    assert list(table_problems(ledger)) == ["key row:1:1: it is gone, and no entry says that its content was forgotten"]


def test_a_key_that_was_kept_is_found_and_opens(ledger: Ledger, at: datetime) -> None:
    fill(ledger, at)
    with ledger.transaction() as txn:
        ledger.append(txn, FORGOTTEN, {"keys": ["row:1:1"], "releases": []}, "tester", at)
    assert "entry" in next(iter(table_problems(ledger)))
    assert FeedStore(ledger).rows()[0]["raw"] == "Marie Zorn,employer,Quibble Works"


def test_a_changed_key_and_one_too_many_are_found(home: Home, ledger: Ledger, at: datetime) -> None:
    fill(ledger, at)
    with sqlite3.connect(home.root / "ledger.db") as connection:
        connection.execute("UPDATE content_keys SET key = ? WHERE id = 'row:1:2'", ("0" * 64,))
        connection.execute("UPDATE content_keys SET key = ? WHERE id LIKE 'fact:%:1'", ("0" * 64,))
        connection.execute("INSERT INTO content_keys VALUES ('row:9:9', ?)", ("0" * 64,))
    connection.close()
    found = "\n".join(table_problems(ledger))
    assert "fact event 1: the content" in found
    assert "key row:1:2: the content" in found
    assert "key row:9:9: nothing is sealed under it" in found
