"""The freshness audit, measured: speed at 100,000 facts, the three settings, retention, position, order.

    python -m benchmarks.freshness --model DIR --part speed settings retention position order [--home HOME] [--out JSON]

Each part writes its own key of the results, so that parts can be run one by one. `settings` and `position` need a home
with at least two releases; without one, the atlas is taken in (facts, then its feed), which takes some minutes.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, is_dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from registry.home import Home

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "freshness.json"
SHARED = HERE.parents[1] / "shared" / "data"
ATLAS = HERE.parent / "examples" / "atlas"
FOUNDED, UPDATED = datetime(2024, 1, 1, 3, tzinfo=UTC), datetime(2026, 3, 1, 3, tzinfo=UTC)
TODAY = date(2026, 3, 2)


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description="Measure the freshness audit.")
    parser.add_argument("--part", nargs="+", choices=tuple(PARTS), default=list(PARTS))
    parser.add_argument("--model", help="folder of the model, for all parts but speed")
    parser.add_argument("--home", type=Path, help="home with two releases; made where it has none")
    parser.add_argument("--edits", type=Path, help="edits drawn by benchmarks/draw.py, for retention")
    parser.add_argument("--facts", type=int, default=100_000, help="facts of the made home, for speed")
    parser.add_argument("--questions", type=int, default=120, help="questions, for settings")
    parser.add_argument("--n", type=int, default=60, help="edits followed, and questions of a pile")
    parser.add_argument("--variant", nargs="+", choices=("shipped", "alone"), default=["shipped", "alone"])
    parser.add_argument("--group", type=int, default=10, help="edits per fit")
    parser.add_argument("--pairs", type=int, default=150, help="dated pairs, for order")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser.parse_args(given)


def speed(given: argparse.Namespace) -> dict[str, Any]:
    """Lag, staleness, schedule and replay of a made home, in wall and processor seconds."""
    from benchmarks.made_home import made_home
    from guards.forgetting import plan
    from pipelines.auditing.dated import dated
    from pipelines.auditing.replay import replay
    from pipelines.auditing.staleness import staleness
    from pipelines.outcome import peak_rss_mb
    from pipelines.settings import Settings
    from registry.ledger import Ledger
    from registry.releases import ReleaseStore

    catalogue, day = Settings.load().catalogue, date(2024, 6, 1)
    steps: dict[str, dict[str, float]] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        done = work()
        steps[name] = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
        return done

    with TemporaryDirectory() as folder:
        home = Home.at(Path(folder) / "home")
        timed("make the home", lambda: made_home(home, catalogue, given.facts, seed=given.seed))
        with Ledger.open(home) as ledger:
            release = ReleaseStore(ledger).get("champion")
            found = timed("lag and staleness", lambda: staleness(home, ledger, release, catalogue, day))
            due = timed("schedule", lambda: plan(found.histories, day))
            panel = timed("replay", lambda: replay(ledger, release))
            timed("dated facts", lambda: dated(home, ledger, release))
            rows = ledger.head().size
    return {
        "facts": given.facts,
        "ledger_entries": rows,
        "seconds": steps,
        "peak_rss_mb": peak_rss_mb(),
        "due": sum(one.due for one in due),
        "states": found.states,
        "lag": found.lags[0],
        "replay": panel,
    }


def settings_part(given: argparse.Namespace) -> dict[str, Any]:
    """The three settings on a home that was updated; offline is the snapshot before the update."""
    from guards.timeliness import TimelinessGuard
    from pipelines.auditing.timeliness import SETTINGS, ask_settings
    from pipelines.settings import Settings

    home = founded(given)
    run = ask_settings(home, Settings.load().catalogue, given.questions, TODAY, frozen=1, seed=given.seed)
    values = run.to_dict()
    values["verdicts"] = {name: TimelinessGuard().judge((run.measured, name)) for name in SETTINGS}
    return values


def founded(given: argparse.Namespace) -> Home:
    """The home with two releases; the atlas and its feed where there are none yet."""
    from pipelines.loop import run_update
    from registry.errors import InputError
    from registry.ledger import Ledger
    from registry.releases import ReleaseStore

    if given.home is None or given.model is None:
        raise InputError("--home and --model", "none", "name a folder for the home, and the model")
    home = Home.at(given.home)
    with Ledger.open(home) as ledger:
        releases = len(ReleaseStore(ledger).all())
    if releases < 1:
        run_update(home, ATLAS / "facts.csv", given.model, actor="bench", only=("rag",), at=FOUNDED)
    if releases < 2:
        run_update(home, ATLAS / "feed.csv", given.model, actor="bench", at=UPDATED)
    return home


def retention_part(given: argparse.Namespace) -> dict[str, Any]:
    """MEMIT in groups, one onto the other: what is recalled and recognised after later edits.

    The variant "alone" takes away what keeps an edit clear of earlier edits and of other names: the negative control.
    """
    from editors import get_editor
    from editors.load import load_model
    from guards.retention import retention
    from pipelines.auditing.recall import follow
    from pipelines.bench.formats import read_rows
    from pipelines.bench.moments import config_of, with_moments

    loaded = load_model(given.model, device="cpu")
    data = read_rows(given.edits, "edits", given.n, given.seed)
    home = Home.at(given.home) if given.home else Home.default()
    config, moments = with_moments(config_of("memit", given.seed), loaded, home, None)
    alone = replace(config, bystanders=replace(config.bystanders, weight=0.0, earlier=0.0))
    result: dict[str, Any] = {"editor": "memit", "n": len(data.rows), "group": given.group, "moments": moments}
    for name, numbers in (("shipped", config), ("alone", alone)):
        if name not in given.variant:
            continue
        started = time.process_time()
        followed = follow(loaded, get_editor("memit"), numbers, data.rows, given.group, seed=given.seed)
        abilities = {kind: retention(kind, checks).to_dict() for kind, checks in followed.checks.items()}
        result[name] = {"effects": followed.written, "cpu_s": time.process_time() - started, **abilities}
    return result


def position_part(given: argparse.Namespace) -> dict[str, Any]:
    """The supporting fact alone, and among others at three places."""
    from editors.load import load_model
    from guards.position import position_score
    from pipelines.admission.feed import read_feed
    from pipelines.auditing.piling import SIZES, draw_piles, readings
    from pipelines.settings import Settings
    from registry.records import Fact

    catalogue = Settings.load().catalogue
    table = read_feed(ATLAS / "facts.csv").table.select(["subject", "relation", "object"]).to_pylist()
    piles = draw_piles([Fact(**row) for row in table], catalogue, given.n, seed=given.seed)
    loaded = load_model(given.model, device="cpu")
    started = time.process_time()
    score = position_score(readings(loaded, piles, catalogue))
    relations = sorted({pile.fact.relation for pile in piles})
    about = {"n": len(piles), "sizes": SIZES, "relations": relations, "cpu_s": time.process_time() - started}
    return {**about, **score.to_dict()}


def order(given: argparse.Namespace) -> dict[str, Any]:
    """Which came first, by the record of the leader timeline and by the model."""
    from benchmarks.leaders import order_part
    from registry.errors import InputError

    path = SHARED / "temporal" / "leader_timeline_to_2023.jsonl"
    if not path.is_file():
        raise InputError("the leader timeline", str(path), "lay shared/ beside the repository, or leave this part out")
    loaded = None
    if given.model:
        from editors.load import load_model

        loaded = load_model(given.model, device="cpu")
    return order_part(path, given.pairs, given.seed, loaded)


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "speed": speed,
    "settings": settings_part,
    "retention": retention_part,
    "position": position_part,
    "order": order,
}


def plain(value: Any) -> Any:
    """`value` in JSON's types."""
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)


def main(given: Sequence[str] | None = None) -> None:
    """Run the parts and keep their figures."""
    chosen = arguments(given)
    kept = json.loads(chosen.out.read_text(encoding="utf-8")) if chosen.out.is_file() else {}
    for part in chosen.part:
        started = time.perf_counter()
        kept[part] = {"seed": chosen.seed, **PARTS[part](chosen), "wall_s": time.perf_counter() - started}
        text = json.dumps(kept, indent=1, default=plain, ensure_ascii=False, sort_keys=True)
        chosen.out.write_text(f"{text}\n", encoding="utf-8")
        sys.stdout.write(f"{part}: {kept[part]['wall_s']:.0f} s\n")


if __name__ == "__main__":
    main()
