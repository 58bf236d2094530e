"""A copy of a home on which something can be tried: what is written to it, its original never sees.

The copy has the ledger's tables, the champion's deltas, base and index, and the caches; it shares the models, which
nothing changes. It is linked, not copied, where the file system allows that, since every file in question is replaced
as a whole and never written over.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from pipelines.settings import Settings
from pipelines.workplace import DEFAULT_MODEL, Workplace, standing_champion
from registry import tables
from registry.compactions import CompactionStore
from registry.home import Home
from registry.ledger import Ledger

BATCH = 5000


@contextmanager
def scratch_place(home: Home, actor: str, at: datetime) -> Iterator[Workplace]:
    """A workplace in a copy of `home`: nothing is repaired in it, and no checkpoint is signed of what is tried."""
    with scratch_copy(home) as copy, Ledger.open(copy) as ledger:
        parent = standing_champion(ledger)
        model = parent.model if parent is not None else DEFAULT_MODEL
        yield Workplace(copy, ledger, Settings.load(), model, actor, at, parent)


@contextmanager
def scratch_copy(home: Home) -> Iterator[Home]:
    """A copy of `home` inside the block; it is removed after it."""
    with tempfile.TemporaryDirectory(prefix="dmmgov-try-") as folder:
        copy = Home(Path(folder), f"sqlite:///{Path(folder) / 'ledger.db'}")
        with Ledger.open(home) as ledger:
            _copy_tables(ledger, copy)
            champion = standing_champion(ledger)
            whole = CompactionStore(ledger).expanded(champion) if champion is not None else None
        if champion is not None and whole is not None:
            for digest in whole.deltas:
                _link(home.deltas / digest, copy.deltas / digest)
            _link(home.snapshots / champion.index_snapshot, copy.snapshots / champion.index_snapshot)
        for source, target in ((home.beliefs, copy.beliefs), (home.moments, copy.moments), (home.bases, copy.bases)):
            _link(source, target)
        if home.lessons.is_file():
            shutil.copyfile(home.lessons, copy.lessons)
        home.models.mkdir(parents=True, exist_ok=True)
        copy.models.symlink_to(home.models, target_is_directory=True)
        yield copy


def _copy_tables(ledger: Ledger, copy: Home) -> None:
    """Every row of every table, but not what a writer has begun: that is the original's to end."""
    from sqlalchemy import insert, select

    with (
        Ledger.open(copy) as target,
        ledger.read() as connection,
        target.engine.execution_options(dmmgov_write=True).begin() as writing,
    ):
        for table in tables.metadata.sorted_tables:
            if table is tables.intents:
                continue
            rows = connection.execution_options(yield_per=BATCH).execute(select(table)).mappings()
            for part in rows.partitions(BATCH):
                writing.execute(insert(table), [dict(row) for row in part])


def _link(source: Path, target: Path) -> None:
    """Link a folder's files into a new one, or copy them where links are not to be had."""
    if source.is_dir():
        shutil.copytree(source, target, copy_function=_link_file)


def _link_file(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
