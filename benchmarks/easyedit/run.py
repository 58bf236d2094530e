"""EasyEdit's MEMIT and ROME beside ours: one model, one file of edits, one thread each, one scorer.

    python -m benchmarks.easyedit.run --easyedit CHECKOUT --model DIR --data edits.jsonl --n 20

EasyEdit runs in an environment of its own (`inside.py`); its edited model is saved, and scored here by free generation
like ours. Where the environment cannot be made the run says so and ends with 0. README.md tells what is worked around.
"""

import argparse
import json
import os
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.editors import ONE_THREAD, Cell, keep_json
from benchmarks.editors import run as run_cell
from editors.load import LoadedModel
from pipelines.bench.formats import read_rows
from pipelines.bench.moments import RUNNING_TEXT
from pipelines.bench.rows import BenchRow
from pipelines.bench.score import answers, perplexity, probes_of, right_of, shares
from registry.digests import digest_file

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "results" / "easyedit.json"
NEEDED = (
    *("datasets", "fsspec", "huggingface_hub", "matplotlib", "numpy", "pandas", "pyarrow"),
    *("PyYAML", "scikit-learn", "scipy", "tokenizers", "tqdm", "transformers"),
)
"""Packages of EasyEdit's requirements that its MEMIT and ROME import; its pins are kept."""
TORCH = "torch==2.13.0"
"""Of the registry's builds the one for processors alone; EasyEdit's own pin pulls the one for CUDA."""
TEXT_TOKENS = 300

_TARGETS = {
    "fact_token": "subject_last",
    "v_num_grad_steps": 25,
    "v_lr": 0.5,
    "v_weight_decay": 1e-3,
    "clamp_norm_factor": 4,
    "kl_factor": 0.0625,
}
_MEMIT = {**_TARGETS, "layer_selection": "all", "mom2_adjustment": True}
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "memit": {"method": "MEMIT", "hparams": {**_MEMIT, "layers": [4, 5, 6, 7, 8], "mom2_update_weight": 15000}},
    "memit-tuned": {"method": "MEMIT", "hparams": {**_MEMIT, "layers": [6, 7, 8], "mom2_update_weight": 100}},
    "rome": {
        "method": "ROME",
        "hparams": {
            **_TARGETS,
            "layers": [5],
            "mom2_adjustment": False,
            "context_template_length_params": [[5, 10], [10, 10]],
        },
    },
}
"""EasyEdit's own numbers for Llama models (hparams/MEMIT and hparams/ROME), and those that we found best for MEMIT."""
OURS: Mapping[str, tuple[str, str, Path | None]] = {
    "memit": ("memit", "batch", None),
    "memit-chat": ("memit", "batch", HERE / "memit_chat.yaml"),
    "memit-firm": ("memit", "batch", HERE / "memit_firm.yaml"),
    "memit-clear": ("memit", "batch", HERE / "memit_clear.yaml"),
    "rome": ("rome", "sequential", None),
}
"""Editor, mode and, where it is not the shipped one, configuration of our runs."""


def environment(folder: Path, checkout: Path) -> str:
    """Make EasyEdit's environment where there is none; why it cannot be had, empty when it can."""
    python = folder / "bin" / "python"
    pins = [line.strip() for line in (checkout / "requirements.txt").read_text(encoding="utf-8").splitlines()]
    wanted = [pin for pin in pins if pin.split("==")[0] in NEEDED]
    if not python.is_file():
        venv.create(folder, with_pip=True)
        install = [str(python), "-m", "pip", "install", "--quiet", TORCH, *wanted]
        done = subprocess.run(install, capture_output=True, text=True, check=False)
        if done.returncode:
            return f"its packages cannot be installed ({_last(done.stderr)})"
    done = subprocess.run([str(python), "-c", "import torch, transformers, datasets"], capture_output=True, text=True)
    return f"its packages cannot be imported ({_last(done.stderr)})" if done.returncode else ""


def _last(text: str) -> str:
    """The last line of what a program said."""
    return (text.strip() or "no message").splitlines()[-1]


def job(given: argparse.Namespace, rows: Sequence[BenchRow], tokenizer: Any) -> Path:
    """The file that tells `inside.py` what to do, and the texts beside it."""
    from editors.gather import cut, read_texts

    work: Path = given.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    texts = cut(tokenizer, list(read_texts(given.texts)), TEXT_TOKENS)
    lines = (json.dumps({"text": text}) + "\n" for text in texts)
    (work / "texts.jsonl").write_text("".join(lines), encoding="utf-8")
    content = {
        "model": str(Path(given.model).resolve()),
        "texts": str(work / "texts.jsonl"),
        "stats": str(work / "stats"),
        "work": str(work / f"{digest_file(given.data)[:12]}-{len(rows)}-{given.seed}"),
        "seed": given.seed,
        "requests": [
            {
                "case_id": number,
                "prompt": row.prompt.replace(row.subject, "{}"),
                "subject": row.subject,
                "target_new": row.target_new,
            }
            for number, row in enumerate(rows)
        ],
        "settings": [{"name": name, **SETTINGS[name]} for name in given.settings],
    }
    path = work / "job.json"
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path


