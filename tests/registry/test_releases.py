"""Releases, aliases and lineages."""

from datetime import datetime

import pytest
from sqlalchemy.exc import IntegrityError as ConstraintError

from registry.errors import InputError
from registry.intents import IntentStore
from registry.ledger import Ledger
from registry.records import Release
from registry.releases import ReleaseStore


def release(number: int, parent: int | None, at: datetime) -> Release:
    gates = ({"guard": "efficacy", "decision": "pass"},)
    return Release(number, parent, "m", "b", ("d",), "w", "f", "i", "", at, "tester", gates, {"n": 0.5})


@pytest.fixture
def releases(ledger: Ledger, at: datetime) -> ReleaseStore:
    """Three releases: 2 and 3 are both built on 1."""
    store = ReleaseStore(ledger)
    for number, parent in ((1, None), (2, 1), (3, 1)):
        with ledger.transaction() as txn:
            store.commit(txn, release(number, parent, at))
            store.set_alias(txn, "challenger", number)
    with ledger.transaction() as txn:
        store.set_alias(txn, "champion", 2)
    return store


@pytest.mark.parametrize(
    ("ref", "number"), [("3", 3), ("r3", 3), ("R3", 3), (3, 3), (" 1 ", 1), ("champion", 2), ("challenger", 3)]
)
def test_a_release_by_its_names(releases: ReleaseStore, at: datetime, ref: str | int, number: int) -> None:
    assert releases.get(ref) == release(number, None if number == 1 else 1, at)


@pytest.mark.parametrize("ref", ["4", "0", "", "r", "rr3", "-1", "³", "latest", "1; DROP TABLE releases", 9])
def test_what_names_no_release_is_bad_input(releases: ReleaseStore, ref: str | int) -> None:
    with pytest.raises(InputError, match="there are 1 to 3"):
        releases.get(ref)


def test_nothing_is_said_to_be_published_in_an_empty_ledger(ledger: Ledger) -> None:
    store = ReleaseStore(ledger)
    assert (store.all(), store.champion(), store.alias("champion"), store.next_number()) == ([], None, None, 1)
    with pytest.raises(InputError, match="nothing is published yet"):
        store.get("champion")


def test_lineages_do_not_mix(releases: ReleaseStore) -> None:
    assert [releases.lineage(number) for number in (1, 2, 3)] == [(1,), (1, 2), (1, 3)]
    with pytest.raises(InputError, match="number of a release"):
        releases.lineage(7)


def test_an_alias_moves_with_one_leaf_and_stays_without(releases: ReleaseStore, ledger: Ledger) -> None:
    before = ledger.head()
    with ledger.transaction() as txn:
        releases.set_alias(txn, "champion", 2)
    assert ledger.head() == before
    with ledger.transaction() as txn:
        releases.set_alias(txn, "champion", 1, actor="tester")
    assert releases.alias("champion") == 1
    entry = ledger.entries("alias")[-1]
    assert (entry.actor, entry.payload) == ("tester", {"alias": "champion", "release": 1, "previous": 2})


def test_an_alias_cannot_point_to_nothing(releases: ReleaseStore, ledger: Ledger) -> None:
    with pytest.raises(ConstraintError), ledger.transaction() as txn:
        releases.set_alias(txn, "champion", 9)
    assert releases.alias("champion") == 2


def test_a_number_is_given_once(releases: ReleaseStore, ledger: Ledger, at: datetime) -> None:
    with pytest.raises(ConstraintError), ledger.transaction() as txn:
        releases.commit(txn, release(3, 1, at))
    assert releases.next_number() == 4
    assert ledger.verify() == []


def test_the_mlflow_version_comes_later(releases: ReleaseStore, ledger: Ledger, at: datetime) -> None:
    assert (releases.get(2).mlflow_version, releases.version(2)) == ("", None)
    with ledger.transaction() as txn:
        releases.register(txn, 2, "7", "digest", {"MLmodel": "d"}, at)
    assert (releases.get(2).mlflow_version, releases.version(2)) == ("7", ("7", "digest"))
    assert releases.get(3).mlflow_version == ""


def test_an_intent_is_there_until_it_is_cleared(ledger: Ledger) -> None:
    intents = IntentStore(ledger)
    for body in ({"release": 1}, {"release": 2}):
        with ledger.transaction() as txn:
            intents.set(txn, "publish", body)
    assert intents.open() == {"publish": {"release": 2}}
    with ledger.transaction() as txn:
        intents.clear(txn, "publish")
    assert intents.open() == {}
    assert ledger.head().size == 0
