"""One byte of one file of a small home is changed, kind after kind; is it found, or does it not matter?"""

import os
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.small_home import made
from benchmarks.victims import AT, draft
from pipelines.auditing.integrity import verify_home
from pipelines.auditing.log_checks import NO_PINS, Pins
from pipelines.publish import publish
from registry.checkpoints import stamp
from registry.errors import DmmGovError
from registry.home import Home
from registry.keys import log_key
from registry.ledger import Ledger
from registry.notes import Checkpoint

GATE = {"guard": "retrieval", "decision": "pass", "explanation": "all are found", "scores": []}
HARMLESS = {
    "locks": "empty files whose presence alone counts",
    "shared memory of the ledger": "SQLite makes it anew from the write-ahead log",
    "users' keys": "private to their owners; the public part is in the log, and a damaged key signs nothing",
    "Prefect": "the flow's own bookkeeping; releases and requests trust the ledger alone",
    "what MLflow notes for itself": "times, the user of a version, the text on a model's page, which people edit, and"
    " rows of tables in which publishing writes nothing",
}
"""Files, and parts of MLflow's database, whose changes need not be found, and why."""
PUBLISHED = {
    "alembic_version": "*",
    "model_version_tags": "*",
    "model_versions": "name, version, description, current_stage, source, run_id, status, status_message, run_link,"
    " storage_location, workspace",
    "registered_model_aliases": "*",
    "registered_models": "name, workspace",
}
"""What publishing writes into MLflow's tables: columns by table."""


def kind_of(home: Home, path: Path) -> str:
    """The kind of a file of a home."""
    name, top = path.name, path.relative_to(home.root).parts[0]
    if name.endswith(".lock"):
        return "locks"
    if top == "prefect":
        return "Prefect"
    if top == "keys":
        return "the log's key" if name == "log.pem" else "users' keys"
    if top == "mlflow":
        return "MLflow's database" if name.startswith("mlflow.db") else "MLflow's artefacts"
    own = {"ledger.db": "the ledger's file", "ledger.db-wal": "the ledger's write-ahead log"}
    own["ledger.db-shm"] = "shared memory of the ledger"
    return own.get(name, top)


def rows(path: Path) -> list[str] | str:
    """Everything that matters and can be read out of a SQLite file, or why it cannot be read."""
    try:
        with sqlite3.connect(path) as connection:
            found = list(connection.iterdump())
            if path.name == "mlflow.db":
                found = [line for line in found if not line.startswith("INSERT INTO")]
                for table, columns in PUBLISHED.items():
                    every = connection.execute(f"SELECT {columns} FROM {table}")
                    found += [f"INSERT INTO {table} ({row})" for row in every]
        connection.close()
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        return str(error)
    return found


def differing(before: list[str] | str, after: list[str] | str) -> str:
    """The table whose rows differ, empty where none does."""
    lines = sorted(set(before) ^ set(after)) if isinstance(before, list) and isinstance(after, list) else ["unreadable"]
    return " ".join(lines[0].split("(")[0].split()[:3]) if lines else ""


def found_in(home: Home, pins: Pins = NO_PINS) -> bool:
    """Whether anything is found in a home, also where it cannot be opened any more."""
    try:
        return bool(verify_home(home, pins=pins))
    except DmmGovError:
        return True


def prepared(root: Path) -> Home:
    """A home of three releases, one of them certified, with a signed entry that lies in the write-ahead log alone."""
    home = made(root / "whole" / "home")
    with Ledger.open(home) as ledger:
        publish(home, ledger, draft(home, 2), AT)
        third = replace(draft(home, 3), deltas=(), gates=(GATE,))
        publish(home, ledger, replace(third, weights_digest=third.base_digest), AT)
    assert (home.certificates / "r3.yaml").is_file(), "the third release has all that a certificate needs"

    def late() -> None:
        ledger = Ledger.open(home)
        with ledger.transaction() as txn:
            ledger.append(txn, "tick", {"late": True}, "bench", AT)
        kept = stamp(home, ledger, AT)
        (root / "kept").write_text(str(kept))
        os._exit(0)  # the write-ahead log stays

    forked_quietly(late)
    return home


def changes(root: Path, count: int, seed: int, limit_s: float) -> dict[str, Any]:
    """Change one byte `count` times, the kinds of files in turn."""
    draw, begun = random.Random(seed), time.perf_counter()
    home = prepared(root)
    whole = {path: path.read_bytes() for path in sorted(home.root.rglob("*")) if path.is_file()}
    by_kind: dict[str, list[Path]] = {}
    for path, data in whole.items():
        if data:
            by_kind.setdefault(kind_of(home, path), []).append(path)
    databases = (home.root / "ledger.db", home.mlflow / "mlflow.db")
    kept, public = Pins(checkpoints=(Checkpoint.parse((root / "kept").read_text()),)), log_key(home).public
    plain = {path: rows(path) for path in databases}
    restore(home, whole)
    assert verify_home(home) == []
    tally: dict[str, Counter[str]] = {kind: Counter() for kind in by_kind}
    missed: Counter[str] = Counter()
    done = 0
    for number in range(count):
        if time.perf_counter() - begun > limit_s:
            break
        done += 1
        kind = list(by_kind)[number % len(by_kind)]
        restore(home, whole)
        path = draw.choice(by_kind[kind])
        changed = bytearray(whole[path])
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
        path.write_bytes(changed)
        table = ""
        if "db" in path.name:
            table = next(filter(None, (differing(plain[one], rows(one)) for one in databases)), "")
            restore(home, whole)
            path.write_bytes(changed)
        if found_in(home):
            fate = "found"
        else:
            harmless = kind in HARMLESS or ("db" in path.name and not table) or same_key(home, path, public)
            fate = "harmless" if harmless else "missed"
        if fate == "missed":
            restore(home, whole)
            path.write_bytes(changed)
            fate = "found by a kept checkpoint" if found_in(home, kept) else fate
        tally[kind][fate] += 1
        if fate == "missed":
            missed[f"{kind}: {table or path.name}"] += 1
    restore(home, whole)
    told = {"asked": count, "count": done, "seconds": round(time.perf_counter() - begun, 1)}
    kinds = {kind: {"files": len(by_kind[kind]), **tally[kind]} for kind in by_kind}
    return {**told, "kinds": kinds, "missed": dict(missed), "clean": verify_home(home)}


def same_key(home: Home, path: Path, public: str) -> bool:
    """Whether a changed file still holds the log's key."""
    return path == home.keys / "log.pem" and log_key(home).public == public


def forked_quietly(work: Callable[[], None]) -> None:
    """Run `work`, which ends its process itself, in a fork."""
    child = os.fork()
    if child == 0:
        work()
    os.waitpid(child, 0)


def restore(home: Home, whole: Mapping[Path, bytes]) -> None:
    """Put every byte back, and remove what has come since."""
    for path in extra(home, whole):
        path.unlink()
    for path, data in whole.items():
        if not path.is_file() or path.read_bytes() != data:
            path.write_bytes(data)


def extra(home: Home, whole: Mapping[Path, bytes]) -> Iterator[Path]:
    """Files that were not there."""
    return (path for path in list(home.root.rglob("*")) if path.is_file() and path not in whole)
