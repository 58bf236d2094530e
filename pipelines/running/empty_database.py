"""Prefect's empty database, migrated once per machine and version: a new home begins with a copy.

Prefect makes a database by a hundred migrations, which takes longer than all the rest of its start. What is kept lies
outside of every home, in the cache folder (DMMGOV_CACHE, else `dmmgov` in the user's cache); it holds no run. A file
that somebody else could have written is not taken, nor one that is damaged: Prefect then migrates as ever.
"""

import os
import shutil
import sqlite3
import stat
from contextlib import closing, suppress
from importlib.metadata import version
from pathlib import Path

CACHE_VARIABLE = "DMMGOV_CACHE"
NAME = "prefect.db"


def cache_folder() -> Path:
    """Where this user's machine-wide leftovers lie; nothing is lost with them."""
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dmmgov"


def _kept() -> Path:
    """The empty database of the installed version of Prefect."""
    return cache_folder() / f"prefect-{version('prefect')}.db"


def begin(folder: Path) -> bool:
    """Put a copy of the empty database into Prefect's folder if it has none; whether that was done.

    Args:
        folder: Prefect's folder, in which nobody else starts a server now.
    """
    kept, target = _kept(), folder / NAME
    if target.exists() or not _is_ours(kept):
        return False
    copy = folder / f"{NAME}.new"
    try:
        shutil.copyfile(kept, copy)
        if not _is_sound(copy):
            return False
        copy.rename(target)
    except OSError:
        return False
    finally:
        copy.unlink(missing_ok=True)
    return True


def keep(folder: Path) -> None:
    """Keep the database of Prefect's folder for the next home; it must be fresh from its migrations.

    What hinders it (a cache that may not be written, a full disk) only costs the next home its time.
    """
    kept = _kept()
    made = kept.with_name(f"{kept.name}.{os.getpid()}")
    with suppress(OSError, sqlite3.Error):
        kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            with closing(sqlite3.connect(folder / NAME)) as source, closing(sqlite3.connect(made)) as target:
                source.backup(target)
            made.chmod(0o600)
            made.replace(kept)
        finally:
            made.unlink(missing_ok=True)


def _is_ours(path: Path) -> bool:
    """Whether it is a file that only this user can write."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022


def _is_sound(path: Path) -> bool:
    """Whether it is a database that migrations have made."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            checked = connection.execute("PRAGMA quick_check").fetchone()[0]
            return checked == "ok" and bool(connection.execute("SELECT count(*) FROM alembic_version").fetchone()[0])
    except sqlite3.Error:
        return False
