"""Real commands killed, with a tiny random model: those that take facts out, carry a request out, merge and prune.

Each runs in a fork through the command line's own entry, and is killed (SIGKILL) at a named point or at a random
instant of its time. Then the same command is given again, as a person would, and the home must be what an undisturbed
command makes of it: releases with all their digests, facts, aliases, and each act in the log once.
"""

import logging
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, tzinfo
from functools import partial
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any, Self

import pipelines
from benchmarks.copies import copied, entered, removed
from benchmarks.tiny_home import AT, CHAD, NAURU, one_more, tiny_home
from benchmarks.victims import calm, forked, killer
from pipelines import publish as publishing
from pipelines.auditing.integrity import verify_home
from pipelines.auditing.rotation import rotate_key
from pipelines.cli import run
from pipelines.forgetting import forget as forgetting
from pipelines.loop import warm_up
from pipelines.releasing import recovery
from pipelines.releasing.compact import compact
from pipelines.releasing.prune import prune
from pipelines.releasing.tracking import mlflow_client, model_name
from registry.checkpoints import log_keys
from registry.facts import FactStore
from registry.home import Home
from registry.ledger import Ledger
from registry.releases import ReleaseStore

COMMANDS: Mapping[str, tuple[str, ...]] = {
    "dmmgov releases compact": ("releases", "compact", "champion", "--as", "erin"),
    "dmmgov releases prune": ("releases", "prune", "--keep-last", "1", "--min-days", "0", "--remove", "--as", "erin"),
    "dmmgov audit rotate-key": ("audit", "rotate-key", "--as", "erin"),
    "dmmgov forget": ("forget", NAURU.id, "--reason", "asked for", "--as", "erin"),
    "dmmgov revoke": ("revoke", CHAD.id, "--reason", "misread", "--as", "erin"),
    "dmmgov request approve": ("request", "approve", "1", "--as", "bob", "--only", "rag"),
}
"""What is killed."""
AGAIN: Mapping[str, tuple[str, ...]] = {
    "dmmgov request approve": ("request", "run", "1", "--only", "rag", "--as", "bob")
}
"""What is given next where the first command has been acknowledged in part."""
PREPARED: Mapping[str, Callable[[Home], None]] = {"dmmgov releases prune": one_more}
"""What is done to the home before, once."""
DONE: Mapping[str, Callable[[Ledger], bool]] = {"dmmgov audit rotate-key": lambda ledger: len(log_keys(ledger)) > 1}
"""What is not given again where the log has it: each time it is given, it does something."""
ACTS = (
    *("published", "forgotten", "revoked", "compacted", "pruned", "log_key"),
    *("user_added", "request_made", "request_approved", "request_executed"),
)
"""Kinds of entries of which there must be as many as without a kill."""
APART = frozenset({"serving", "console", "commands", "standalone"})
"""Modules that are run, not imported, or that draw."""
OURS = ("editors", "guards", "pipelines", "registry")


class Stopped(datetime):
    """A clock that stands still, so that two runs make the same bytes."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        """The one moment."""
        return cls.fromtimestamp(AT.timestamp(), tz)


def stop_clock() -> None:
    """Let every module of ours look at the clock that stands still; those that come later would not."""
    for found in walk_packages(pipelines.__path__, "pipelines."):
        if not found.ispkg and not APART & set(found.name.split(".")):
            import_module(found.name)
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] in OURS and vars(module).get("datetime") is datetime:
            vars(module)["datetime"] = Stopped


@contextmanager
def silent() -> Iterator[None]:
    """Nothing is said to the terminal."""
    sys.stdout.flush()
    kept = [os.dup(1), os.dup(2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for stream in (1, 2):
            os.dup2(nowhere, stream)
        yield
        sys.stdout.flush()
    finally:
        for stream, before in zip((1, 2), kept, strict=True):
            os.dup2(before, stream)


def command(home: Home, words: tuple[str, ...], checkpoint: Callable[[str], None]) -> Callable[[], int]:
    """A command of the command line whose checkpoints are `checkpoint`'s; returns its exit code."""

    def work() -> int:
        entered(home)
        for function in (publishing.publish, recovery.recover, forgetting.forget, compact, prune, rotate_key):
            function.__kwdefaults__ = {**(function.__kwdefaults__ or {}), "checkpoint": checkpoint}
        with silent():
            return run(["--home", str(home.root), *words])

    return work


