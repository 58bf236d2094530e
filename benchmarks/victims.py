"""Kills writers at named points and at random moments, lets the next run repair, and reports what it found.

    python -m benchmarks.victims FOLDER

prints one JSON object. Everything is imported once and each writer is a
fork, so that a kill costs a fraction of a second.
"""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from benchmarks.copies import copied, home_at
from pipelines import rollback as moves
from pipelines.auditing.integrity import verify_home
from pipelines.publish import FeedRecord, ReleaseDraft, publish, recover
from pipelines.releasing.tracking import mlflow_client
from registry.artifacts import store, verify
from registry.facts import FactEvent, FactStore, read_snapshot
from registry.feeds import FeedStore
from registry.home import Home
from registry.ledger import Ledger
from registry.records import Fact, Release
from registry.releases import ReleaseStore

Work = Callable[[], Any]
Run = Callable[[Home, Callable[[str], None]], Work]

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
RANDOM_KILLS = 6
SECOND = 2


class Found:
    """What a rebuilt model is to a rollback: something with a digest."""

    def __init__(self, digest: str) -> None:
        """With this digest."""
        self.digest = digest


def rebuilt(home: Home, release: Release, **_: Any) -> Found:
    """A model as it was recorded, without loading one."""
    return Found(release.weights_digest)


def draft(home: Home, number: int) -> ReleaseDraft:
    """The draft of release `number`: one delta, one new fact, and the end of the one before."""

    def delta(folder: Path) -> None:
        (folder / "delta.json").write_text(json.dumps({"number": number}))

    index = home.root.parent / f"index-{number}"
    index.mkdir(exist_ok=True)
    (index / "ids.json").write_text(json.dumps([number]))
    facts = [Fact("France", "head", f"person {one}", date(2000 + one, 1, 1)) for one in range(number + 1)]
    events = [FactEvent(0, "assert", facts[number], None, AT, "rag", 0)]
    if number > 1:
        events.append(FactEvent(0, "close", facts[number - 1], date(2000 + number, 1, 1), AT, "rag", 0))
    return ReleaseDraft(
        parent=number - 1 or None,
        model="tiny",
        base_digest="b" * 64,
        deltas=tuple(store(home.deltas, delta).digest for _ in range(1)),
        weights_digest=f"{number}" * 64,
        events=tuple(events),
        index=index,
        actor="victim",
        feed=FeedRecord(f"{number}" * 64, "feed.csv", ({"row": 1, "decision": "ADD", "raw": "x"},)),
    )


def forked(work: Callable[[], Any], kill_after_s: float | None = None) -> tuple[int, Any]:
    """Run `work` in a fork; returns the signal that ended it (0 for none) and what it returned."""
    there, back = os.pipe()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.close(there)
        try:
            with os.fdopen(back, "w") as stream:
                json.dump(work(), stream)
            os._exit(0)
        except BaseException as error:
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            os._exit(1)
    os.close(back)
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        os.kill(child, signal.SIGKILL)
    with os.fdopen(there) as stream:
        told = stream.read()
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise RuntimeError("a writer failed instead of being killed")
    return (os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0), (json.loads(told) if told else None)


def killer(point: str) -> Callable[[str], None]:
    """A checkpoint that kills its own process at `point`."""

    def checkpoint(name: str) -> None:
        if name == point:
            os.kill(os.getpid(), signal.SIGKILL)

    return checkpoint


def publishing(home: Home, checkpoint: Callable[[str], None]) -> Callable[[], None]:
    """A run that repairs what it finds and publishes release 2 unless it is there."""

    def work() -> None:
        with Ledger.open(home) as ledger:
            recover(home, ledger, checkpoint=checkpoint)
            if len(ReleaseStore(ledger).all()) < SECOND:
                publish(home, ledger, draft(home, SECOND), AT, checkpoint=checkpoint)

    return work


def rolling_back(home: Home, checkpoint: Callable[[str], None]) -> Callable[[], None]:
    """A run that makes release 1 the champion again."""

    def work() -> None:
        moves.rollback(home, "1", "victim", checkpoint=checkpoint)

    return work


def half_published(home: Home) -> list[str]:
    """What a reader can see of a release that is not whole; nothing, if all is well."""
    problems = []
    with Ledger.open(home) as ledger:
        releases = ReleaseStore(ledger)
        for release in releases.all():
            for folder in (home.deltas / release.deltas[0], home.snapshots / release.facts_snapshot):
                problems += verify(folder)
            problems += verify(home.snapshots / release.index_snapshot)
            events = FactStore(ledger).events(releases.lineage(release.number))
            if events != read_snapshot(home.snapshots / release.facts_snapshot):
                problems.append(f"facts of release {release.number}")
            if not FeedStore(ledger).rows(release=release.number):
                problems.append(f"feed of release {release.number}")
        # Releases are read last: each read is a state of its own, and a writer may publish between two of them.
        champion, told = releases.alias("champion"), {event.release for event in FactStore(ledger).events()}
        known = {release.number for release in releases.all()}
        if told - known:
            problems.append("facts of a release that is not there")
        if champion not in known:
            problems.append("champion that is not there")
        problems += ledger.verify()
    return problems


