"""What the log costs: appending by several processes, verifying 100,000 entries, proofs, and a bundle.

    python -m benchmarks.ledger [--out benchmarks/results/ledger.json] [--entries N] [--appends N] [--writers N]

Appending is one entry a transaction, everything included: the lock, reading the log's head, the entry, the new head,
and a commit that is on the disk. It is measured on SQLite, and on Postgres where DMMGOV_LEDGER_URL names one or its
tools are installed (a server of its own, with fsync, over a socket). Verifying is `audit verify` without loading a
model, on a made home of that many facts.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

HERE = Path(__file__).resolve().parent
CATALOGUE = HERE.parent / "examples" / "atlas" / "relations.yaml"
AIMS = {"append_per_s": 150, "verify_s": 20}
NAMES = {"sqlite": "SQLite", "postgres": "Postgres"}
PROOFS, ROUNDS = 1000, 3
WRITER = """
import json, sys, time
from datetime import UTC, datetime
from pathlib import Path
from registry.home import Home
from registry.ledger import Ledger
root, name, count, start = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
took = []
with Ledger.open(Home.at(root)) as ledger:
    ledger.head()
    time.sleep(max(0.0, start - time.time()))
    begun = time.time()
    for number in range(count):
        before = time.perf_counter()
        with ledger.transaction() as txn:
            payload = {"fact": f"{number:064x}", "memory": "rag", "reason": "few stable facts", "writer": name}
            ledger.append(txn, "routed", payload, name, datetime.now(UTC))
        took.append(time.perf_counter() - before)
