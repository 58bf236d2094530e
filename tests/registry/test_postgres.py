"""The same ledger on Postgres: a server of its own, on a socket in a temporary folder."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import DBAPIError

from pipelines.auditing.log_checks import Pins, log_problems
from pipelines.publish import ReleaseDraft, publish, recover
from registry.checkpoints import CheckpointStore, stamp
from registry.consistency import table_problems
from registry.digests import digest_bytes
from registry.errors import DmmGovError
from registry.facts import FactEvent, FactStore
from registry.feeds import FeedStore
from registry.home import Home
from registry.keys import SigningKey, log_key
from registry.ledger import Ledger
from registry.records import Fact, Release
from registry.releases import ReleaseStore
from registry.shredding import FORGOTTEN, shred
from registry.tables import APPEND_ONLY, checkpoints, cosignatures, request_comments, requests

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

UNPRIVILEGED = ("postgres", "nobody")
WRITERS, APPENDS = 4, 10
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
ENDURING = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
from registry.errors import DmmGovError
from registry.home import Home
from registry.ledger import Ledger
number, failed, until = 0, 0, time.monotonic() + float(sys.argv[3])
while time.monotonic() < until:
    try:
        with Ledger.open(Home.at(Path(sys.argv[1]))) as ledger:
            while time.monotonic() < until:
                number += 1
                with ledger.transaction() as txn:
                    ledger.append(txn, "tick", {"writer": sys.argv[2], "number": number}, "w", datetime.now(UTC))
                sys.stdout.write(f"{number}\\n")
                sys.stdout.flush()
    except DmmGovError as error:
        failed += 1
        sys.stderr.write(f"{error}\\n")
        time.sleep(0.05)
"""
PARIS = Fact("France", "capital", "Paris", date(2000, 1, 1), confidence=0.1)