def state(home: Home) -> dict[str, Any]:
    """Everything that must come out the same, however often a command was killed on the way.

    What nobody holds is swept first, as the next writing command does: an undisturbed one leaves such folders too.
    """
    with Ledger.open(home) as ledger:
        recovery.recover(home, ledger, checkpoint=calm)
        releases = ReleaseStore(ledger)
        every = releases.all()
        with mlflow_client(home) as client:
            aliases = dict(client.get_registered_model(model_name(every[0].model)).aliases)
        bodies = [one.to_dict() for one in every]
        for body in bodies:
            for name in ("summary", "gates", "mlflow_version"):  # they hold how long it took
                del body[name]
        kinds = Counter(entry.kind for entry in ledger.entries())
        return {
            "releases": bodies,
            "aliases": {name: releases.alias(name) for name in ("challenger", "champion")},
            "mlflow": {name: client_number == str(releases.alias(name)) for name, client_number in aliases.items()},
            "facts": [event.to_dict() for event in FactStore(ledger).events()],
            "acts": {kind: kinds[kind] for kind in ACTS},
            "folders": sorted(path.name for root in held(home) if root.is_dir() for path in root.iterdir()),
            "keys": sorted(path.name for path in home.keys.iterdir()),
            "problems": verify_home(home, ledger),
        }


def held(home: Home) -> tuple[Path, ...]:
    """Where the folders lie that releases hold."""
    return home.deltas, home.snapshots, home.bases


def leaves(home: Home) -> list[str]:
    """The log's leaves."""
    with Ledger.open(home) as ledger:
        return [entry.leaf for entry in ledger.entries()]


def given_again(home: Home, name: str) -> Callable[[], list[Any]]:
    """Give the command again until it says that it is done, and look."""

    def work() -> list[Any]:
        with Ledger.open(home) as ledger:
            done = name in DONE and DONE[name](ledger)
        codes = [] if done else [command(home, COMMANDS[name], calm)()]
        if name in AGAIN and codes[0]:
            codes.append(command(home, AGAIN[name], calm)())
        return [codes, state(home), leaves(home)]

    return work


def before(home: Home, work: Callable[[Home], None]) -> None:
    """Do what is done to a home before it is copied."""
    entered(home)
    work(home)


def prepared(first: Home) -> dict[str, Home]:
    """The home that each command begins with."""
    homes = dict.fromkeys(COMMANDS, first)
    for name, work in PREPARED.items():
        homes[name] = home = copied(first, f"before {name}")
        forked(partial(before, home, work))
    return homes


def undisturbed(first: Home, name: str) -> tuple[list[str], float, dict[str, Any]]:
    """The points that a command passes, its seconds, and the state in which it ends."""
    home, points = copied(first, f"calm {name}"), list[str]()

    def work() -> list[Any]:
        begun = time.perf_counter()
        code = command(home, COMMANDS[name], points.append)()
        return [code, points, time.perf_counter() - begun, state(home)]

    code, passed, seconds, wanted = forked(work)[1]
    if code not in (0, 1):
        raise RuntimeError(f"{name} ended with code {code} though nobody killed it")
    return list(dict.fromkeys(passed)), seconds, wanted


def command_kills(root: Path, count: int, seed: int, limit_s: float) -> dict[str, Any]:
    """Kill `count` commands in turn, every other one at a named point; fewer when time is over."""
    import torch

    torch.set_num_threads(1)
    draw, first = random.Random(seed), tiny_home(root)
    warm_up()
    stop_clock()
    homes = prepared(first)
    known = {name: undisturbed(homes[name], name) for name in COMMANDS}
    figures = {name: Counter[str]() for name in COMMANDS}
    bad: list[dict[str, Any]] = []
    begun, done = time.perf_counter(), 0
    for number in range(count):
        if time.perf_counter() - begun > limit_s:
            break
        done += 1
        name, turn = list(COMMANDS)[number % len(COMMANDS)], number // len(COMMANDS)
        points, seconds, wanted = known[name]
        point = points[turn // 2 % len(points)] if turn % 2 == 0 else None
        after = None if point else draw.uniform(0.0, seconds)
        home = copied(homes[name], str(number))
        signal, _ = forked(command(home, COMMANDS[name], killer(point) if point else calm), after)
        logged = forked(partial(leaves, home))[1]
        codes, found, now = forked(given_again(home, name))[1]
        kept, same = now[: len(logged)] == logged, found == wanted
        one = {"tries": True, "named" if point else "random": True, "killed": signal, "same": same and kept}
        figures[name].update([key for key, value in one.items() if value])
        if not (same and kept):
            differs = [key for key in wanted if found[key] != wanted[key]]
            bad.append({"operation": name, "point": point, "after_s": after, "codes": codes, "differs": differs})
        logging.getLogger(__name__).info("%s, %s, %s: %s", name, point, after, dict(one, codes=codes))
        removed(home)
    seconds = round(time.perf_counter() - begun, 1)
    told = {name: dict(one) for name, one in figures.items()}
    points_of = {name: len(points) for name, (points, _, _) in known.items()}
    clean = {name: wanted["problems"] for name, (_, _, wanted) in known.items()}
    counts = {"asked": count, "count": done, "seconds": seconds, "points": points_of}
    return {**counts, "operations": told, "bad": bad, "clean": clean}