print(json.dumps({"begun": begun, "ended": time.time(), "took": took}))
"""


def flush_ms(folder: Path) -> float:
    """Median milliseconds of one small write that is flushed to the disk: no commit can be quicker."""
    took = []
    with (folder / "flushed").open("wb") as out:
        for _ in range(100):
            before = time.perf_counter()
            out.write(b"x" * 4096)
            out.flush()
            os.fsync(out.fileno())
            took.append(time.perf_counter() - before)
    return round(1000 * median(took), 2)


def rounds(root: Path, writers: int, appends: int, url: str | None = None) -> dict[str, Any]:
    """The median one of several rounds of `append_speed`, with the speed of each."""
    found = [append_speed(root, writers, appends, url) for _ in range(ROUNDS)]
    middle = sorted(found, key=lambda one: one["per_s"])[ROUNDS // 2]
    return {**middle, "per_s_of_each": [one["per_s"] for one in found]}


def append_speed(root: Path, writers: int, appends: int, url: str | None = None) -> dict[str, Any]:
    """Entries per second of several processes on one log, one entry a transaction."""
    from registry.home import Home
    from registry.ledger import Ledger

    home = Home.at(root) if url is None else Home(root, url)
    with Ledger.open(home) as ledger:
        before = ledger.head().size
    environment = {**os.environ, **({"DMMGOV_LEDGER_URL": url} if url else {})}
    if url is None:
        environment.pop("DMMGOV_LEDGER_URL", None)
    start = str(time.time() + 1.5 + 0.5 * writers)
    command = [sys.executable, "-c", WRITER, str(root)]
    runs = [
        subprocess.Popen(
            [*command, f"w{number}", str(appends), start],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=HERE.parent,
        )
        for number in range(writers)
    ]
    said = [json.loads(run.communicate(timeout=600)[0]) for run in runs]
    wall = max(one["ended"] for one in said) - min(one["begun"] for one in said)
    took = sorted(seconds for one in said for seconds in one["took"])
    with Ledger.open(home) as ledger:
        assert ledger.head().size == before + writers * appends
        assert ledger.verify() == []
    return {
        "writers": writers,
        "appends": writers * appends,
        "per_s": round(writers * appends / wall, 1),
        "median_ms": round(1000 * median(took), 2),
        "p99_ms": round(1000 * took[int(0.99 * (len(took) - 1))], 1),
    }


@contextmanager
def postgres() -> Iterator[str | None]:
    """URL of a database to measure on: the one that is named, one of a server started here, or None."""
    named = os.environ.get("DMMGOV_LEDGER_URL", "")
    if named.startswith("postgresql"):
        yield named
        return
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    tools = found[-1].parent if found else None
    if tools is None:
        yield None
        return
    with TemporaryDirectory(prefix="dmmgov-pg-") as name:
        user: dict[str, Any] = {}
        if os.geteuid() == 0:  # the superuser may not run a server
            import pwd

            entry = pwd.getpwnam("nobody")
            user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": ()}
            os.chown(name, entry.pw_uid, entry.pw_gid)
        where = ["-D", f"{name}/data"]
        more = {"check": True, "capture_output": True, "cwd": name, **user}
        subprocess.run([tools / "initdb", *where, "-A", "trust", "-U", "dmmgov", "-E", "UTF8", "--locale=C"], **more)
        options = f"-c listen_addresses= -k {name}"
        subprocess.run([tools / "pg_ctl", *where, "-w", "-l", f"{name}/log", "-o", options, "start"], **more)
        try:
            yield f"postgresql://dmmgov@/postgres?host={name}"
        finally:
            subprocess.run([tools / "pg_ctl", *where, "-w", "-m", "fast", "stop"], **more)


def verify_speed(root: Path, entries: int) -> tuple[dict[str, Any], Any]:
    """Seconds of checking a home with that many entries, and the home."""
    from benchmarks.made_home import made_home
    from pipelines.auditing.integrity import verify_home
    from pipelines.auditing.log_checks import log_problems
    from registry.catalogue import Catalogue
    from registry.checkpoints import stamp
    from registry.home import Home
    from registry.ledger import Ledger

    home = Home(root, f"sqlite:///{root / 'ledger.db'}")
    made_home(home, Catalogue.read(CATALOGUE), entries)
    with Ledger.open(home) as ledger:
        stamp(home, ledger, datetime.now(UTC))
        size = ledger.head().size
        log, cpu, problems = _timed(lambda: list(log_problems(ledger)))
        assert problems == []
        whole, whole_cpu, found = _timed(lambda: verify_home(home, ledger))
        unforeseen = [one for one in found if "i" * 64 not in one]  # a made home has no index
        assert unforeseen == [], unforeseen[:3]
    figures = {"entries": size, "log_s": log, "log_cpu_s": cpu, "whole_s": whole, "whole_cpu_s": whole_cpu}
    return {**figures, "database_mb": round((root / "ledger.db").stat().st_size / 1e6, 1)}, home


def proof_speed(home: Any, seed: int) -> dict[str, Any]:
    """Making and checking proofs at the size of the home's log."""
    from registry.ledger import Ledger
    from registry.proofs import Tree, check_consistency, check_inclusion

    with Ledger.open(home) as ledger:
        leaves = [bytes.fromhex(one.leaf) for one in ledger.entries()]
    build, _, tree = _timed(lambda: Tree.of(leaves))
    size, root, draw = tree.size, tree.root(), Random(seed)
    places = [draw.randrange(1, size) for _ in range(min(PROOFS, size - 1))]
    roots = {place: tree.root(place) for place in places}
    made_in, _, inclusion = _timed(lambda: [tree.inclusion(place) for place in places])
    made_co, _, consistency = _timed(lambda: [tree.consistency(place) for place in places])

    def included() -> None:
        for place, proof in zip(places, inclusion, strict=True):
            check_inclusion(leaves[place], place, size, proof, root)

    def consistent() -> None:
        for place, proof in zip(places, consistency, strict=True):
            check_consistency(place, size, proof, roots[place], root)

    each = 1e6 / len(places)
    return {
        "tree_s": build,
        "inclusion_made_us": round(each * made_in, 1),
        "inclusion_checked_us": round(each * _timed(included)[0], 1),
        "consistency_made_us": round(each * made_co, 1),
        "consistency_checked_us": round(each * _timed(consistent)[0], 1),
        "hashes": max(len(proof) for proof in [*inclusion, *consistency]),
    }


def bundle_speed(home: Any, folder: Path) -> dict[str, Any]:
    """Seconds of writing a bundle and of checking it alone, and its bytes."""
    from pipelines.auditing.bundle import export_bundle

    written, _, made = _timed(lambda: export_bundle(home, folder, "bench", deltas=False))
    command = [sys.executable, "-I", str(folder / "verify.py"), "--key", made.key, str(folder)]
    checked, _, run = _timed(lambda: subprocess.run(command, capture_output=True, text=True, check=False))
    assert run.returncode == 0, run.stdout
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    packed = shutil.make_archive(str(folder), "gztar", folder)
    return {
        "entries": made.entries,
        "written_s": written,
        "checked_s": checked,
        "bytes_per_entry": round(size / made.entries),
        "mb": round(size / 1e6, 1),
        "packed_mb": round(Path(packed).stat().st_size / 1e6, 1),
    }


