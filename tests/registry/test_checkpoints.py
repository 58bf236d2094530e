"""Checkpoints: signed, kept, countersigned, and never of a log that was changed."""

import sqlite3
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from registry.checkpoints import CheckpointStore, behind, log_keys, log_verifier, rotate, stamp, witness_keys
from registry.errors import InputError, IntegrityError
from registry.home import Home
from registry.keys import SigningKey, fingerprint, log_key
from registry.ledger import Ledger
from registry.notes import public_of
from registry.tables import checkpoints, cosignatures


def grow(ledger: Ledger, at: datetime, count: int = 1) -> None:
    for number in range(count):
        with ledger.transaction() as txn:
            ledger.append(txn, "tick", {"number": number}, "tester", at)


def test_the_first_checkpoint_brings_the_key_into_the_log(home: Home, ledger: Ledger, at: datetime) -> None:
    assert stamp(home, ledger, at) is None
    assert not (home.keys / "log.pem").exists()
    grow(ledger, at, 3)
    assert behind(ledger)
    made = stamp(home, ledger, at)
    assert made is not None
    public, head = log_key(home).public, ledger.head()
    assert (made.size, made.root) == (4, head.root)
    assert made.origin == f"dmmgov/{fingerprint(public)}"
    assert made.signed_by(public)
    (entry,) = ledger.entries("log_key")
    assert (entry.seq, entry.payload["public"], entry.payload["fingerprint"]) == (3, public, fingerprint(public))
    assert log_keys(ledger) == {public: 3}
    assert public_of(str(log_verifier(ledger))) == public
    assert not behind(ledger)


def test_an_unchanged_log_is_signed_once(home: Home, ledger: Ledger, at: datetime) -> None:
    grow(ledger, at)
    first = stamp(home, ledger, at)
    assert stamp(home, ledger, at + timedelta(days=1)) == first
    grow(ledger, at)
    second = stamp(home, ledger, at)
    assert second is not None
    assert [one.size for one in CheckpointStore(ledger).all()] == [2, 3]
    assert CheckpointStore(ledger).latest() == second
    assert len(ledger.entries("log_key")) == 1
    assert ledger.verify() == []


def test_a_witness_is_kept_with_its_key(home: Home, ledger: Ledger, at: datetime) -> None:
    grow(ledger, at)
    made = stamp(home, ledger, at)
    assert made is not None
    witness, other = SigningKey.generate(), SigningKey.generate()
    store = CheckpointStore(ledger)
    seen = made.witnessed(witness, "w", at)
    store.add_witness(seen, "w", witness.public, "tester", at)
    store.add_witness(seen, "w", witness.public, "tester", at)
    assert store.latest() == seen
    assert witness_keys(ledger) == {"w": witness.public}
    with pytest.raises(InputError, match="countersignature of w"):
        store.add_witness(seen, "w", other.public, "tester", at)
    with pytest.raises(InputError, match="countersignature of v"):
        store.add_witness(seen, "v", witness.public, "tester", at)
    with pytest.raises(InputError, match="the key of w"):
        store.add_witness(made.witnessed(other, "w", at), "w", other.public, "tester", at)
    elsewhere = type(made)(made.origin, 1, made.root).signed(log_key(home)).witnessed(witness, "w", at)
    with pytest.raises(InputError, match="a checkpoint of this log"):
        store.add_witness(elsewhere, "w", witness.public, "tester", at)


def test_another_key_does_not_sign(home: Home, ledger: Ledger, at: datetime) -> None:
    grow(ledger, at)
    stamp(home, ledger, at)
    path = home.keys / "log.pem"
    kept = path.rename(home.keys / "kept.pem")
    grow(ledger, at)
    with pytest.raises(InputError, match=r"the log's key .* got no file"):
        stamp(home, ledger, at)
    assert not path.exists()
    SigningKey.generate().save(path)
    with pytest.raises(InputError, match="put the file back"):
        stamp(home, ledger, at)
    path.unlink()
    kept.rename(path)
    made = stamp(home, ledger, at)
    assert made is not None
    assert made.size == 3


def test_a_key_that_the_old_one_vouches_for_may_sign(home: Home, ledger: Ledger, at: datetime) -> None:
    grow(ledger, at)
    old, fresh = log_key(home), SigningKey.generate()
    rotate(home, ledger, fresh, "tester", at)
    assert list(log_keys(ledger)) == [old.public, fresh.public]
    (home.keys / "log.pem").unlink()
    fresh.save(home.keys / "log.pem")
    made = stamp(home, ledger, at)
    assert made is not None
    assert made.signed_by(fresh.public)
    assert made.origin == f"dmmgov/{fingerprint(old.public)}"
    stranger = SigningKey.generate()
    with ledger.transaction() as txn:
        ledger.append(txn, "log_key", {"public": stranger.public, "signature": stranger.sign(b"x")}, "m", at)
    assert stranger.public not in log_keys(ledger)


def untied(home: Home, *statements: str) -> None:
    """Change the tables as somebody with a database shell would."""
    with sqlite3.connect(home.root / "ledger.db") as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            assert connection.execute(statement).rowcount >= 1
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE heads SET root = substr(root, 2) || substr(root, 1, 1) WHERE size = 3",
        "DELETE FROM heads WHERE size = 3",
    ],
)
def test_a_log_that_was_changed_is_not_signed(home: Home, ledger: Ledger, at: datetime, statement: str) -> None:
    grow(ledger, at, 2)
    stamp(home, ledger, at)
    grow(ledger, at)
    untied(home, statement)
    with pytest.raises(IntegrityError, match="last checkpoint"):
        stamp(home, ledger, at)
    assert len(CheckpointStore(ledger).all()) == 1


def test_tables_that_are_missing_are_made(home: Home, ledger: Ledger, at: datetime) -> None:
    grow(ledger, at, 2)
    ledger.close()
    with sqlite3.connect(home.root / "ledger.db") as connection:
        connection.execute("DROP TABLE cosignatures")
        connection.execute("DROP TABLE checkpoints")
    connection.close()
    with Ledger.open(home) as again:
        assert CheckpointStore(again).all() == []
        assert again.head().size == 2
        assert stamp(home, again, at) is not None
    with Ledger.open(home) as third, pytest.raises(Exception, match="append-only"), third.transaction() as txn:
        txn.execute(checkpoints.delete())


@pytest.mark.parametrize("version", [1, 2])
def test_a_home_whose_content_is_not_sealed_is_refused(home: Home, ledger: Ledger, version: int) -> None:
    ledger.close()
    with sqlite3.connect(home.root / "ledger.db") as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    with pytest.raises(InputError, match="cannot be sealed afterwards"):
        Ledger.open(home)


def test_the_key_may_be_sealed(home: Home, ledger: Ledger, at: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DMMGOV_LOG_PASSPHRASE", "open sesame")
    grow(ledger, at)
    assert stamp(home, ledger, at) is not None
    assert b"ENCRYPTED" in (home.keys / "log.pem").read_bytes()
    grow(ledger, at)
    monkeypatch.delenv("DMMGOV_LOG_PASSPHRASE")
    with pytest.raises(InputError, match="passphrase"):
        stamp(home, ledger, at)


def test_no_private_key_reaches_the_tables(home: Home, ledger: Ledger, at: datetime, tmp_path: Path) -> None:
    grow(ledger, at)
    stamp(home, ledger, at)
    secret = (home.keys / "log.pem").read_text().splitlines()[1]
    with ledger.read() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    assert secret not in (home.root / "ledger.db").read_bytes().decode("latin-1")
    assert {table.name for table in (checkpoints, cosignatures)} == {"checkpoints", "cosignatures"}
