"""Opens the ledger's database so that it is durable and its writers wait for each other."""

import random
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError, OperationalError, SQLAlchemyError

from registry import tables
from registry.errors import DmmGovError, InputError, IntegrityError
from registry.home import LEDGER_VARIABLE, Home

SEALED_SINCE = 3
"""First version whose content is sealed; rows of an earlier log cannot be sealed afterwards."""
SCHEMA = 3
"""Version of the tables, kept in SQLite's user_version; a later one only adds tables, which opening makes."""
BUSY_S = 60.0
"""Seconds that SQLite waits for another writer."""
PAUSE_S = 0.002
"""Seconds between two tries to become the writer, about."""
SETUP_LOCK = 0x646D6D73
"""Key of the Postgres advisory lock under which the tables are made."""


def locked(error: OperationalError) -> bool:
    """Whether the database refused because others hold it."""
    words = str(error).lower()
    return "database is locked" in words or "lock timeout" in words or "could not obtain lock" in words


def damaged(error: DatabaseError) -> bool:
    """Whether the database's file is not what it was."""
    words = str(error).lower()
    return "malformed" in words or "not a database" in words or "decode to utf-8" in words


def file_problems(connection: Connection) -> list[str]:
    """What SQLite itself finds wrong with its file, beyond the rows that can be read."""
    if connection.dialect.name != "sqlite":
        return []
    found = [str(words) for (words,) in connection.exec_driver_sql("PRAGMA integrity_check")]
    return [f"the ledger's file: {' '.join(words.split())}" for words in found if words != "ok"]


def open_engine(home: Home) -> Engine:
    """Connect to the database that `home.ledger_url` names and make its tables when they are missing.

    Raises:
        InputError: the URL cannot be used, or the folder cannot be written.
        IntegrityError: the file is there and is not a ledger.
    """
    url = _url(home)
    if url.get_backend_name() == "sqlite":
        return _sqlite(url)
    try:
        engine = create_engine(url, pool_pre_ping=True)
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": SETUP_LOCK})
            _make(connection)
    except NoSuchModuleError as error:
        raise _bad_url(home) from error
    except ModuleNotFoundError as error:
        raise InputError(
            "the Postgres driver psycopg", "it is not installed", "install it: pip install 'dmm-gov[postgres]'"
        ) from error
    except OperationalError as error:
        shown = url.render_as_string(hide_password=True)
        raise DmmGovError(
            f"the ledger at {shown} does not answer: {first_line(error)}; start it, then again"
        ) from error
    return engine


def _url(home: Home) -> URL:
    """Parse the URL and pick the driver."""
    try:
        url = make_url(home.ledger_url)
        if url.get_backend_name() == "postgresql" and "+" not in url.drivername:
            url = url.set(drivername="postgresql+psycopg")
        if url.get_backend_name() in ("sqlite", "postgresql"):
            return url
    except (ArgumentError, ValueError) as error:
        raise _bad_url(home) from error
    raise _bad_url(home)


def _bad_url(home: Home) -> InputError:
    """The error for a URL that no database answers to; the URL itself may hold a password and is not repeated."""
    scheme = home.ledger_url.partition(":")[0]
    return InputError("a URL that begins with sqlite or postgresql", repr(scheme), f"set {LEDGER_VARIABLE}")


def first_line(error: SQLAlchemyError) -> str:
    """The driver's own words, on one line."""
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0]


def _make(connection: Connection) -> None:
    """Make the tables and their triggers."""
    tables.metadata.create_all(connection)
    for statement in tables.append_only_ddl(connection.dialect.name):
        connection.exec_driver_sql(statement)


def _sqlite(url: URL) -> Engine:
    """SQLite in WAL mode; every transaction that may write takes its lock at its beginning."""
    path = Path(url.database or "")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            "a home folder that can be made", f"{path.parent} ({error.strerror})", "name another"
        ) from error
    engine = create_engine(url, connect_args={"timeout": BUSY_S})
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    try:
        with engine.connect() as connection:
            version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
            missing = set(tables.metadata.tables) - set(inspect(connection).get_table_names())
        if not 0 <= version <= SCHEMA:
            raise InputError(
                f"a ledger of version {SCHEMA} at most", f"version {version} in {path}", "use its own release"
            )
        if 0 < version < SEALED_SINCE:
            todo = "use its own release: rows of a log cannot be sealed afterwards"
            raise InputError(f"a ledger of version {SEALED_SINCE} or later", f"version {version} in {path}", todo)
        if version < SCHEMA or missing:
            with engine.execution_options(dmmgov_write=True).begin() as connection:
                _make(connection)
                connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA}")
    except OperationalError as error:
        engine.dispose()
        words = first_line(error)
        todo = "check the folder, the right to write there, and the room on its disk"
        raise InputError("a ledger that can be opened and written", f"{path}: {words}", todo) from error
    except DatabaseError as error:
        engine.dispose()
        raise IntegrityError(str(path), "a SQLite database", first_line(error)) from error
    return engine


def _on_connect(connection: Any, _: Any) -> None:
    """Leave transactions to us and set what makes commits durable."""
    connection.isolation_level = None
    _to_wal(connection)
    for pragma in ("synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _to_wal(connection: Any) -> None:
    """Switch to WAL; while another process does the same the switch fails at once, whatever the time-out."""
    import sqlite3

    if connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
        return
    deadline = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def purge(engine: Engine) -> str:
    """Write the database anew without what was deleted from it, its write-ahead log included.

    Returns:
        What could not be done, in words; empty where all was.
    """
    connection = engine.raw_connection()
    driver: Any = connection.driver_connection
    try:
        if engine.dialect.name == "sqlite":
            return _purge_sqlite(driver)
        driver.autocommit = True
        driver.execute("VACUUM FULL content_keys")
        driver.autocommit = False
        return "archives of Postgres' write-ahead log, if there are any, hold the deleted keys"
    finally:
        connection.close()


def _purge_sqlite(driver: Any) -> str:
    """Empty the write-ahead log, write the file anew, and empty the log again."""
    import sqlite3

    try:
        driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        driver.execute("VACUUM")
        busy = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    except sqlite3.OperationalError as error:
        return f"not written anew: {error}; run it again"
    return "its write-ahead log could not be emptied, since somebody reads it; run it again" if busy else ""


def _on_begin(connection: Connection) -> None:
    """Begin for writing where the caller said so, for reading otherwise."""
    if not connection.get_execution_options().get("dmmgov_write"):
        connection.exec_driver_sql("BEGIN")
    elif not _begun(connection.connection.dbapi_connection):
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # which says why not


def _begun(connection: Any) -> bool:
    """Take the writer's lock, asking often: SQLite's own waiting sleeps ever longer while the lock lies free."""
    import sqlite3

    deadline = time.monotonic() + BUSY_S
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        while time.monotonic() < deadline:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):
                    return False
                time.sleep(random.uniform(0.5, 1.5) * PAUSE_S)
            else:
                return True
        return False
    finally:
        connection.execute(f"PRAGMA busy_timeout = {int(1000 * BUSY_S)}")
