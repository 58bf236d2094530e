"""Whatever publishing wrote into MLflow is compared with the ledger; what others write there is theirs."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.auditing.integrity import verify_home
from pipelines.auditing.mlflow_checks import mlflow_problems
from pipelines.releasing import tracking
from pipelines.releasing.tracking import mlflow_client
from registry.home import Home
from registry.ledger import Ledger

NAME = "dmm-gov-tiny"


@pytest.fixture
def home(two_releases: Path, tmp_path: Path) -> Home:
    """A copy."""
    shutil.copytree(two_releases, tmp_path / "home")
    return Home.at(tmp_path / "home")


def edit(home: Home, statement: str) -> None:
    """Change MLflow's database as somebody with a database shell would."""
    with sqlite3.connect(home.mlflow / "mlflow.db") as connection:
        connection.execute("PRAGMA writable_schema = ON")
        assert connection.execute(statement).rowcount == 1
    connection.close()


def problems(home: Home) -> list[str]:
    with Ledger.open(home) as ledger:
        return list(mlflow_problems(home, ledger))


def _drop_version(client: Any) -> None:
    client.delete_model_version(NAME, "1")


def _move_alias(client: Any) -> None:
    client.set_registered_model_alias(NAME, "champion", "1")


def _other_release(client: Any) -> None:
    client.set_model_version_tag(NAME, "2", "dmmgov.leaf", "0" * 64)


def _no_tag(client: Any) -> None:
    client.delete_model_version_tag(NAME, "2", "dmmgov.created_by")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_drop_version, "release 1: MLflow has no version 1"),
        (_move_alias, "alias champion of dmm-gov-tiny: MLflow has version 1, recorded is 2"),
        (_other_release, "version 2 in MLflow belongs to another release"),
        (_no_tag, "tag dmmgov.created_by of version 2 in MLflow: found ''"),
    ],
)
def test_a_change_in_mlflow_is_named(home: Home, change: Callable[[Any], None], words: str) -> None:
    with mlflow_client(home) as client:
        change(client)
    assert any(words in problem for problem in verify_home(home))


def test_every_tag_that_publishing_wrote_is_compared(home: Home) -> None:
    with mlflow_client(home) as client:
        tags = client.get_model_version(NAME, "2").tags
        assert len(tags) == 7
        for name, value in tags.items():
            client.set_model_version_tag(NAME, "2", name, f"{value}x")
            assert any("version 2" in words for words in problems(home)), name
            client.set_model_version_tag(NAME, "2", name, value)
    assert problems(home) == []


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("description", "'Release 3 of dmm-gov.'"),
        ("status", "'PENDING_REGISTRATION'"),
        ("current_stage", "'Archived'"),
        ("run_id", "'abc'"),
        ("run_link", "'http://elsewhere'"),
        ("status_message", "'half'"),
        ("source", "'file:///elsewhere'"),
        ("source", "replace(source, '/signed', '/signed-')"),
        ("storage_location", "storage_location || 'x'"),
    ],
)
def test_every_field_that_publishing_wrote_is_compared(home: Home, column: str, value: str) -> None:
    edit(home, f"UPDATE model_versions SET {column} = {value} WHERE version = 2")
    found = problems(home)
    assert all(words.startswith("release 2: ") for words in found)
    named = {"current_stage": "stage", "storage_location": "storage location"}.get(column, column)
    assert any(f"{named} of version 2" in words for words in found) or "storage" in found[0]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE model_versions SET creation_time = 1 WHERE version = 2",
        "UPDATE model_versions SET user_id = 'ann' WHERE version = 2",
        "UPDATE registered_models SET description = 'ours'",
        f"INSERT INTO model_version_tags VALUES ('seen', 'yes', '{NAME}', 2, 'default')",
        "UPDATE experiments SET name = 'other'",
    ],
)
def test_what_publishing_did_not_write_is_not_compared(home: Home, statement: str) -> None:
    edit(home, statement)
    assert problems(home) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE sqlite_schema SET sql = replace(sql, 'description', 'descriptiom') WHERE name = 'workspaces'",
        "UPDATE sqlite_schema SET sql = replace(sql, 'ON ', 'ON  ') WHERE name = 'index_job_locks_job_id'",
    ],
)
def test_a_definition_that_was_changed_is_found(home: Home, statement: str) -> None:
    edit(home, statement)
    (found,) = problems(home)
    assert "its tables are not defined as entry" in found


def test_tables_that_no_entry_notes_are_not_compared(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with Ledger.open(home) as ledger:
        noted = [entry.payload["tables"] for entry in ledger.entries("registered")]
    assert noted == [tracking.tables_of(home)] * 2
    monkeypatch.setattr(tracking, "tables_of", lambda home: {**noted[0], "revision": "later", "digest": "other"})
    assert problems(home) == [], "tables of a newer MLflow are noted by its next release"
    monkeypatch.setattr(tracking, "tables_of", lambda home: {**noted[0], "digest": "other"})
    assert len(problems(home)) == 1
    monkeypatch.undo()
    monkeypatch.setenv(tracking.URI_VARIABLE, "http://127.0.0.1:1")
    assert tracking.tables_of(home) is None, "they lie elsewhere"


def test_a_home_that_was_moved_has_no_problem(home: Home) -> None:
    home.root.rename(home.root.with_name("moved"))
    assert problems(Home.at(home.root.with_name("moved"))) == []
