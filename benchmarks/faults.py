"""Kills and changed bytes: what a killed writer leaves, and what `audit verify` finds of a byte that was changed.

    python -m benchmarks.faults [--kills N] [--changes M] [--out benchmarks/results/faults.json]

Kills: a writer is killed (SIGKILL) at a named point or at a random instant; the next run repairs and goes on, and must
end where an undisturbed one ends. No model is loaded: of a revocation and of a request that is carried out it is the
writing end, as of an update. Changes: one byte of one file of a small home, kind after kind; it is found, or the file
is one of those that do not matter, or nothing that can be read out of it has changed. A part that is not asked for
(0) is left in the figures as it was.
"""

import argparse
import json
import os
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.victims import (
    AT,
    Run,
    Trials,
    calm,
    draft,
    forked,
    half_published,
    killer,
    publishing,
    rebuilt,
    rolling_back,
    state,
)
from pipelines import rollback as moves
from pipelines.asked import content_of
from pipelines.integrity import verify_home
from pipelines.log_checks import NO_PINS, Pins
from pipelines.mandate import Mandate
from pipelines.people import add_user
from pipelines.publish import publish, recover
from pipelines.requests import add_request, decide
from pipelines.settings import Settings
from registry.approvals import Approvals
from registry.checkpoints import stamp
from registry.errors import DmmGovError
from registry.facts import FactEvent
from registry.home import Home
from registry.keys import log_key
from registry.ledger import Ledger
from registry.notes import Checkpoint
from registry.releases import ReleaseStore

HERE = Path(__file__).resolve().parent
ROW = {"subject": "Chad", "relation": "currency", "object": "Central African CFA franc", "source": "a letter"}
LONGEST_S = 0.3
HARMLESS = {
    "locks": "empty files whose presence alone counts",
    "shared memory of the ledger": "SQLite makes it anew from the write-ahead log",
    "users' keys": "private to their owners; the public part is in the log, and a damaged key signs nothing",
    "Prefect": "the flow's own bookkeeping; releases and requests trust the ledger alone",
}
"""Kinds of files whose changes need not be found, and why."""


def made(root: Path) -> Home:
    """A small home with people, an approved need, a model, a cache, and one release."""
    home = Home.at(root)
    os.environ["DMMGOV_PASSPHRASE"] = "correct horse"
    for folder, name in ((home.models / "tiny", "model.safetensors"), (home.beliefs, "b.json")):
        folder.mkdir(parents=True)
        (folder / name).write_text(json.dumps({name: list(range(40))}))
    (root / "prefect").mkdir()
    (root / "prefect" / "server.log").write_text("started\n")
    add_user(home, "ann", ["admin", "requester"], at=AT)
    add_user(home, "bob", ["approver"], by="ann", at=AT)
    add_request(home, content_of("facts", "it was missing", rows=[ROW]), by="ann", at=AT)
    with Ledger.open(home) as ledger:
        publish(home, ledger, draft(home, 1), AT)
    return home


def approving(home: Home, checkpoint: Callable[[str], None]) -> Callable[[], None]:
    """A run that approves the request and carries it out, each unless that is done."""

    def work() -> None:
        with Ledger.open(home) as ledger:
            recover(home, ledger, checkpoint=checkpoint)
            told = Approvals.read(ledger).state(1, AT)
        if told == "open":
            decide(home, 1, "approve", by="bob", at=AT)
        if told != "executed":
            checkpoint("approved")
            with Ledger.open(home) as ledger:
                mandate = Mandate.take(ledger, 1, Settings.load(), AT)
                entries = (mandate.executed(2, "published"),)
                told_of = {"request": mandate.to_dict()}
                wanted = replace(draft(home, 2), entries=entries, summary=told_of, check=mandate.check)
                publish(home, ledger, wanted, AT, checkpoint=checkpoint)

    return work


def revoking(home: Home, checkpoint: Callable[[str], None]) -> Callable[[], None]:
    """A run that takes the fact of release 1 back, unless it is gone."""

    def work() -> None:
        with Ledger.open(home) as ledger:
            recover(home, ledger, checkpoint=checkpoint)
            if len(ReleaseStore(ledger).all()) == 1:
                first = draft(home, 1)
                gone = FactEvent(0, "retract", first.events[0].fact, None, AT, "rag", 0)
                payload = {"facts": [gone.fact.id], "reason": "misread"}
                wanted = replace(draft(home, 2), events=(gone,), entries=(("revoked", payload),))
                publish(home, ledger, wanted, AT, checkpoint=checkpoint)

    return work


def promoting(home: Home, checkpoint: Callable[[str], None]) -> Callable[[], None]:
    """A run that makes release 1 the champion and the challenger."""

    def work() -> None:
        moves.promote(home, "1", "victim", checkpoint=checkpoint)

    return work


OPERATIONS: Mapping[str, tuple[Run, bool]] = {
    "update": (publishing, False),
    "request approve": (approving, False),
    "revoke": (revoking, False),
    "promote": (promoting, True),
    "rollback": (rolling_back, True),
}
"""What is killed, and whether it begins with two releases."""


