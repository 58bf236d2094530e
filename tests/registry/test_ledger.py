"""The log: what is appended stays, what is changed is found, and writers wait for each other."""

import json
import sqlite3
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import IntegrityError as ConstraintError

from registry import database
from registry.contents import Split
from registry.errors import BusyError, DmmGovError, InputError, IntegrityError
from registry.facts import FactEvent, FactStore
from registry.feeds import FeedStore
from registry.home import Home
from registry.ledger import Event, Ledger
from registry.merkle import tree_root
from registry.records import Fact, Release
from registry.releases import ReleaseStore
from registry.requests import RequestStore
from registry.tables import APPEND_ONLY, checkpoints, cosignatures

WRITERS, APPENDS = 4, 15
NO_ZONE = datetime(2026, 1, 1)
WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from registry.home import Home
from registry.ledger import Ledger
with Ledger.open(Home.at(Path(sys.argv[1]))) as ledger:
    for number in range(int(sys.argv[3])):
        with ledger.transaction() as txn:
            ledger.append(txn, "tick", {"writer": sys.argv[2], "number": number}, "w", datetime.now(UTC))
"""


def fill(ledger: Ledger, at: datetime, count: int = 5) -> None:
    for number in range(count):
        with ledger.transaction() as txn:
            ledger.append(txn, "even" if number % 2 == 0 else "odd", {"number": number}, "tester", at)


def test_entries_come_back_as_they_went_in(ledger: Ledger, at: datetime) -> None:
    with ledger.transaction() as txn:
        entry = ledger.append(txn, "published", {"b": [1, 2.5, None], "a": {"é": "ü"}}, "someone", at)
    assert ledger.entries() == [entry]
    assert (entry.seq, entry.kind, entry.actor, entry.recorded_at) == (0, "published", "someone", at)
    assert entry.payload == {"a": {"é": "ü"}, "b": [1, 2.5, None]}


def test_entries_of_one_kind(ledger: Ledger, at: datetime) -> None:
    fill(ledger, at)
    assert [entry.payload["number"] for entry in ledger.entries("odd")] == [1, 3]
    assert ledger.entries("none") == []


def test_the_head_is_the_root_over_all_leaves(ledger: Ledger, at: datetime) -> None:
    assert ledger.head().size == 0
    fill(ledger, at)
    head = ledger.head()
    assert (head.size, head.root) == (5, tree_root(bytes.fromhex(one.leaf) for one in ledger.entries()).hex())


def test_one_by_one_and_all_at_once_give_one_root(home: Home, ledger: Ledger, at: datetime) -> None:
    fill(ledger, at)
    with Ledger.open(Home.at(home.root / "other")) as other, other.transaction() as txn:
        events = [Event(one.kind, one.payload) for one in ledger.entries()]
        other.append_many(txn, events[:2], "tester", at)
        other.append_many(txn, events[2:], "tester", at)
    with Ledger.open(Home.at(home.root / "other")) as other:
        assert other.head() == ledger.head()
        assert other.verify() == []


def test_a_transaction_that_fails_leaves_nothing(ledger: Ledger, at: datetime) -> None:
    fill(ledger, at, 2)
    before = ledger.head()
    with pytest.raises(ValueError, match="zone"), ledger.transaction() as txn:
        ledger.append_many(txn, [Event("lost", {})], ledger.append(txn, "lost", {}, "tester", at).actor, NO_ZONE)
    assert ledger.head() == before
    assert ledger.verify() == []
    fill(ledger, at, 1)
    assert ledger.head().size == 3
    assert ledger.verify() == []


def test_what_has_no_canonical_form_is_refused(ledger: Ledger, at: datetime) -> None:
    for payload in ({"x": object()}, {"x": float("nan")}):
        with pytest.raises((TypeError, ValueError)), ledger.transaction() as txn:
            ledger.append(txn, "bad", payload, "tester", at)
    with pytest.raises(ValueError, match="zone"), ledger.transaction() as txn:
        ledger.append(txn, "bad", {}, "tester", at.replace(tzinfo=None))
    assert ledger.head().size == 0


@pytest.mark.parametrize("verb", ["UPDATE", "DELETE"])
@pytest.mark.parametrize("name", [str(table.name) for table in APPEND_ONLY])
def test_append_only_tables_refuse_changes(ledger: Ledger, at: datetime, name: str, verb: str) -> None:
    one_of_each(ledger, at)
    column = next(table for table in APPEND_ONLY if table.name == name).columns.keys()[-1]
    statement = f'DELETE FROM "{name}"' if verb == "DELETE" else f'UPDATE "{name}" SET "{column}" = "{column}"'
    with pytest.raises(DBAPIError, match=f"{name} is append-only"), ledger.transaction() as txn:
        txn.execute(text(statement))
    with ledger.read() as connection:
        assert connection.execute(text(f'SELECT count(*) FROM "{name}"')).scalar_one() >= 1


def one_of_each(ledger: Ledger, at: datetime) -> None:
    """One row in every append-only table."""
    release = Release(1, None, "m", "b", (), "b", "f", "i", "", at, "tester")
    event = FactEvent(0, "assert", Fact("France", "capital", "Paris"), None, at, "rag", 1)
    with ledger.transaction() as txn:
        ReleaseStore(ledger).commit(txn, release)
        ReleaseStore(ledger).register(txn, 1, "1", "d", {}, at)
        FactStore(ledger).append(txn, event)
        FeedStore(ledger).record(txn, "f", "feed.csv", 1, "published", [{"row": 1, "decision": "ADD"}], at)
        RequestStore(ledger).keep(
            txn, 1, 1, Split.of({"operation": "facts", "reason": "why", "rows": [{"subject": "France"}]})
        )
        RequestStore(ledger).comment(txn, 1, "why?")
        txn.execute(insert(checkpoints), [{"size": 1, "note": "n", "recorded_at": ""}])
        txn.execute(insert(cosignatures), [{"size": 1, "witness": "w", "line": "l", "recorded_at": ""}])


TAMPERED = [
    ("UPDATE entries SET kind = 'other' WHERE seq = 1", "entry 1 "),
    ("UPDATE entries SET actor = 'other' WHERE seq = 1", "entry 1 "),
    ("UPDATE entries SET recorded_at = '2020-01-01T00:00:00+00:00' WHERE seq = 1", "entry 1 "),
    ("UPDATE entries SET payload = '{\"number\":9}' WHERE seq = 1", "entry 1 "),
    ("UPDATE entries SET payload = '{\"number\": 1}' WHERE seq = 1", "entry 1 "),
    ("UPDATE entries SET payload = 'no' WHERE seq = 1", "entry 1 "),
    ("UPDATE entries SET leaf = replace(leaf, substr(leaf, 1, 1), 'g') WHERE seq = 1", "entry 1 "),
    ("UPDATE entries SET seq = 9 WHERE seq = 4", "entry 4 is missing"),
    ("DELETE FROM entries WHERE seq = 0", "entry 0 is missing"),
    ("DELETE FROM entries WHERE seq = 4", "entry 4 is missing"),
    ("DELETE FROM entries", "entry 0 is missing"),
    ("INSERT INTO entries SELECT 5, kind, actor, recorded_at, payload, leaf FROM entries WHERE seq = 4", "entry 5 "),
    ("UPDATE heads SET root = upper(root) WHERE size = 2", "entries 1 to 1"),
    ("UPDATE heads SET peaks = upper(peaks) WHERE size = 2", "entries 1 to 1"),
    ("DELETE FROM heads WHERE size = 5", "entry 4"),
]


@pytest.mark.parametrize(("statement", "words"), TAMPERED)
def test_tampering_is_named_with_the_first_bad_entry(
    home: Home, ledger: Ledger, at: datetime, statement: str, words: str
) -> None:
    fill(ledger, at)
    assert ledger.verify() == []
    with sqlite3.connect(home.root / "ledger.db") as connection:
        for verb in ("update", "delete"):
            for table in ("entries", "heads"):
                connection.execute(f"DROP TRIGGER {table}_no_{verb}")
        assert connection.execute(statement).rowcount >= 1
    connection.close()
    assert ledger.verify()[0].startswith(words)


def test_writers_in_several_processes_make_one_line(home: Home) -> None:
    command = [sys.executable, "-c", WRITER, str(home.root)]
    runs = [
        subprocess.Popen([*command, str(number), str(APPENDS)], stderr=subprocess.PIPE) for number in range(WRITERS)
    ]
    for run in runs:
        _, errors = run.communicate(timeout=120)
        assert run.returncode == 0, errors.decode()
    with Ledger.open(home) as ledger:
        entries = ledger.entries()
        assert ledger.verify() == []
    assert [entry.seq for entry in entries] == list(range(WRITERS * APPENDS))
    for writer in range(WRITERS):
        own = [entry.payload["number"] for entry in entries if entry.payload["writer"] == str(writer)]
        assert own == list(range(APPENDS))


def test_a_writer_that_waits_too_long_says_so_and_may_try_again(
    home: Home, ledger: Ledger, at: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_S", 0.2)
    with Ledger.open(home) as other:
        with ledger.transaction() as txn:
            ledger.append(txn, "first", {}, "tester", at)
            started = time.monotonic()
            with pytest.raises(BusyError, match="try again"), other.transaction() as second:
                other.append(second, "lost", {}, "tester", at)
            assert time.monotonic() - started >= 0.2
        monkeypatch.undo()
        fill(other, at, 1)
        with other.read() as connection:
            assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one() > 0
    assert [entry.kind for entry in ledger.entries()] == ["first", "even"]


def test_a_reader_sees_one_moment_while_a_writer_goes_on(home: Home, ledger: Ledger, at: datetime) -> None:
    fill(ledger, at, 2)
    count = text("SELECT count(*) FROM entries")
    with Ledger.open(home) as other, other.read() as connection:
        before = connection.execute(count).scalar_one()
        fill(ledger, at, 3)
        assert connection.execute(count).scalar_one() == before == 2
    assert ledger.head().size == 5


def test_commits_are_durable_and_in_wal_mode(ledger: Ledger) -> None:
    with ledger.read() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar_one() == 2


def test_a_full_disk_loses_nothing_that_was_committed(home: Home, ledger: Ledger, at: datetime) -> None:
    fill(ledger, at)
    before = ledger.head()
    with ledger.read() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1")
    with pytest.raises(DmmGovError, match="full"), ledger.transaction() as txn:
        ledger.append(txn, "large", {"text": "x" * 1_000_000}, "tester", at)
    with Ledger.open(home) as again:
        assert again.head() == before
        assert again.verify() == []


def test_a_rule_of_the_tables_is_kept(ledger: Ledger) -> None:
    with pytest.raises(ConstraintError), ledger.transaction() as txn:
        txn.execute(text("INSERT INTO aliases (name, number) VALUES ('champion', 7)"))


def test_a_file_that_is_no_ledger_is_named(home: Home) -> None:
    home.root.mkdir()
    (home.root / "ledger.db").write_bytes(b"something else, long enough to be taken for a page " * 40)
    with pytest.raises(IntegrityError, match=r"ledger\.db"):
        Ledger.open(home)


def test_a_ledger_of_a_later_version_is_refused(home: Home, ledger: Ledger) -> None:
    with ledger.read() as connection:
        connection.exec_driver_sql("PRAGMA user_version = 99")
        connection.commit()
    with pytest.raises(InputError, match="version 99"):
        Ledger.open(home)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file"):
        Ledger.open(Home.at(tmp_path / "file" / "home"))


@pytest.mark.parametrize(
    "url", ["mysql://user:secret@host/db", "nonsense", "postgresql+nodriver://user:secret@host/db"]
)
def test_a_url_that_cannot_be_used_is_refused_without_its_password(home: Home, url: str) -> None:
    with pytest.raises(InputError) as caught:
        Ledger.open(Home(home.root, url))
    assert "secret" not in str(caught.value)


def test_a_database_that_does_not_answer_is_named_without_its_password(home: Home) -> None:
    url = "postgresql://user:secret@127.0.0.1:1/db?connect_timeout=2"
    with pytest.raises(DmmGovError, match=r"127\.0\.0\.1:1") as caught:
        Ledger.open(Home(home.root, url))
    assert "secret" not in str(caught.value)


def test_payloads_are_stored_as_they_were_hashed(home: Home, ledger: Ledger, at: datetime) -> None:
    fill(ledger, at, 1)
    with sqlite3.connect(home.root / "ledger.db") as connection:
        stored = connection.execute("SELECT payload FROM entries").fetchone()[0]
    connection.close()
    assert stored == '{"number":0}'
    assert json.loads(stored) == {"number": 0}
