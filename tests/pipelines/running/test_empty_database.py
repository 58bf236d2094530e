"""A new home begins with Prefect's empty database where one is kept, and with migrations where none can be trusted."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pipelines.running import empty_database


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(empty_database.CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def folder_with(tmp_path: Path, name: str, words: str | None = None) -> Path:
    folder = tmp_path / name
    folder.mkdir()
    if words is not None:
        with closing(sqlite3.connect(folder / empty_database.NAME)) as connection, connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("CREATE TABLE said (words TEXT)")
            connection.execute("INSERT INTO said VALUES (?)", [words])
            connection.execute("CREATE TABLE alembic_version AS SELECT 'head' AS version_num")
    return folder


def said(folder: Path) -> str:
    with closing(sqlite3.connect(folder / empty_database.NAME)) as connection:
        return str(connection.execute("SELECT words FROM said").fetchone()[0])


def test_what_one_home_migrated_the_next_begins_with(tmp_path: Path) -> None:
    assert not empty_database.begin(folder_with(tmp_path, "none")), "nothing is kept yet"
    empty_database.keep(folder_with(tmp_path, "first", "fresh"))
    second = folder_with(tmp_path, "second")
    assert empty_database.begin(second)
    assert said(second) == "fresh"
    assert sorted(path.name for path in second.iterdir()) == [empty_database.NAME]


def test_a_database_that_is_there_stays(tmp_path: Path) -> None:
    empty_database.keep(folder_with(tmp_path, "first", "fresh"))
    used = folder_with(tmp_path, "used", "of runs")
    assert not empty_database.begin(used)
    assert said(used) == "of runs"


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_file_that_others_can_write_is_not_taken(tmp_path: Path, cache: Path, mode: int) -> None:
    empty_database.keep(folder_with(tmp_path, "first", "fresh"))
    (kept,) = cache.iterdir()
    kept.chmod(mode)
    assert not empty_database.begin(folder_with(tmp_path, "second"))
    kept.chmod(0o600)
    assert empty_database.begin(folder_with(tmp_path, "third")), "the control"


@pytest.mark.parametrize("page", [0, 1])
def test_a_damaged_file_is_not_taken(tmp_path: Path, cache: Path, page: int) -> None:
    empty_database.keep(folder_with(tmp_path, "first", "fresh"))
    (kept,) = cache.iterdir()
    damaged = bytearray(kept.read_bytes())
    damaged[4096 * page : 4096 * (page + 1)] = bytes(4096)
    kept.write_bytes(damaged)
    second = folder_with(tmp_path, "second")
    assert not empty_database.begin(second)
    assert list(second.iterdir()) == []


def test_a_link_is_not_taken(tmp_path: Path, cache: Path) -> None:
    empty_database.keep(folder_with(tmp_path, "first", "fresh"))
    (kept,) = cache.iterdir()
    kept.rename(tmp_path / "elsewhere.db")
    kept.symlink_to(tmp_path / "elsewhere.db")
    assert not empty_database.begin(folder_with(tmp_path, "second"))


def test_a_cache_that_cannot_be_made_hinders_nothing(tmp_path: Path, cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    empty_database.keep(folder_with(tmp_path, "first", "fresh"))
    assert not empty_database.begin(folder_with(tmp_path, "second"))
