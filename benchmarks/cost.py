"""What an edit costs in batches of several sizes: MEMIT's fits of one file of edits, and the prompts asked afterwards.

    python -m benchmarks.cost --model DIR --data edits.jsonl [--format knowedit] [--n 40 400]

The largest batch is drawn by seed. A smaller one is a part of it, and up to `--parts` such parts are fitted, one after
another and on both sides of the largest, so that both sizes are of edits that are alike and meet the same machine. Each
fit is a process of its own. Time is CPU time of the fit, moments read beforehand. Figures go to results/cost.json.
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
    rows = read_rows(given.data, given.format, max(given.n), given.seed).rows[given.start : given.start + given.size]
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
        "cpu_seconds": spent,
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

    first: float | None = None
    body = []
    for size in sorted({one["n"] for one in found["fits"]}):
        fits = [one for one in found["fits"] if one["n"] == size]
        edits, prompts = size * len(fits), sum(one["prompts"] for one in fits)
        each = sum(one["cpu_seconds"] for one in fits) / edits
        first = first or each
        right = wilson(sum(one["right"] for one in fits), prompts)
        body.append(
            [
                str(size),
                str(len(fits)),
                f"{each:.2f}",
                f"{each / first:.2f}",
                share({"mean": right.value, "low": right.low, "high": right.high, "n": prompts}),
                f"{sum(one['bytes_of_factors'] for one in fits) / edits / 1000:.1f}",
                str(max(one["peak_rss_mb"] for one in fits)),
            ]
        )
    head = [
        "edits in a batch",
        "batches",
        "CPU s per edit",
        "of the smallest's",
        "prompts right",
        "kB per edit",
        "peak MB",
    ]
    about = (
        f"MEMIT on {found['data']} ({found['digest'][:12]}), seed {found['seed']}; smaller batches are parts of the "
        "largest."
    )
    return f"{about}\n\n{table(head, body)}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run every size in processes of their own; see the head of this module."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cost", description="Cost of an edit by batch size.")
    parser.add_argument("--model", required=True, help="folder of the model")
    parser.add_argument("--data", type=Path, required=True, help="a file of edits")
    parser.add_argument("--format", default="edits", help="its form, as for `dmmgov bench edits`")
    parser.add_argument("--n", type=int, nargs="+", default=[40, 400], help="sizes of a batch")
    parser.add_argument("--parts", type=int, default=4, help="parts of the largest batch that are fitted, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=0, help="run one fit of this size in this process")
    parser.add_argument("--start", type=int, default=0, help="which of the drawn edits it begins with")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args(arguments)
    if given.size:
        sys.stdout.write(json.dumps(fit(given)) + "\n")
        return
    about = {"data": given.data.name, "digest": digest_file(given.data), "seed": given.seed}
    passed = ["--model", str(given.model), "--data", str(given.data), "--format", given.format]
    passed += ["--seed", str(given.seed), "--n", *map(str, given.n)]
    fits: list[dict[str, Any]] = []
    for size, start in order(given.n, given.parts):
        command = [sys.executable, "-m", "benchmarks.cost", *passed, "--size", str(size), "--start", str(start)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        fits.append(json.loads(done.stdout.splitlines()[-1]))
        sys.stdout.write(f"{size} from {start}: {fits[-1]['cpu_seconds'] / size:.2f} CPU s per edit\n")
        sys.stdout.flush()
        keep_json(given.results, {**about, "fits": fits})


def order(sizes: Sequence[int], parts: int) -> list[tuple[int, int]]:
    """Sizes of the fits and the drawn edit that each begins with: half of the parts, the largest, the other half."""
    largest = max(sizes)
    smaller = [
        (size, part * size) for size in sorted(sizes) if size < largest for part in range(min(parts, largest // size))
    ]
    return [*smaller[::2], (largest, 0), *smaller[1::2]]


if __name__ == "__main__":
    main()
