"""Memory and time of one training step on a long sequence: the ordinary loss, gradient checkpointing, and in chunks.

    python -m benchmarks.streaming --model MODEL_FOLDER [--lengths 1024 2048 4096] [--budget 1500]

Every cell is a process of its own: a forward and a backward pass over random tokens with all weights trained. Memory is
the peak of the resident set (on CUDA of torch's allocator) above that of the loaded model, so that it holds the
gradients of the weights too; time is CPU time of the process (on CUDA wall time), the least of `--runs` that take
turns. After the table, each way's longest sequence within `--budget` MB is looked for. Cells that are in the results
already are not run again.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results" / "streaming.json"
WAYS = ("ordinary", "checkpoint", "chunks")
STEP = 128
"""Lengths looked at are multiples of this."""
CLOSE = 0.04
"""The search ends when what fits and what does not are this close, relative to what fits."""
MB = 2**20


def resident(name: str) -> float:
    """Resident set of this process in MB: "VmRSS" now, "VmHWM" at its highest."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition(f"{name}:")[2].split()[0]) / 1024


def cell(options: argparse.Namespace) -> dict[str, Any]:
    """One step in this process; run it once per process."""
    import torch

    from editors.load import load_model
    from editors.streaming import streaming_loss

    loaded = load_model(options.model, device=options.device)
    model = loaded.model.train().requires_grad_(True)
    device = next(model.parameters()).device
    cuda = device.type == "cuda"
    drawn = torch.randint(0, model.config.vocab_size, (1, options.length), generator=torch.Generator().manual_seed(0))
    ids = drawn.to(device)
    if options.way == "checkpoint":
        model.activation_checkpointing_enable({"use_reentrant": False})
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()  # a file's pages come and go
    if cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forgets what loading took
    base = torch.cuda.memory_allocated() / MB if cuda else resident("VmRSS")
    clock = time.perf_counter if cuda else time.process_time
    began = clock()
    if options.way == "chunks":
        loss = streaming_loss(model, ids, ids, chunk=options.chunk)
    else:
        loss = model(input_ids=ids, labels=ids, use_cache=False).loss
    value = float(loss.detach())
    middle = clock()
    loss.backward()  # type: ignore[no-untyped-call]
    if cuda:
        torch.cuda.synchronize()
    ended = clock()
    peak = torch.cuda.max_memory_allocated() / MB if cuda else resident("VmHWM")
    gradients = [parameter.grad for parameter in model.parameters()]
    return {
        "way": options.way,
        "length": options.length,
        "chunk": options.chunk if options.way == "chunks" else 0,
        "runs": 1,
        "mb": round(peak - base, 1),
        "gradients_mb": round(sum(g.numel() * g.element_size() for g in gradients if g is not None) / MB, 1),
        "forward_s": round(middle - began, 2),
        "backward_s": round(ended - middle, 2),
        "loss": value,
        "gradient_norm": float(torch.stack([g.double().norm() for g in gradients if g is not None]).norm()),
        "model": loaded.digest,
        "device": torch.cuda.get_device_name(device) if cuda else "CPU",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def seconds(found: dict[str, Any]) -> float:
    """Time of a whole step."""
    return float(found["forward_s"] + found["backward_s"])


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Two runs of one cell: the faster one's figures, the larger one's memory."""
    faster = one if seconds(one) <= seconds(other) else other
    return faster | {"runs": one["runs"] + other["runs"], "mb": max(one["mb"], other["mb"])}


class Runs:
    """Cells that have been run, kept in a file."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Go on from the file of an earlier call, if there is one."""
        self.options = options
        known = json.loads(options.out.read_text(encoding="utf-8")) if options.out.is_file() else {}
        self.report: dict[str, Any] = {"command": "", "cells": [], "budget_mb": 0, "longest": {}} | known

    def get(self, way: str, length: int, runs: int = 1) -> dict[str, Any]:
        """The figures of one cell: the least time and the most memory of `runs` processes, those that are missing."""
        chunk = self.options.chunk if way == "chunks" else 0
        cells: list[dict[str, Any]] = self.report["cells"]
        same = [cell for cell in cells if (cell["way"], cell["length"], cell["chunk"]) == (way, length, chunk)]
        while not same or same[0]["runs"] < runs:
            command = [sys.executable, "-m", "benchmarks.streaming", "--cell", "--way", way, "--length", str(length)]
            command += ["--model", str(self.options.model), "--chunk", str(chunk), "--device", self.options.device]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found = json.loads(done.stdout.splitlines()[-1])
            sys.stderr.write(f"{way} {length}: {found['mb']} MB, {seconds(found):.1f} s\n")
            if same:
                found = merged(same[0], found)
                cells.remove(same[0])
            cells.append(found)
            same = [found]
            self.save()
        return dict(same[0])

    def longest(self, way: str, budget: float) -> int:
        """The longest sequence whose step fits into `budget` MB, to within CLOSE, or the longest looked at."""
        fits, fails = self.get(way, 4 * STEP), self.get(way, 8 * STEP)
        while fails["mb"] <= budget:
            if fails["length"] >= self.options.most:
                return int(fails["length"])
            slope = max((fails["mb"] - fits["mb"]) / (fails["length"] - fits["length"]), 1e-3)
            reach = fails["length"] + (budget - fails["mb"]) / slope
            reach = min(max(reach * (1 + CLOSE / 2), fails["length"] + STEP), 4 * fails["length"])
            fits, fails = fails, self.get(way, min(int(reach) // STEP * STEP + STEP, self.options.most))
        if fits["mb"] > budget:
            return 0
        while fails["length"] - fits["length"] > max(STEP, CLOSE * fits["length"]):
            share = (budget - fits["mb"]) / (fails["mb"] - fits["mb"])
            guess = fits["length"] + min(max(share, 0.1), 0.9) * (fails["length"] - fits["length"])
            length = min(max(round(guess / STEP) * STEP, fits["length"] + STEP), fails["length"] - STEP)
            tried = self.get(way, length)
            fits, fails = (tried, fails) if tried["mb"] <= budget else (fits, tried)
        return int(fits["length"])

    def save(self) -> None:
        """Write the file."""
        self.options.out.parent.mkdir(parents=True, exist_ok=True)
        self.options.out.write_text(json.dumps(self.report, indent=1) + "\n", encoding="utf-8")


def table(report: dict[str, Any]) -> str:
    """The lengths that were run in every way, and the longest sequences, as Markdown."""
    cells = {(found["way"], found["length"]): found for found in report["cells"]}
    lines = ["| tokens | way | MB | s | against checkpointing |", "| ---: | --- | ---: | ---: | ---: |"]
    for length in sorted(
        {length for way, length in cells if {("checkpoint", length), ("chunks", length)} <= set(cells)}
    ):
        usual = cells["checkpoint", length]
        for way in WAYS:
            if (way, length) in cells:
                found = cells[way, length]
                ratio = (
                    f"{found['mb'] / usual['mb']:.2f} of the memory, {seconds(found) / seconds(usual):.2f} of the time"
                )
                lines.append(f"| {length} | {way} | {found['mb']:.0f} | {seconds(found):.1f} | {ratio} |")
    for way, length in report["longest"].items():
        lines.append(f"| {length} | {way}: the longest within {report['budget_mb']:g} MB | | | |")
    return "\n".join(lines)


def section(report: dict[str, Any]) -> str:
    """What was run, its table, and the factor in length."""
    longest = report["longest"]
    factor = ""
    if longest.get("checkpoint"):
        times = longest["chunks"] / longest["checkpoint"]
        least = "at least " if longest["chunks"] == report["most"] else ""
        factor = (
            f"\n\nIn the same memory chunks train sequences {least}{times:.2f} times as long as checkpointing does."
        )
    return f"`{report['command']}`\n\n{table(report)}{factor}"


def main() -> None:
    """Run the cells that are missing, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--lengths", type=int, nargs="*", default=[1024, 2048, 4096])
    parser.add_argument("--chunk", type=int, default=512)
    parser.add_argument("--runs", type=int, default=3, help="processes for each time in the table")
    parser.add_argument("--most", type=int, default=8192, help="longest sequence looked at, a multiple of 128")
    parser.add_argument("--budget", type=float, default=1500.0, help="MB above the loaded model")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--cell", action="store_true", help="run one cell in this process (--way, --length)")
    parser.add_argument("--way", choices=WAYS, default="chunks")
    parser.add_argument("--length", type=int, default=1024)
    options = parser.parse_args()
    if options.cell:
        sys.stdout.write(json.dumps(cell(options)) + "\n")
        return
    runs = Runs(options)
    for length in options.lengths:
        for turn in range(options.runs):
            for way in WAYS if turn == 0 else WAYS[1:]:
                runs.get(way, length, turn + 1)
    runs.report["command"] = (
        f"python -m benchmarks.streaming --model MODEL --lengths {' '.join(map(str, options.lengths))}"
    )
    runs.report["command"] += f" --chunk {options.chunk} --budget {options.budget:g} --most {options.most}"
    runs.report["most"] = options.most
    runs.report["budget_mb"] = options.budget
    for way in WAYS:
        runs.report["longest"][way] = runs.longest(way, options.budget)
        runs.save()
    sys.stdout.write(table(runs.report) + "\n")


if __name__ == "__main__":
    main()
