"""What moving between releases takes: rollback, taking one fact out of a batch, room on disk, and one approved request.

    python -m benchmarks.moves --home HOME

HOME is one that `dmmgov demo` has left; a copy of it is used. Rollback and the fact that is taken out run in this
process, everything imported, so that the model's loading can be told apart. The request is the one of the README, each
command a process of its own as a person gives them. Figures go to results/moves.json.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from registry.errors import DmmGovError
from registry.home import HOME_VARIABLE, Home
from registry.ledger import Ledger
from registry.records import Release
from registry.releases import ReleaseStore

HERE = Path(__file__).resolve().parent
COMMANDS = """\
users add ann --role admin --role requester
users add bob --role approver --as ann
request add NBA reigning_champion "Oklahoma City Thunder" --valid-from 2025-06-22 \
--source "a letter to the editor" --reason "the feed missed the final" --as ann
request dry-run 1 --quick --as ann
request approve 1 --quick --as bob
ask "Who is the reigning champion of the NBA?"
request show 1
revoke 6e40f65e763b --reason "the letter was a joke"
ask "Who is the reigning champion of the NBA?"
"""
RUNS = 3


def main() -> None:
    """Measure and save; see the head of this module."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.moves", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="a home that the demo has left")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "moves.json")
    args = parser.parse_args()
    load = os.getloadavg()[0]
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        manual, moved = (Path(folder) / name for name in ("manual", "moved"))
        shutil.copytree(args.home, manual, symlinks=True)
        commands = list(asked_and_approved(manual))
        shutil.copytree(args.home, moved, symlinks=True)
        found = {"commands": commands, **rolled_back(Home.at(moved)), **taken_out(Home.at(moved))}
    found |= {"cores": os.cpu_count(), "load_before": load}
    args.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def asked_and_approved(home: Path) -> Iterator[dict[str, Any]]:
    """Every command of the manual path with its wall seconds.

    Raises:
        DmmGovError: one of them fails.
    """
    environment = {**os.environ, HOME_VARIABLE: str(home), "DMMGOV_PASSPHRASE": "a long one of a bench"}
    for line in COMMANDS.splitlines():
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", "from pipelines.cli import main; main()", *shlex.split(line)],
            env=environment,
            capture_output=True,
            text=True,
            cwd=HERE.parent,
        )
        if done.returncode:
            raise DmmGovError(f"{line}: exit {done.returncode}: {done.stderr.strip()[-300:]}")
        yield {"command": line, "seconds": time.perf_counter() - began}


def rolled_back(home: Home) -> dict[str, Any]:
    """Seconds of a rollback and of loading the model alone, the least of a few turns."""
    from editors.load import load_model
    from pipelines.releasing.bases import base_place
    from pipelines.rollback import promote, rollback

    champion = _champion(home)
    assert champion.parent is not None, "the demo leaves two releases"
    loading, moving = [], []
    for _ in range(RUNS):
        began = time.perf_counter()
        load_model(base_place(home, champion), device="cpu")
        loading.append(time.perf_counter() - began)
        moving.append(rollback(home, str(champion.parent), "bench").seconds)
        promote(home, str(champion.number), "bench")
    return {"rollback": min(moving), "load": min(loading)}


def taken_out(home: Home) -> dict[str, Any]:
    """Seconds of taking one fact out of the weights, against those of its batch, and what its release takes on disk."""
    from pipelines.releasing.revoke import revoke
    from registry.facts import read_snapshot, view

    champion = _champion(home)
    held = [item for item in view(read_snapshot(home.snapshots / champion.facts_snapshot)) if item.memory != "rag"]
    weights = sum(file.stat().st_size for file in (home.models / champion.model).glob("*.safetensors"))
    brought = {
        "delta": sum(_size(home.deltas / digest) for digest in champion.deltas),
        "snapshots": _size(home.snapshots / champion.facts_snapshot) + _size(home.snapshots / champion.index_snapshot),
    }
    result = revoke(home, [held[0].fact.id], actor="bench", reason="a bench")
    return {
        "in_weights": len(held),
        "bytes": brought,
        "checkpoint": weights,
        "batch": dict(champion.summary["seconds"]),
        "revoke": dict(result.seconds),
    }


def _champion(home: Home) -> Release:
    """The release that stands."""
    with Ledger.open(home) as ledger:
        return ReleaseStore(ledger).get("champion")


def _size(folder: Path) -> int:
    """Bytes of the files of a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def section(found: Mapping[str, Any]) -> str:
    """The section of RESULTS.md."""
    batch, taken, count = found["batch"], found["revoke"], found["in_weights"]
    loading, moved = found["load"], found["rollback"] - found["load"]
    checkpoint, each = found["checkpoint"], found["bytes"]["delta"] / count
    gates = sum(taken.values())
    whole = batch["write"] + batch["guard"]
    path = sum(one["seconds"] for one in found["commands"])
    room = f"{each / 1e3:.0f} kB of {checkpoint / 1e6:.0f} MB, with {count} facts in the delta"
    kept = found["bytes"]["snapshots"]
    hundred = (100 * each + kept) / checkpoint
    rows = (
        ("rollback beyond loading the model", f"{moved:.2f} s ({loading:.2f} s of loading)", "1 s"),
        (
            "taking one fact out of its batch",
            f"{taken['take out']:.2f} s",
            f"1/20 of the batch's {batch['write']:.0f} s",
        ),
        ("the same with its gates and publishing", f"{gates:.1f} s, where the batch took {whole:.0f} s", ""),
        ("the delta of one fact", room, ""),
        ("snapshots of all facts and of the index", f"{kept / 1e3:.0f} kB", ""),
        ("a release of 100 facts at that rate, with its snapshots", f"{hundred:.2%} of the checkpoint", "1 %"),
        ("one request, from the first user to its revocation", f"{path:.0f} s", "120 s"),
    )
    lines = ["| | measured | at most |", "| --- | --- | --- |", *(f"| {' | '.join(row)} |" for row in rows)]
    lines += ["", "| command of the request | s |", "| --- | --- |"]
    lines += [f"| `dmmgov {_short(one['command'])}` | {one['seconds']:.1f} |" for one in found["commands"]]
    where = f"{found['cores']} cores, load {found['load_before']:.1f}"
    return f"### Moves between releases\n\n`python -m benchmarks.moves --home HOME`; {where}.\n\n" + "\n".join(lines)


def _short(command: str) -> str:
    """A command without its options and what it is about."""
    words = shlex.split(command.split(" --")[0])
    return " ".join(words[:3] if words[0] in ("users", "request") else words[:1])


if __name__ == "__main__":
    main()
