"""Homes for benches of faults, and copies of them: on SQLite, or on Postgres where a URL names a server.

    DMMGOV_TEST_LEDGER_URL=postgresql://user@host/postgres python -m benchmarks.faults

Each home lies in FOLDER/NAME/home and has a database of its own there, made by copying that of the home it is a copy
of. The user of the URL must be allowed to make databases.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from sqlalchemy import Connection, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from registry.home import LEDGER_VARIABLE, Home

TEST_LEDGER_VARIABLE = "DMMGOV_TEST_LEDGER_URL"
"""Names a Postgres server; unset, every ledger is a file in its home."""
TRIES, PAUSE_S = 100, 0.1
"""How often and after which pause a database is asked for that a killed writer is still connected to."""


def home_at(root: Path) -> Home:
    """The home in a new folder; on Postgres with a new, empty database."""
    home = _named(Home.at(root))
    _made(home, "template0")
    return home


def copied(first: Home, name: str) -> Home:
    """A copy of a home beside it."""
    root = first.root.parent.parent / name / "home"
    shutil.copytree(first.root, root)
    home = _named(Home.at(root))
    _made(home, _database(first))
    return home


def removed(home: Home) -> None:
    """Remove a home that is done with, and its database."""
    shutil.rmtree(home.root.parent)
    if server():
        _drop(_database(home))


def swept(folder: Path) -> None:
    """Drop the databases of all homes in a folder."""
    if server():
        like = f"{_prefix(folder)}%"
        with _connected() as connection:
            found = connection.exec_driver_sql("SELECT datname FROM pg_database WHERE datname LIKE %s", (like,))
            names = [str(name) for (name,) in found]
        for name in names:
            _drop(name)


def entered(home: Home) -> None:
    """Let commands of this process that are given the folder alone find the home's own ledger."""
    if server():
        os.environ[LEDGER_VARIABLE] = home.ledger_url


def server() -> str:
    """URL of the server, empty where none is named."""
    return os.environ.get(TEST_LEDGER_VARIABLE, "")


def _named(home: Home) -> Home:
    """The home with the database that belongs to its folder."""
    if not server():
        return home
    name = _prefix(home.root.parent.parent) + _short(home.root)
    return replace(home, ledger_url=make_url(server()).set(database=name).render_as_string(hide_password=False))


def _prefix(folder: Path) -> str:
    """What the names of all databases of a folder begin with."""
    return f"dmmgov_{_short(folder.resolve())}_"


def _short(path: Path) -> str:
    """A few letters for a path."""
    return hashlib.sha256(str(path).encode()).hexdigest()[:16]


def _database(home: Home) -> str:
    """Name of a home's database."""
    return make_url(home.ledger_url).database or ""


def _made(home: Home, template: str) -> None:
    """Make a home's database on the server, where one is named."""
    if not server():
        return
    _drop(_database(home))
    for left in reversed(range(TRIES)):
        try:
            with _connected() as connection:
                connection.exec_driver_sql(f'CREATE DATABASE "{_database(home)}" TEMPLATE "{template}"')
            return
        except OperationalError as error:
            if "being accessed by other users" not in str(error) or not left:
                raise
            time.sleep(PAUSE_S)


def _drop(name: str) -> None:
    """Drop a database, whoever is connected."""
    with _connected() as connection:
        connection.exec_driver_sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@contextmanager
def _connected() -> Iterator[Connection]:
    """A connection to the server, outside of any transaction."""
    url = make_url(server()).set(drivername="postgresql+psycopg")
    engine = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        yield connection
