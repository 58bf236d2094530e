"""What an edit costs in batches of several sizes: MEMIT's fits of one file of edits, and the prompts asked afterwards.

    python -m benchmarks.cost --model DIR --data edits.jsonl [--format knowedit] [--n 40 400]

Sizes are run in turn, `--runs` times, each fit in a process of its own; the least time of each counts. Time is CPU time
of the fit, moments read beforehand. Figures go to results/cost.json.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.editors import keep_json
from pipelines.bench.formats import read_rows
from registry.digests import digest_file

RESULTS = Path(__file__).resolve().parent / "results" / "cost.json"


def fit(given: argparse.Namespace) -> dict[str, Any]:
    """One fit in this process, and which of its prompts the edited model answers."""
    from editors.generate import generate
    from editors.load import load_model
    from editors.memit.editor import MemitEditor
    from pipelines.bench.moments import config_of, with_moments
    from registry.home import Home
    from registry.text import is_settled, starts_with_answer

    loaded = load_model(given.model, device="cpu")
    rows = read_rows(given.data, given.format, given.size, given.seed).rows
    config, _ = with_moments(config_of("memit", given.seed), loaded, Home.default(), None)
    requests = [row.request for row in rows]
    began = time.process_time()
    delta = MemitEditor().fit(loaded.model, loaded.tokenizer, requests, config)
    spent = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    answers = {request.prompt: request.answers for request in requests}
    with delta.applied(loaded.model):
        said = generate(
            loaded.model,
            loaded.tokenizer,
            list(answers),
            enough=lambda prompt, text: is_settled(text, answers[prompt]),
        )
    right = sum(starts_with_answer(one.text, answers[prompt]) for prompt, one in zip(answers, said, strict=True))
    return {
        "n": len(requests),
        "cpu_seconds_per_edit": spent / len(requests),
        "written": sum(effect.state == "written" for effect in delta.effects),
        "right": right,
        "prompts": len(answers),
        "peak_rss_mb": round(peak),
        "bytes_of_factors": sum(part.left.nbytes + part.right.nbytes + part.gram.nbytes for part in delta.layers),
        "model": loaded.digest,
    }


def section(found: dict[str, Any]) -> str:
    """The sizes as a Markdown table, each time beside that of the smallest."""
    from benchmarks.report import share, table
    from guards.stats import wilson

    first = found["sizes"][0]["cpu_seconds_per_edit"]
    body = []
    for size in found["sizes"]:
        right = wilson(size["right"], size["prompts"])
        body.append(
            [
                str(size["n"]),
                f"{size['cpu_seconds_per_edit']:.2f}",
                f"{size['cpu_seconds_per_edit'] / first:.2f}",
                share({"mean": right.value, "low": right.low, "high": right.high, "n": size["prompts"]}),
                f"{size['bytes_of_factors'] / size['n'] / 1000:.1f}",
                str(size["peak_rss_mb"]),
            ]
        )
    head = ["edits in a batch", "CPU s per edit", "of the smallest batch's", "prompts right", "kB per edit", "peak MB"]
    about = (
        f"MEMIT on {found['data']} ({found['digest'][:12]}), seed {found['seed']}; the least time of {found['runs']}."
    )
    return f"{about}\n\n{table(head, body)}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run every size in processes of their own; see the head of this module."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cost", description="Cost of an edit by batch size.")
    parser.add_argument("--model", required=True, help="folder of the model")
    parser.add_argument("--data", type=Path, required=True, help="a file of edits")
    parser.add_argument("--format", default="edits", help="its form, as for `dmmgov bench edits`")
    parser.add_argument("--n", type=int, nargs="+", default=[40, 400], help="sizes of a batch")
    parser.add_argument("--runs", type=int, default=2, help="fits of each size")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=0, help="run one fit of this size in this process")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args(arguments)
    if given.size:
        sys.stdout.write(json.dumps(fit(given)) + "\n")
        return
    best: dict[int, dict[str, Any]] = {}
    passed = ["--model", str(given.model), "--data", str(given.data), "--format", given.format]
    for _ in range(given.runs):
        for size in given.n:
            command = [sys.executable, "-m", "benchmarks.cost", *passed, "--seed", str(given.seed), "--size", str(size)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found = json.loads(done.stdout.splitlines()[-1])
            sys.stdout.write(f"{size}: {found['cpu_seconds_per_edit']:.2f} CPU s per edit\n")
            sys.stdout.flush()
            known = best.get(size)
            if known is None or found["cpu_seconds_per_edit"] < known["cpu_seconds_per_edit"]:
                best[size] = found
            about = {"data": given.data.name, "digest": digest_file(given.data), "seed": given.seed, "runs": given.runs}
            keep_json(given.results, {**about, "sizes": [best[one] for one in given.n if one in best]})


if __name__ == "__main__":
    main()