def kills(root: Path, count: int, seed: int, limit_s: float) -> dict[str, Any]:
    """Kill `count` writers, one operation after another, half of them at named points; fewer when time is over."""
    vars(moves)["rebuild"] = rebuilt
    draw, begun = random.Random(seed), time.perf_counter()
    first = made(root / "first" / "home")
    trials = Trials(first, [])
    second = trials.home_of("second")
    forked(publishing(second, calm))
    two = Trials(second, [])
    known = {}
    for name, (run, later) in OPERATIONS.items():
        known[name] = (two if later else trials).undisturbed((two if later else trials).home_of(f"calm {name}"), run)
    figures = {name: Counter[str]() for name in OPERATIONS}
    bad = []
    done = 0
    for number in range(count):
        if time.perf_counter() - begun > limit_s:
            break
        done += 1
        name = list(OPERATIONS)[number % len(OPERATIONS)]
        run, later = OPERATIONS[name]
        points, wanted = known[name]
        home = (two if later else trials).home_of(f"{number}")
        turn = number // len(OPERATIONS)
        point = points[turn // 2 % len(points)] if turn % 2 == 0 else None
        after = None if point else draw.uniform(0.002, LONGEST_S)
        ended = killed(home, run, point, after, wanted)
        figures[name].update(["tries", "named" if point else "random", *(key for key, value in ended.items() if value)])
        if ended["half"] or not ended["same"]:
            bad.append({"operation": name, "point": point, "after_s": after})
        clear(home)
    return {
        "asked": count,
        "count": done,
        "seconds": round(time.perf_counter() - begun, 1),
        "operations": {name: dict(one) for name, one in figures.items()},
        "bad": bad,
    }


def killed(home: Home, run: Run, point: str | None, after: float | None, wanted: Mapping[str, Any]) -> dict[str, bool]:
    """Kill one writer, look, let the next one go on; what came of it."""
    signal, _ = forked(run(home, killer(point) if point else calm), after)
    before = forked(lambda: leaves(home))[1]
    half = forked(lambda: half_published(home))[1]

    def again() -> list[Any]:
        run(home, calm)()
        return [state(home), leaves(home)]

    after_state, now = forked(again)[1]
    kept = now[: len(before)] == before
    return {"killed": bool(signal), "half": bool(half), "same": after_state == wanted and kept}


def leaves(home: Home) -> list[str]:
    """The log's leaves."""
    with Ledger.open(home) as ledger:
        return [entry.leaf for entry in ledger.entries()]


def clear(home: Home) -> None:
    """Remove a home that is done with."""
    import shutil

    shutil.rmtree(home.root.parent)


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
    """Everything that can be read out of a SQLite file, or why it cannot be read."""
    try:
        with sqlite3.connect(path) as connection:
            found = list(connection.iterdump())
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


def changes(root: Path, count: int, seed: int, limit_s: float) -> dict[str, Any]:
    """Change one byte `count` times, the kinds of files in turn."""
    draw, begun = random.Random(seed), time.perf_counter()
    home = made(root / "whole" / "home")
    with Ledger.open(home) as ledger:
        publish(home, ledger, draft(home, 2), AT)

    def late() -> None:
        ledger = Ledger.open(home)
        with ledger.transaction() as txn:
            ledger.append(txn, "tick", {"late": True}, "bench", AT)
        kept = stamp(home, ledger, AT)
        (root / "kept").write_text(str(kept))
        os._exit(0)  # the write-ahead log stays

    forked_quietly(late)
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
        table = (
            next(filter(None, (differing(plain[one], rows(one)) for one in databases)), "") if "db" in path.name else ""
        )
        if "db" in path.name:
            restore(home, whole)
            path.write_bytes(changed)
        if found_in(home):
            fate = "found"
        elif kind in HARMLESS or ("db" in path.name and not table) or same_key(home, path, public):
            fate = "harmless"
        else:
            restore(home, whole)
            path.write_bytes(changed)
            fate = "found by a kept checkpoint" if found_in(home, kept) else "missed"
        tally[kind][fate] += 1
        if fate == "missed":
            missed[f"{kind}: {table or path.name}"] += 1
    restore(home, whole)
    seconds = round(time.perf_counter() - begun, 1)
    kinds = {kind: {"files": len(by_kind[kind]), **tally[kind]} for kind in by_kind}
    told = {"asked": count, "count": done, "seconds": seconds}
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


def main() -> None:
    """Kill, change, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--changes", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--limit-s", type=float, default=3600, help="of each part; what was done until then is kept")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "faults.json")
    args = parser.parse_args()
    found: dict[str, Any] = {}
    for name, measure, count in (("kills", kills, args.kills), ("changes", changes, args.changes)):
        if count:
            with TemporaryDirectory(prefix="dmmgov-faults-") as folder:
                found[name] = measure(Path(folder), count, args.seed, args.limit_s)
    before = json.loads(args.out.read_text(encoding="utf-8")) if args.out.is_file() else {}
    args.out.write_text(f"{json.dumps({**before, **found}, indent=1)}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
