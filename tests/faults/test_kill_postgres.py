"""The same kills on Postgres: each home has a database of its own, copied with it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from benchmarks.copies import TEST_LEDGER_VARIABLE, copied, entered, home_at, removed, server, swept
from benchmarks.faults import OPERATIONS, kills
from benchmarks.ledger import postgres
from benchmarks.victims import AT
from registry.database import open_engine
from registry.errors import DmmGovError
from registry.home import LEDGER_VARIABLE, Home
from registry.ledger import Ledger

KILLS = 2 * len(OPERATIONS)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The server that is named, or one that is started here."""
    named = server()
    if named:
        yield named
        return
    if shutil.which("initdb") is None and not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        pytest.skip("Postgres is not installed")
    with postgres() as started:
        assert started is not None
        yield started


@pytest.fixture
def folder(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for homes on that server; what `entered` puts into the environment ends with the test."""
    monkeypatch.setenv(TEST_LEDGER_VARIABLE, url)
    monkeypatch.setenv(LEDGER_VARIABLE, "")
    yield tmp_path
    swept(tmp_path)


def ticks(home: Home) -> int:
    """Add an entry; how many there are."""
    with Ledger.open(home) as ledger:
        with ledger.transaction() as txn:
            ledger.append(txn, "tick", {}, "w", AT)
        return ledger.head().size


@pytest.mark.postgres
@pytest.mark.slow
def test_a_copy_of_a_home_has_a_database_of_its_own(folder: Path) -> None:
    first = home_at(folder / "first" / "home")
    first.root.mkdir(parents=True)
    assert ticks(first) == 1
    second = copied(first, "second")
    assert ticks(second) == 2, "the copy begins with what was there"
    assert ticks(first) == 2, "and what is added to it is not added to the first"
    assert not (second.root / "ledger.db").exists()
    entered(second)
    assert Home.at(second.root).ledger_url == second.ledger_url
    removed(second)
    with pytest.raises(DmmGovError, match="does not answer"):
        open_engine(second)
    swept(folder)
    with pytest.raises(DmmGovError, match="does not answer"):
        open_engine(first)


@pytest.mark.postgres
@pytest.mark.slow
def test_killed_writers_on_postgres_end_as_undisturbed_ones(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.rollback.rebuild", None)
    found = kills(folder, KILLS, 7, 200)
    assert found["bad"] == []
    assert found["count"] >= len(OPERATIONS)
    assert sum(one["same"] for one in found["operations"].values()) == found["count"]
    assert sum(one.get("killed", 0) for one in found["operations"].values()) >= len(OPERATIONS)
    engine = open_engine(Home(folder, server()))
    with engine.connect() as connection:
        names = connection.execute(text("SELECT count(*) FROM pg_database WHERE datname LIKE 'dmmgov!_%' ESCAPE '!'"))
        assert names.scalar_one() >= 2, "the ledgers were there"
    engine.dispose()


def test_without_a_server_a_home_is_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TEST_LEDGER_VARIABLE, raising=False)
    first = home_at(tmp_path / "first" / "home")
    assert ticks(first) == 1
    second = copied(first, "second")
    assert (ticks(second), ticks(first)) == (2, 2)
    assert (second.root / "ledger.db").is_file()
    entered(second)
    removed(second)
    assert not second.root.parent.exists()
    swept(tmp_path)
    assert (first.root / "ledger.db").is_file()