def state(home: Home) -> dict[str, Any]:
    """Everything that must come out the same, however often a run was killed on the way."""
    with Ledger.open(home) as ledger:
        releases = ReleaseStore(ledger)
        with mlflow_client(home) as client:
            model = client.get_registered_model("dmm-gov-tiny")
            versions = client.search_model_versions("name='dmm-gov-tiny'")
            mlflow = {
                "aliases": {name: str(number) for name, number in sorted(model.aliases.items())},
                "releases": sorted(one.tags["dmmgov.release"] for one in versions),
            }
        kinds = [entry.kind for entry in ledger.entries() if entry.kind not in ("abandoned", "rolled_back", "promoted")]
        return {
            "releases": [replace(one, mlflow_version="").to_dict() for one in releases.all()],
            "aliases": {name: releases.alias(name) for name in ("challenger", "champion")},
            "facts": [event.to_dict() for event in FactStore(ledger).events()],
            "rows": FeedStore(ledger).rows(),
            "mlflow": mlflow,
            "kinds": kinds,
            "folders": sorted(
                str(path.relative_to(home.root)) for path in [*home.deltas.iterdir(), *home.snapshots.iterdir()]
            ),
            "versions": len(list((home.mlflow / "versions").iterdir())),
            "problems": verify_home(home, ledger),
        }


def watched(home: Home, work: Callable[[], None]) -> int:
    """Run `work` while a reader looks on; returns how often it looked."""
    stop = home.root / "stop"

    def look() -> int:
        looks = 0
        while not stop.exists():
            problems = half_published(home)
            if problems:
                raise AssertionError(problems)
            looks += 1
            time.sleep(0.01)
        return looks

    def both() -> int:
        writer = os.fork()
        if writer == 0:
            work()
            stop.touch()
            os._exit(0)
        looks = look()
        os.waitpid(writer, 0)
        stop.unlink()
        return looks

    return int(forked(both)[1])


@dataclass
class Trials:
    """Kills writers in copies of one home and keeps what came of it."""

    first: Home
    report: list[dict[str, Any]]

    def home_of(self, name: str) -> Home:
        """A copy of the first home."""
        return copied(self.first, name)

    def undisturbed(self, home: Home, run: Run) -> tuple[list[str], dict[str, Any]]:
        """The points that a run passes, and the state in which it ends."""
        names: list[str] = []

        def work() -> list[str]:
            run(home, names.append)()
            return names

        return forked(work)[1], forked(lambda: state(home))[1]

    def tried(self, home: Home, kills: Sequence[tuple[Work, float | None]], run: Run, wanted: dict[str, Any]) -> None:
        """Kill each run of `kills` in turn, let `run` repair, and compare."""
        signals = [forked(work, after)[0] for work, after in kills]
        half = half_published(home)

        def again() -> dict[str, Any]:
            run(home, calm)()
            return state(home)

        same = forked(again)[1] == wanted
        self.report.append({"name": home.root.parent.name, "signals": signals, "half": half, "same": same})


def calm(name: str) -> None:
    """A checkpoint that kills nobody."""


def main(root: Path) -> dict[str, Any]:
    """Kill, repair, compare."""
    vars(moves)["rebuild"] = rebuilt
    first = home_at(root / "first" / "home")
    with Ledger.open(first) as ledger:
        publish(first, ledger, draft(first, 1), AT)
    trials = Trials(first, [])
    moments = random.Random(7)
    main_home = trials.home_of("undisturbed")
    points, published = trials.undisturbed(main_home, publishing)
    move_points, rolled_back = trials.undisturbed(main_home, rolling_back)
    watched_home = trials.home_of("watched")
    looks = watched(watched_home, publishing(watched_home, calm))
    for point in points:
        home = trials.home_of(f"publish {point}")
        trials.tried(home, [(publishing(home, killer(point)), None)], publishing, published)
    for point in move_points:
        home = trials.home_of(f"rollback {point}")
        forked(publishing(home, calm))
        trials.tried(home, [(rolling_back(home, killer(point)), None)], rolling_back, rolled_back)
    for point in ("version written", "version created", "version recorded"):
        home = trials.home_of(f"recovery {point}")
        kills = [(publishing(home, killer(name)), None) for name in ("committed", point)]
        trials.tried(home, kills, publishing, published)
    for number in range(RANDOM_KILLS):
        home = trials.home_of(f"random {number}")
        trials.tried(home, [(publishing(home, calm), moments.uniform(0.005, 0.3))], publishing, published)
    return {"points": points, "move_points": move_points, "looks": looks, "report": trials.report, "clean": published}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]))))
