"""What machines do to a home: each is said in words, loses nothing, and the next run goes on."""

import os
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from benchmarks.changed_bytes import changes, differing, rows
from benchmarks.copies import TEST_LEDGER_VARIABLE
from benchmarks.faults import kills
from benchmarks.small_home import made
from benchmarks.victims import AT, draft
from pipelines.auditing.integrity import verify_home
from pipelines.auditing.log_checks import Pins
from pipelines.publish import publish, recover
from pipelines.requests.asked import content_of
from pipelines.requests.asking import add_request, decide, state_of
from registry.checkpoints import stamp
from registry.errors import BlockedError, DmmGovError, IntegrityError
from registry.home import Home
from registry.ledger import Ledger
from registry.newest_note import NAME
from registry.releases import ReleaseStore

ROW = {"subject": "Chad", "relation": "currency", "object": "franc", "source": "a letter"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home with two people, a request and a release."""
    monkeypatch.setenv("DMMGOV_PASSPHRASE", "correct horse")
    monkeypatch.delenv(TEST_LEDGER_VARIABLE, raising=False)  # these faults are those of files
    return made(tmp_path / "made" / "home")


def test_a_release_stands_while_mlflow_is_gone_and_is_told_later(home: Home) -> None:
    database = home.mlflow / "mlflow.db"
    whole = database.read_bytes()
    database.write_bytes(b"not a database" * 400)
    with Ledger.open(home) as ledger:
        with pytest.raises(DmmGovError, match="MLflow does not take part"):
            publish(home, ledger, draft(home, 2), AT)
        assert ReleaseStore(ledger).alias("champion") == 2
        assert ReleaseStore(ledger).get(2).mlflow_version == ""
        database.write_bytes(whole)
        assert recover(home, ledger) == ["finished telling MLflow about releases and aliases"]
        assert ReleaseStore(ledger).get(2).mlflow_version == "2"
    assert verify_home(home) == []


def test_a_clock_that_is_moved_back_opens_nothing_that_has_expired(home: Home) -> None:
    assert state_of(home, 1, AT + timedelta(days=99)) == "expired"
    with pytest.raises(BlockedError, match="expired"):
        decide(home, 1, "approve", by="bob", at=AT)
    assert add_request(home, content_of("facts", "again", rows=[ROW]), by="ann", at=AT).number == 2
    with Ledger.open(home) as ledger:
        entries = ledger.entries()
    assert [entry.seq for entry in entries] == list(range(len(entries)))
    assert verify_home(home) == []


def test_a_clock_that_is_moved_back_changes_no_order(home: Home) -> None:
    with Ledger.open(home) as ledger:
        publish(home, ledger, draft(home, 2), AT - timedelta(days=400))
        releases, entries = ReleaseStore(ledger), ledger.entries()
        assert releases.alias("champion") == 2
        assert releases.get(2).created_at < releases.get(1).created_at, "the clock is the machine's"
    assert [entry.seq for entry in entries] == list(range(len(entries))), "the order is the log's"
    assert verify_home(home) == []


def test_a_write_ahead_log_that_is_cut_loses_its_end_alone(home: Home) -> None:
    with Ledger.open(home) as ledger:
        before = ledger.entries()
    child = os.fork()
    if child == 0:
        ledger = Ledger.open(home)
        for number in range(4):
            with ledger.transaction() as txn:
                ledger.append(txn, "tick", {"number": number}, "tester", AT)
        os._exit(0)
    os.waitpid(child, 0)
    wal = home.root / "ledger.db-wal"
    os.truncate(wal, wal.stat().st_size * 2 // 3)
    with Ledger.open(home) as ledger:
        after = ledger.entries()
        assert after[: len(before)] == before
        assert [one.payload["number"] for one in after[len(before) :]] == list(range(len(after) - len(before)))
        publish(home, ledger, draft(home, 2), AT)
    assert verify_home(home) == []


def signed_in_the_write_ahead_log(home: Home) -> Path:
    """Append and sign in a process that dies, so that both lie in the write-ahead log alone; the file."""
    child = os.fork()
    if child == 0:
        ledger = Ledger.open(home)
        with ledger.transaction() as txn:
            ledger.append(txn, "tick", {}, "tester", AT)
        stamp(home, ledger, AT)
        os._exit(0)
    os.waitpid(child, 0)
    return home.root / "ledger.db-wal"


@pytest.mark.parametrize("left", [0.0, 0.5, 0.9])
def test_a_signed_end_that_is_cut_off_is_missed_and_nothing_is_signed_over_it(home: Home, left: float) -> None:
    with Ledger.open(home) as ledger:
        size = ledger.head().size
    wal = signed_in_the_write_ahead_log(home)
    whole = {path: path.read_bytes() for path in (wal, home.root / "ledger.db", home.root / NAME)}
    os.truncate(wal, int(wal.stat().st_size * left))
    problems = verify_home(home)
    assert any(NAME in line for line in problems), "only the note in its own file tells"
    with Ledger.open(home) as ledger:
        cut = ledger.head().size < size + 1
        assert ledger.verify() == [], "the database alone is sound"
        assert cut == problems[0].startswith("entry ")
        if cut:
            with pytest.raises(IntegrityError, match=f"put the ledger back from a copy; .* {NAME} away"):
                recover(home, ledger)
            with ledger.transaction() as txn:
                ledger.append(txn, "tick", {"other": True}, "tester", AT)
            with pytest.raises(IntegrityError, match="entries that"):
                stamp(home, ledger, AT)
    for path in (home.root / "ledger.db-wal", home.root / "ledger.db-shm"):
        path.unlink(missing_ok=True)
    for path, data in whole.items():
        path.write_bytes(data)
    assert verify_home(home) == [], "the copy is put back"


def test_whoever_accepts_the_loss_of_an_end_goes_on(home: Home) -> None:
    os.truncate(signed_in_the_write_ahead_log(home), 0)
    with Ledger.open(home) as ledger:
        with pytest.raises(IntegrityError):
            recover(home, ledger)
        (home.root / NAME).rename(home.root.parent / NAME)
        publish(home, ledger, draft(home, 2), AT)
    assert verify_home(home) == []
    kept = Pins.read(None, [home.root.parent / NAME])
    assert verify_home(home, pins=kept) != [], "an old checkpoint still tells that something was there"


@pytest.mark.parametrize("data", [b"", b"nonsense", b"\xff\xfe", b"a\n1\nb\n\n"])
def test_a_damaged_note_is_named_and_stops_nobody(home: Home, data: bytes) -> None:
    (home.root / NAME).write_bytes(data)
    assert [line for line in verify_home(home) if line.startswith(f"{NAME}: ")]
    with Ledger.open(home) as ledger:
        publish(home, ledger, draft(home, 2), AT)
    assert verify_home(home) == [], "the next command that signs writes it anew"


def test_a_note_that_claims_more_than_was_signed_stops_nobody(home: Home) -> None:
    lines = (home.root / NAME).read_text().split("\n")
    (home.root / NAME).write_text("\n".join([lines[0], f"9{lines[1]}", *lines[2:]]))
    assert verify_home(home) == [f"{NAME}: no key of the log signed it"]
    with Ledger.open(home) as ledger:
        publish(home, ledger, draft(home, 2), AT)
    assert verify_home(home) == []


def test_a_half_written_folder_is_removed_and_a_cut_file_is_refused(home: Home) -> None:
    half = home.deltas / ".staged-half"
    half.mkdir()
    (half / "delta.json").write_text('{"num')
    with Ledger.open(home) as ledger:
        assert any(".staged-half" in line for line in recover(home, ledger))
        wanted = draft(home, 2)
        (home.deltas / wanted.deltas[0] / "delta.json").write_text('{"num')
        with pytest.raises(IntegrityError):
            publish(home, ledger, wanted, AT)
        assert ReleaseStore(ledger).alias("champion") == 1
        publish(home, ledger, draft(home, 2), AT)
    assert verify_home(home) == []


@pytest.mark.parametrize(
    ("statement", "table"),
    [
        ("UPDATE model_versions SET last_updated_time = 1", ""),
        ("UPDATE experiments SET name = 'x'", ""),
        ("UPDATE model_version_tags SET value = 'x' WHERE key = 'dmmgov.created_by'", "INSERT INTO model_version_tags"),
        ("CREATE TABLE more (one INTEGER)", "CREATE TABLE more"),
    ],
)
def test_the_bench_tells_what_matters_in_mlflows_database(home: Home, statement: str, table: str) -> None:
    path = home.mlflow / "mlflow.db"
    before = rows(path)
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()
    assert differing(before, rows(path)) == table
    assert bool(verify_home(home)) == bool(table)


@pytest.mark.slow
def test_the_bench_kills_and_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.rollback.rebuild", None)
    killed = kills(tmp_path / "kills", 10, 7, 120)
    assert killed["bad"] == []
    assert sum(one["same"] for one in killed["operations"].values()) == killed["count"]
    changed = changes(tmp_path / "changes", 28, 7, 120)
    assert changed["missed"] == {}
    assert changed["kinds"]["certificates"]["found"] >= 1
    assert changed["kinds"]["the ledger's write-ahead log"].get("found by a kept checkpoint", 0) == 0
    assert changed["kinds"]["deltas"]["found"] >= 1
    assert changed["clean"] == []