def scored(loaded: LoadedModel, rows: Sequence[BenchRow], before: float) -> dict[str, Any]:
    """The scores of an edited checkpoint."""
    from editors.gather import read_texts

    probes = probes_of(rows)
    right = right_of(probes, answers(loaded.model, loaded.tokenizer, probes))
    after = perplexity(loaded, list(read_texts(RUNNING_TEXT)))
    return {**shares(probes, right), "perplexity": {"before": before, "after": after, "ratio": (after or 0.0) / before}}


def theirs(given: argparse.Namespace, rows: Sequence[BenchRow], loaded: LoadedModel) -> list[dict[str, Any]]:
    """EasyEdit's runs, scored."""
    from editors.gather import read_texts
    from editors.load import load_model

    path = job(given, rows, loaded.tokenizer)
    command = [str(given.env / "bin" / "python"), str(HERE / "inside.py"), str(given.easyedit.resolve()), str(path)]
    with (path.parent / "easyedit.log").open("w", encoding="utf-8") as log:
        subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **ONE_THREAD}, check=True)
    before = perplexity(loaded, list(read_texts(RUNNING_TEXT))) or 1.0
    found = []
    for name in given.settings:
        folder = Path(json.loads(path.read_text(encoding="utf-8"))["work"]) / name
        times = json.loads((folder / "times.json").read_text(encoding="utf-8"))
        figures = scored(load_model(str(folder), device="cpu"), rows, before)
        cpu = times.pop("cpu_seconds_edits") / len(rows)
        found.append({"name": f"EasyEdit {name}", **figures, "cpu_seconds_per_edit": cpu, **times})
    return found


def ours(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Our runs on the same edits."""
    found = []
    for name in given.ours:
        editor, mode, config = OURS[name]
        cell = Cell(editor, mode, given.n, config=config)
        figures = run_cell(cell, given.model, given.data, given.seed, given.work, 3600)
        if isinstance(figures, str):
            raise SystemExit(f"{cell}: {figures}")
        found.append({**figures, "name": f"dmm-gov {name} ({cell.mode})", "cpu_seconds_covariances": None})
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Run both, or say why not; see the head of this module."""
    from editors.load import load_model

    root = HERE.parents[1]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.easyedit.run", description="EasyEdit beside ours.")
    parser.add_argument("--easyedit", type=Path, required=True, help="checkout of zjunlp/EasyEdit")
    parser.add_argument("--model", required=True, help="folder of the model (of the Llama layout)")
    parser.add_argument("--data", type=Path, required=True, help="edits, as benchmarks/draw.py makes them")
    parser.add_argument("--n", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--settings", nargs="*", choices=sorted(SETTINGS), default=sorted(SETTINGS))
    parser.add_argument("--ours", nargs="*", choices=sorted(OURS), default=sorted(OURS))
    parser.add_argument(
        "--env", type=Path, default=Path(".bench/easyedit-env"), help="its environment, made if missing"
    )
    parser.add_argument("--work", type=Path, default=Path(".bench/easyedit"), help="texts, statistics, checkpoints")
    default = root.parent / "shared" / "data" / "corpus" / "wikipedia_articles.jsonl"
    parser.add_argument("--texts", type=Path, default=default, help="running text for its covariances (JSON Lines)")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args(arguments)
    reason = environment(given.env, given.easyedit)
    if reason:
        sys.stdout.write(f"EasyEdit is skipped: {reason}\n")
        return
    rows = read_rows(given.data, "edits", given.n, given.seed).rows
    loaded = load_model(given.model, device="cpu")
    runs = [*theirs(given, rows, loaded), *ours(given)]
    about = (
        f"{len(rows)} edits of {given.data.name} ({digest_file(given.data)[:12]}), seed {given.seed}, on a model with "
        f"the digest {loaded.digest[:12]}; one thread each, scored by free generation on the final model."
    )
    keep(given.results, {"about": about, "n": len(rows), "seed": given.seed, "runs": runs})


def keep(path: Path, found: Mapping[str, Any]) -> None:
    """Put a comparison among those that are kept, in the place of one of the same edits."""
    kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    others = [one for one in kept if one["about"] != found["about"]]
    keep_json(path, sorted([*others, found], key=lambda one: (one["n"], one["about"])))


if __name__ == "__main__":
    main()
