"""What admission takes: CPU and wall seconds, and memory, for a feed of 100,000 rows; and what consensus adds to it.

    python -m benchmarks.admission_speed [--rows N] [--known N] [--repeat N]

The feed is made: countries of invented names, each capital said by three independent established sources, who agree; of
the first `--known` the capital is known. Each measurement is a process of its own, so that its peak of memory is its
own. Figures go to results/admission_speed.json.
"""

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

HERE = Path(__file__).resolve().parent
CATALOGUE = HERE.parent / "examples" / "atlas" / "relations.yaml"
AT = datetime(2026, 3, 1, tzinfo=UTC)
SOURCES, VOICES, SYLLABLES = 60, 3, [f"{one}{two}" for one in "bcdfghjklmnprstvwz" for two in "aeiouy"]
HEAD = ("subject", "relation", "object", "valid_from", "source", "source_url", "observed_at")
MODES: Mapping[str, tuple[str, ...]] = {"whole": (), "without consensus": ("consensus",)}


def _name(draw: Random) -> str:
    return "".join(draw.choices(SYLLABLES, k=5)).capitalize()


def subjects(count: int, seed: int) -> list[tuple[str, str]]:
    """Invented countries with their capitals."""
    draw, found = Random(seed), dict[str, str]()
    while len(found) < count:
        found.setdefault(_name(draw), _name(draw))
    return list(found.items())


def voices(seed: int) -> list[str]:
    """Invented names of sources."""
    draw, found = Random(seed + 2), dict[str, None]()
    while len(found) < SOURCES:
        found[_name(draw)] = None
    return list(found)


def write_feed(path: Path, rows: int, seed: int) -> None:
    """A feed in which every capital is said by three sources."""
    draw, names = Random(seed + 1), voices(seed)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(HEAD)
        for row, (land, city) in enumerate(each for each in subjects(rows // VOICES + 1, seed) for _ in range(VOICES)):
            if row == rows:
                return
            voice = names[(row % VOICES) * (SOURCES // VOICES) + draw.randrange(SOURCES // VOICES)]
            link = f"https://{voice.lower()}.example/{land.lower()}"
            writer.writerow([land, "capital", city, "2024-01-01", voice, link, "2024-02-01"])


def measure_one(path: Path, known: int, seed: int, skipped: Sequence[str]) -> dict[str, Any]:
    """Read and admit the feed once, in this process."""
    from guards.admission import AdmissionPolicy
    from guards.sources import Source, Sources
    from pipelines.admission.expectations import import_quietly
    from pipelines.admission.feed import read_feed
    from pipelines.admit import admit
    from registry.catalogue import Catalogue
    from registry.records import Fact, KnownFact

    import_quietly()
    catalogue = Catalogue.read(CATALOGUE)
    sources = Sources.of(Source(name, "established", (f"{name.lower()}.example",)) for name in voices(seed))
    facts = [
        KnownFact(Fact(land, "capital", city, date(2020, 1, 1), source=voices(seed)[0]), "rag", 1)
        for land, city in subjects(known, seed)
    ]
    policy = AdmissionPolicy(skipped=tuple(skipped))
    wall, cpu = time.perf_counter(), time.process_time()
    feed = read_feed(path)
    read_cpu = time.process_time() - cpu
    found = admit(feed, facts, catalogue, policy, AT, sources)
    return {
        "wall_s": time.perf_counter() - wall,
        "cpu_s": time.process_time() - cpu,
        "read_cpu_s": read_cpu,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "counts": found.counts(),
    }


def measure(rows: int, known: int, repeat: int, seed: int) -> dict[str, Any]:
    """Each mode `repeat` times, one after the other, each in a process of its own."""
    found: dict[str, list[dict[str, Any]]] = {mode: [] for mode in MODES}
    with TemporaryDirectory(prefix="dmmgov-speed-") as folder:
        path = Path(folder) / "feed.csv"
        write_feed(path, rows, seed)
        for _ in range(repeat):
            for mode, skipped in MODES.items():
                command = [sys.executable, "-m", "benchmarks.admission_speed", "--child", str(path)]
                command += ["--known", str(known), "--seed", str(seed), *(("--skip", *skipped) if skipped else ())]
                done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=HERE.parent)
                found[mode].append(json.loads(done.stdout.splitlines()[-1]))
    keys = ("wall_s", "cpu_s", "read_cpu_s", "peak_mb")
    modes: dict[str, dict[str, Any]] = {
        mode: {
            **{key: round(median(run[key] for run in runs), 2) for key in keys},
            "cpu_s_of_each": [round(run["cpu_s"], 2) for run in runs],
            "counts": runs[0]["counts"],
        }
        for mode, runs in found.items()
    }
    whole, without = (modes[mode]["cpu_s"] for mode in MODES)
    return {
        **{"rows": rows, "known": known, "seed": seed, "cores": os.cpu_count(), "modes": modes},
        "consensus_adds": round(whole / without - 1, 4),
    }


def section(found: Mapping[str, Any]) -> str:
    """The table of RESULTS.md."""
    head = "| | CPU s | of these reading | wall s | peak MB |\n| --- | --- | --- | --- | --- |"
    body = "\n".join(
        f"| {mode} | {one['cpu_s']:.1f} | {one['read_cpu_s']:.1f} | {one['wall_s']:.1f} | {one['peak_mb']:.0f} |"
        for mode, one in found["modes"].items()
    )
    return (
        f"{found['rows']:,} rows, {found['known']:,} facts known, seed {found['seed']}, {found['cores']} cores (shared"
        f" with other work), medians of {len(found['modes']['whole']['cpu_s_of_each'])} runs, one process each."
        f" Consensus adds {100 * found['consensus_adds']:.0f} % of CPU time where rows agree.\n\n{head}\n{body}"
    )


def main() -> None:
    """Measure and write results/admission_speed.json."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--known", type=int, default=8_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--skip", nargs="*", default=[], help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "admission_speed.json")
    args = parser.parse_args()
    if args.child:
        sys.stdout.write(f"{json.dumps(measure_one(args.child, args.known, args.seed, args.skip))}\n")
        return
    found = measure(args.rows, args.known, args.repeat, args.seed)
    args.out.write_text(f"{json.dumps(found, indent=1)}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