def _timed(work: Any) -> tuple[float, float, Any]:
    """Wall and CPU seconds of `work`, and what it gave."""
    wall, cpu = time.perf_counter(), time.process_time()
    value = work()
    return round(time.perf_counter() - wall, 4), round(time.process_time() - cpu, 4), value


def measure(entries: int, writers: int, appends: int, seed: int) -> dict[str, Any]:
    """All figures."""
    with TemporaryDirectory(prefix="dmmgov-ledger-") as name:
        root = Path(name)
        flushed = flush_ms(root)
        sqlite = rounds(root / "sqlite", writers, appends)
        with postgres() as url:
            other = None if url is None else rounds(root / "postgres", writers, appends, url)
        verify, home = verify_speed(root / "made", entries)
        proofs = proof_speed(home, seed)
        bundle = bundle_speed(home, root / "bundle")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures = {"append": {"sqlite": sqlite, "postgres": other}, "verify": verify, "proofs": proofs, "bundle": bundle}
    where = {"cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1), "flush_ms": flushed, "seed": seed}
    return {**where, "aims": AIMS, **figures, "peak_mb": round(peak)}


def section(found: Mapping[str, Any]) -> str:
    """The table of RESULTS.md."""
    verify, proofs, bundle, aims = (found[name] for name in ("verify", "proofs", "bundle", "aims"))
    rows = []
    for name, one in found["append"].items():
        if one is None:
            rows.append((f"append on {NAMES[name]}", "not measured: no server was there", ""))
            continue
        words = f"append on {NAMES[name]}, {one['writers']} processes, one entry a transaction"
        each = ", ".join(f"{speed:.0f}" for speed in one["per_s_of_each"])
        figure = f"{one['per_s']:.0f} entries/s (rounds: {each}; median {one['median_ms']} ms, p99 {one['p99_ms']} ms)"
        rows.append((words, figure, f"at least {aims['append_per_s']}/s" if name == "sqlite" else ""))
    size = f"{verify['entries']:,} entries"
    rows += [
        (f"`audit verify --no-rebuild`, {size}", f"{verify['whole_s']:.1f} s", f"at most {aims['verify_s']} s"),
        ("of it the log, its checkpoints and signatures", f"{verify['log_s']:.1f} s", ""),
        (f"tree over {size} from their hashes", f"{proofs['tree_s']:.2f} s", ""),
        ("inclusion proof, made / checked", _pair(proofs, "inclusion"), ""),
        ("consistency proof, made / checked", _pair(proofs, "consistency"), ""),
        ("longest proof", f"{proofs['hashes']} hashes ({32 * proofs['hashes']} bytes)", ""),
        ("bundle without deltas, written", f"{bundle['written_s']:.1f} s", ""),
        ("the same checked alone by its script", f"{bundle['checked_s']:.1f} s", ""),
        ("its size", f"{bundle['mb']} MB ({bundle['bytes_per_entry']} bytes an entry)", ""),
        ("its size, packed", f"{bundle['packed_mb']} MB", ""),
    ]
    body = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    where = (
        f"{found['cores']} cores shared with other work (load {found['load']}), peak {found['peak_mb']} MB; one flushed"
        f" write of 4 KB to this disk takes {found['flush_ms']} ms. `python -m benchmarks.ledger`"
    )
    return f"### The log\n\n{where}\n\n| | measured | aim |\n| --- | --- | --- |\n{body}"


def _pair(proofs: Mapping[str, Any], kind: str) -> str:
    """Microseconds of making and checking."""
    return f"{proofs[f'{kind}_made_us']:.0f} / {proofs[f'{kind}_checked_us']:.0f} µs"


def main() -> None:
    """Measure and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument("--appends", type=int, default=250, help="of each writer")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "ledger.json")
    args = parser.parse_args()
    found = measure(args.entries, args.writers, args.appends, args.seed)
    args.out.write_text(f"{json.dumps(found, indent=1)}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