@dataclass
class Server:
    """A Postgres server that ends with the tests; the superuser may not run one, so another user does."""

    tools: Path
    folder: Path
    user: dict[str, Any] = field(default_factory=dict)

    def run(self, tool: str, *arguments: str) -> None:
        """Run one of its tools."""
        subprocess.run(
            [self.tools / tool, "-D", str(self.folder / "data"), *arguments],
            check=True,
            capture_output=True,
            cwd=self.folder,
            timeout=120,
            **self.user,
        )

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = f"-c listen_addresses= -k {self.folder} -c fsync=off"
        self.run("pg_ctl", "-w", "-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self) -> None:
        """End it at once."""
        self.run("pg_ctl", "-w", "-m", "immediate", "stop")

    def url(self, database: str) -> str:
        """URL of a database."""
        return f"postgresql://dmmgov@/{database}?host={self.folder}"


def tools() -> Path | None:
    """Where Postgres is installed."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return places[-1].parent if places else None


def unprivileged() -> dict[str, Any]:
    """Arguments with which subprocess changes to a user that may run Postgres."""
    if os.geteuid() != 0:
        return {}
    import pwd

    for name in UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": ()}
    pytest.skip(f"postgres: there is none of the users {', '.join(UNPRIVILEGED)} to run it")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A running server."""
    where = tools()
    if where is None:
        pytest.skip("postgres: initdb is not installed")
    with tempfile.TemporaryDirectory(prefix="pg-") as name:
        server = Server(where, Path(name), unprivileged())
        if server.user:
            os.chown(name, server.user["user"], server.user["group"])
        server.run("initdb", "-A", "trust", "-U", "dmmgov", "-E", "UTF8", "--no-sync", "--locale=C")
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture
def url(server: Server, request: pytest.FixtureRequest) -> str:
    """URL of an empty database."""
    name = f"db{digest_bytes(request.node.name.encode())[:16]}"
    create = [str(server.tools / "createdb"), "-h", str(server.folder), "-U", "dmmgov", name]
    subprocess.run(create, check=True, capture_output=True, timeout=60)
    return server.url(name)


@pytest.fixture
def home(tmp_path: Path, url: str) -> Home:
    """A home whose ledger is in that database."""
    return Home(tmp_path / "home", url)


def fill(ledger: Ledger, at: datetime) -> None:
    """A release with a fact and a feed."""
    releases = ReleaseStore(ledger)
    with ledger.transaction() as txn:
        releases.commit(txn, Release(1, None, "m", "b", (), "b", "f", "i", "", at, "tester"))
        releases.register(txn, 1, "1", "d", {}, at)
        releases.set_alias(txn, "champion", 1, at=at)
        FactStore(ledger).append(txn, FactEvent(0, "assert", replace(PARIS, recorded_at=at), None, at, "rag", 1))
        FeedStore(ledger).record(txn, "f", "feed.csv", 1, "published", [{"row": 1, "decision": "ADD"}], at)


def test_what_goes_in_comes_out_as_on_sqlite(home: Home, ledger: Ledger, at: datetime, tmp_path: Path) -> None:
    fill(ledger, at)
    assert ledger.verify() == []
    assert list(table_problems(ledger)) == []
    with Ledger.open(Home(tmp_path, f"sqlite:///{tmp_path / 'other.db'}")) as other:
        fill(other, at)
        assert other.head().size == ledger.head().size
        assert [one.kind for one in other.entries()] == [one.kind for one in ledger.entries()]
        assert FactStore(other).events() == FactStore(ledger).events()
        assert ReleaseStore(other).get("champion") == ReleaseStore(ledger).get("champion")
        assert FeedStore(other).rows() == FeedStore(ledger).rows()
    with Ledger.open(home) as again:
        assert again.head() == ledger.head()


def test_content_goes_with_its_keys(ledger: Ledger, at: datetime) -> None:
    fill(ledger, at)
    keys = [f"fact:{PARIS.id}:0", "row:1:1"]
    with ledger.transaction() as txn:
        assert shred(txn, keys) == len(keys)
        ledger.append(txn, FORGOTTEN, {"keys": keys, "releases": []}, "tester", at)
    assert FactStore(ledger).events() == []
    assert FeedStore(ledger).rows() == []
    assert ledger.verify() == []
    assert list(table_problems(ledger)) == []


@pytest.mark.parametrize("verb", ["UPDATE", "DELETE"])
@pytest.mark.parametrize("name", [str(table.name) for table in APPEND_ONLY])
def test_append_only_tables_refuse_changes(ledger: Ledger, at: datetime, name: str, verb: str) -> None:
    fill(ledger, at)
    with ledger.transaction() as txn:
        txn.execute(insert(requests), [{"number": 1, "revision": 1, "body": "{}"}])
        txn.execute(insert(request_comments), [{"request": 1, "place": 1, "words": "w"}])
        txn.execute(insert(checkpoints), [{"size": 1, "note": "n", "recorded_at": ""}])
        txn.execute(insert(cosignatures), [{"size": 1, "witness": "w", "line": "l", "recorded_at": ""}])
    column = next(table for table in APPEND_ONLY if table.name == name).columns.keys()[-1]
    statement = f'DELETE FROM "{name}"' if verb == "DELETE" else f'UPDATE "{name}" SET "{column}" = "{column}"'
    with pytest.raises(DBAPIError, match=f"{name} is append-only"), ledger.transaction() as txn:
        txn.execute(text(statement))


def test_checkpoints_are_kept_and_checked(home: Home, ledger: Ledger, at: datetime) -> None:
    fill(ledger, at)
    first = stamp(home, ledger, at)
    assert first is not None
    seen = first.witnessed(witness := SigningKey.generate(), "w", at)
    CheckpointStore(ledger).add_witness(seen, "w", witness.public, "tester", at)
    second = stamp(home, ledger, at)
    assert [one.size for one in CheckpointStore(ledger).all()] == [first.size, first.size + 1]
    assert CheckpointStore(ledger).latest() == second
    assert list(log_problems(ledger, Pins(log_key(home).public, (seen,)))) == []
    with ledger.transaction() as txn:
        txn.execute(text("ALTER TABLE checkpoints DISABLE TRIGGER ALL"))
        txn.execute(text("UPDATE checkpoints SET note = replace(note, 'dmmgov/', 'other/')"))
    assert "no key of the log signed it" in " ".join(log_problems(ledger))


def test_tampering_is_named(ledger: Ledger, at: datetime) -> None:
    fill(ledger, at)
    with ledger.transaction() as txn:
        txn.execute(text("ALTER TABLE entries DISABLE TRIGGER ALL"))
        txn.execute(text("UPDATE entries SET actor = 'nobody' WHERE seq = 1"))
        txn.execute(text("ALTER TABLE facts DISABLE TRIGGER ALL"))
        txn.execute(text("UPDATE facts SET memory = 'rome'"))
    assert ledger.verify()[0].startswith("entry 1 ")
    assert any("fact event 0" in problem for problem in table_problems(ledger))


def test_writers_in_several_processes_make_one_line(home: Home, url: str) -> None:
    command = [sys.executable, "-c", WRITER, str(home.root)]
    environment = {**os.environ, "DMMGOV_LEDGER_URL": url}
    runs = [
        subprocess.Popen([*command, str(number), str(APPENDS)], stderr=subprocess.PIPE, env=environment)
        for number in range(WRITERS)
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


def test_a_reader_sees_one_moment(ledger: Ledger, home: Home, at: datetime) -> None:
    count = text("SELECT count(*) FROM entries")
    with ledger.read() as connection:
        assert connection.execute(count).scalar_one() == 0
        with Ledger.open(home) as other:
            fill(other, at)
        assert connection.execute(count).scalar_one() == 0
    assert ledger.head().size == 5


def test_a_failed_transaction_leaves_nothing(ledger: Ledger, at: datetime) -> None:
    fill(ledger, at)
    before = ledger.head()
    with pytest.raises(DBAPIError), ledger.transaction() as txn:
        ReleaseStore(ledger).commit(txn, Release(1, None, "m", "b", (), "b", "f", "i", "", at, "tester"))
    assert ledger.head() == before
    assert ledger.verify() == []


def test_a_release_is_published_on_it(ledger: Ledger, home: Home, at: datetime, tmp_path: Path) -> None:
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "ids.json").write_text("{}")
    event = FactEvent(0, "assert", PARIS, None, at, "rag", 0)
    draft = ReleaseDraft(None, "tiny", "b" * 64, (), "b" * 64, (event,), tmp_path / "index", "tester")
    assert recover(home, ledger) == []
    release = publish(home, ledger, draft, at)
    assert (release.number, release.mlflow_version) == (1, "1")
    assert ReleaseStore(ledger).alias("champion") == 1
    assert ledger.verify() == []
    assert recover(home, ledger) == []


def test_a_restart_in_the_middle_loses_nothing_that_was_committed(
    server: Server, ledger: Ledger, home: Home, at: datetime
) -> None:
    fill(ledger, at)
    head = ledger.head()
    server.stop()
    with pytest.raises(DmmGovError, match="what was committed stands"):
        ledger.head()
    with pytest.raises(DmmGovError, match="does not answer"):
        Ledger.open(home)
    server.start()
    assert ledger.head() == head
    with ledger.transaction() as txn:
        ledger.append(txn, "after", {}, "tester", at)
    assert ledger.verify() == []


def test_writers_go_on_through_two_restarts_and_lose_nothing_that_was_acknowledged(
    server: Server, home: Home, url: str
) -> None:
    environment = {**os.environ, "DMMGOV_LEDGER_URL": url}
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", ENDURING, str(home.root), str(number), "6"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for number in range(WRITERS)
    ]
    for _ in range(2):
        time.sleep(1.5)
        server.stop()
        time.sleep(0.3)
        server.start()
    told, errors = [], []
    for run in runs:
        out, words = run.communicate(timeout=120)
        assert run.returncode == 0, words
        told.append([int(line) for line in out.split()])
        errors += words.splitlines()
    assert errors, "the server was away while they wrote"
    assert all("answer" in line for line in errors), errors
    with Ledger.open(home) as ledger:
        entries = ledger.entries()
        assert ledger.verify() == []
    assert [entry.seq for entry in entries] == list(range(len(entries)))
    for writer in range(WRITERS):
        kept = [entry.payload["number"] for entry in entries if entry.payload["writer"] == str(writer)]
        assert kept == sorted(set(kept)), "none is there twice, and their order stands"
        assert set(told[writer]) <= set(kept), "none that was acknowledged is lost"
        assert max(told[writer]) > len(told[writer]) or told[writer] == kept
        assert len(set(kept) - set(told[writer])) <= 2, "at most one a restart was there before it could be told"


def test_requests_are_asked_for_and_approved_on_it(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.requests.asked import content_of
    from pipelines.requests.asking import add_request, comment, decide, ready, show_request
    from pipelines.requests.people import add_user
    from registry.errors import BlockedError

    monkeypatch.setenv("DMMGOV_PASSPHRASE", "correct horse")
    add_user(home, "ann", ["admin", "requester"])
    add_user(home, "bob", ["approver"], by="ann")
    row = {"subject": "Chad", "relation": "currency", "object": "franc", "source": "a letter"}
    assert add_request(home, content_of("facts", "why", rows=[row]), by="ann").number == 1
    comment(home, 1, "is this sure?", by="bob")
    with pytest.raises(BlockedError):
        decide(home, 1, "approve", by="ann")
    decide(home, 1, "approve", by="bob")
    assert ready(home, 1)
    assert show_request(home, 1)["approved_by"] == ["bob"]
    with Ledger.open(home) as ledger:
        assert ledger.verify() == []
        assert list(table_problems(ledger)) == []
