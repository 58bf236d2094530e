"""Every editor at several numbers of edits, in every mode, each in a process of its own with one thread.

    python -m benchmarks.editors --model DIR --data edits.jsonl [--editors memit rome] [--n 1 10 50 200] [--minutes 40]

Calls `dmmgov bench edits` for one cell after another, the smallest first, and keeps the figures in
results/editors.json; a cell that has its figures for this model, data and seed is not run again, so that a run can be
cut off at any time and goes on later. `report.py` makes the tables and curves of RESULTS.md from that file.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "editors":
    # A script of this folder was run by its path, so that this file hides the package of that name: stand aside.
    sys.path = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).resolve().parent]
    del sys.modules["editors"]

from editors import EDITORS
from registry.digests import digest_file

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "editors.json"
MODES = ("batch", "sequential", "single")
LISTS = ("edits", "failures", "config")
"""What is not kept of a run: every answer, every failure, and the numbers that `conf` holds."""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


@dataclass(frozen=True)
class Cell:
    """One run.

    Attributes:
        editor: name of the editor.
        mode: "batch", "sequential" or "single".
        n: how many edits.
        group: edits per fit of a sequence.
        config: YAML file of the editor's numbers; that in `conf` where none is named.
    """

    editor: str
    mode: str
    n: int
    group: int = 1
    config: Path | None = None

    def matches(self, figures: Mapping[str, Any]) -> bool:
        """Whether figures are those of this cell."""
        return (figures["editor"], figures["mode"], figures["n_asked"]) == (self.editor, self.mode, self.n) and (
            self.mode != "sequential" or figures["group"] == min(self.group, figures["n"])
        )

    def command(self, model: str, data: Path, seed: int, out: Path) -> list[str]:
        """What runs it."""
        options = {
            "editor": self.editor,
            "model": model,
            "data": str(data),
            "format": "edits",
            "n": str(self.n),
            "mode": self.mode,
            "seed": str(seed),
            "out": str(out),
        }
        if self.mode == "sequential":
            options["group"] = str(self.group)
        if self.config is not None:
            options["config"] = str(self.config)
        flat = [text for name, value in options.items() for text in (f"--{name}", value)]
        return [sys.executable, "-c", "from pipelines.cli import main; main()", "bench", "edits", *flat]


def grid(
    editors: Sequence[str], counts: Sequence[int], modes: Sequence[str], group: int = 1, config: Path | None = None
) -> Iterator[Cell]:
    """The cells, the smallest first; one edit is written in one way only."""
    for n in sorted(counts):
        for mode in modes:
            if n > 1 or mode == modes[0]:
                yield from (Cell(editor, mode, n, group, config) for editor in editors)


def read(path: Path) -> list[dict[str, Any]]:
    """The figures that are kept."""
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    return found


def keep(path: Path, cells: Sequence[Mapping[str, Any]]) -> None:
    """Write the figures in a fixed order."""
    keep_json(path, sorted(cells, key=lambda cell: (cell["editor"], cell["mode"], cell["n_asked"], cell["group"])))


def keep_json(path: Path, content: Any) -> None:
    """Write JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}.part")
    staged.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    staged.replace(path)


def is_done(cell: Cell, kept: Sequence[Mapping[str, Any]], data: str, seed: int) -> bool:
    """Whether the figures of a cell are there, for this data and seed."""
    return any(
        cell.matches(figures) and figures["digests"]["data"] == data and figures["seed"] == seed for figures in kept
    )


def run(cell: Cell, model: str, data: Path, seed: int, work: Path, limit_s: float) -> dict[str, Any] | str:
    """Run one cell; its figures, or why there are none."""
    out = work / f"{cell.editor}-{cell.mode}-{cell.n}-{cell.group}.json"
    try:
        done = subprocess.run(
            cell.command(model, data, seed, out),
            env={**os.environ, **ONE_THREAD},
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"took more than {limit_s / 60:.0f} minutes"
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()
        return f"exit status {done.returncode}: {lines[-1]}"
    figures = json.loads(out.read_text(encoding="utf-8"))
    # A folder of this machine says nothing elsewhere; the digests do.
    figures |= {name: Path(figures[name]).name for name in ("model", "data")}
    return {name: value for name, value in figures.items() if name not in LISTS}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing; 0 when all cells have figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.editors", description="Score every editor.")
    parser.add_argument("--model", required=True, help="short name or folder")
    parser.add_argument("--data", type=Path, required=True, help="edits, as benchmarks/draw.py makes them")
    parser.add_argument("--editors", nargs="+", default=sorted(EDITORS))
    parser.add_argument("--n", type=int, nargs="+", default=[1, 10, 50, 200])
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--group", type=int, default=1, help="edits per fit of a sequence")
    parser.add_argument("--config", type=Path, help="YAML file of numbers instead of conf/EDITOR.yaml")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=40, help="no cell is begun after so many")
    parser.add_argument("--cell-minutes", type=float, default=15, help="a cell that takes longer is given up")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--work", type=Path, default=Path(".bench"), help="where every answer goes")
    given = parser.parse_args(arguments)
    given.work.mkdir(parents=True, exist_ok=True)
    data, started, missing = digest_file(given.data), time.monotonic(), []
    for cell in grid(given.editors, given.n, given.modes, given.group, given.config):
        if is_done(cell, read(given.results), data, given.seed):
            continue
        if time.monotonic() - started > 60 * given.minutes:
            missing.append(f"{cell}: no time was left")
            continue
        found = run(cell, given.model, given.data, given.seed, given.work, 60 * given.cell_minutes)
        if isinstance(found, str):
            missing.append(f"{cell}: {found}")
            continue
        others = [kept for kept in read(given.results) if not cell.matches(kept)]
        keep(given.results, [*others, found])
        sys.stdout.write(f"{cell}: efficacy {found['efficacy']['mean']}, {found['cpu_seconds_per_edit']:.2f} s\n")
        sys.stdout.flush()
    sys.stdout.writelines(f"left out: {reason}\n" for reason in missing)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
