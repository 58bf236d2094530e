"""Kills and changed bytes: what a killed writer leaves, and what `audit verify` finds of a byte that was changed.

    python -m benchmarks.faults [--kills N] [--commands K] [--changes M] [--out benchmarks/results/faults.json]

Kills: a writer is killed (SIGKILL) at a named point or at a random instant; the next run repairs and goes on, and must
end where an undisturbed one ends. No model is loaded: of a revocation and of a request that is carried out it is the
writing end, as of an update. Commands: real ones, with a tiny random model (`benchmarks.killed_commands`). Changes: one
byte of one file of a small home, kind after kind; it is found, or the file is one of those that do not matter, or
nothing that can be read out of it has changed. A part that is not asked for (0) is left in the figures as it was.

With DMMGOV_TEST_LEDGER_URL the kills and the commands run on that Postgres server, and stand in the figures beside
those on SQLite; changes are of files, and are left out.
"""

import argparse
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.changed_bytes import changes
from benchmarks.copies import removed, server, swept
from benchmarks.killed_commands import command_kills
from benchmarks.small_home import made
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
from pipelines.publish import publish, recover
from pipelines.requests.asking import decide
from pipelines.requests.mandate import Mandate
from pipelines.settings import Settings
from registry.approvals import Approvals
from registry.facts import FactEvent
from registry.home import Home
from registry.ledger import Ledger
from registry.releases import ReleaseStore

HERE = Path(__file__).resolve().parent
LONGEST_S = 0.3
POSTGRES = " on Postgres"


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
        removed(home)
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


def main() -> None:
    """Kill, change, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--commands", type=int, default=120)
    parser.add_argument("--changes", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--limit-s", type=float, default=3600, help="of each part; what was done until then is kept")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "faults.json")
    args = parser.parse_args()
    found: dict[str, Any] = {}
    parts = (("kills", kills), ("commands", command_kills), ("changes", changes))
    for name, measure in parts if not server() else parts[:2]:
        if count := vars(args)[name]:
            with TemporaryDirectory(prefix="dmmgov-faults-") as folder:
                key = f"{name}{POSTGRES if server() else ''}"
                try:
                    found[key] = measure(Path(folder), count, args.seed, args.limit_s)
                finally:
                    swept(Path(folder))
    before = json.loads(args.out.read_text(encoding="utf-8")) if args.out.is_file() else {}
    args.out.write_text(f"{json.dumps({**before, **found}, indent=1)}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
