"""Learning a domain: full fine-tuning, LoRA, SVFit and SST on the same text, steps and schedule.

    python -m benchmarks.domain run --model MODEL --data DOCUMENTS.jsonl.gz --method lora --out lora.json
    python -m benchmarks.domain table full.json lora.json svfit.json sst.json --out benchmarks/results/domain.json

with, for lora and sst, --rank; a method that is run at several ranks has a row for each.

DOCUMENTS has a field "text" in every line. Whole documents are held out: some choose each method's learning rate in
short runs, others are scored once, at the end, on the merged weights. The windows that are scored of a document are
averaged, so that documents are the cases: intervals are bootstraps over them, and differences are paired.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.domain_corpus import Corpus, read_corpus
from benchmarks.domain_rates import RATES, WIDER, best_rate
from editors.lora.config import LoraSettings
from editors.lora.editor import LoraEditor
from editors.sst.config import SstConfig
from editors.sst.editor import SstEditor
from editors.svfit.config import SvfitConfig
from editors.svfit.editor import SvfitEditor
from editors.trained import Method, Result, TrainedConfig, fit_trained
from editors.trained_delta import TrainedDelta
from editors.training import Matrix, TrainingConfig
from editors.windows import plain_loss

RESAMPLES = 2000

METHODS = ("full", "lora", "svfit", "sst")
RANKED, RANK = ("lora", "sst"), 8
"""The methods that have a rank, and the usual one."""


@dataclass(frozen=True, eq=False)
class FullDelta(TrainedDelta):
    """New weights by full fine-tuning of the same matrices."""

    @property
    def editor(self) -> str:
        """Name of the method."""
        return "full"


class Full:
    """Full fine-tuning on one twin."""

    def __init__(self, copy: Any, matrices: Sequence[Matrix]) -> None:
        """Give every matrix of `copy` a weight of its own."""
        self.weights: list[Tensor] = []
        for matrix in matrices:
            weight = copy.get_parameter(matrix.parameter)
            weight.data = weight.data.clone()
            self.weights.append(weight.requires_grad_(True))

    def scaled(self) -> list[tuple[Tensor, float]]:
        """A unit step moves every element by the matrix's root mean square."""
        return [(weight, float(weight.detach().square().mean().sqrt())) for weight in self.weights]

    def begin(self, step: int) -> bool:
        """Nothing is drawn."""
        return False

    def end(self) -> None:
        """Nothing is bound."""

    def result(self) -> Result:
        """The weights as they are."""
        tensors = {f"{index}.weight": weight.detach() for index, weight in enumerate(self.weights)}
        return Result(tensors, {}, {"trained_parameters": sum(weight.numel() for weight in self.weights)})


def fit(method: str, model: Any, tokenizer: Any, texts: tuple[str, ...], config: TrainingConfig, rank: int) -> Any:
    """The delta that one method learns from texts."""
    if method == "full":

        def start(copy: Any, matrices: Sequence[Matrix]) -> Method:
            return Full(copy, matrices)

        with torch.no_grad():
            return fit_trained(FullDelta, start, model, tokenizer, [], TrainedConfig(training=config, texts=texts))
    if method == "lora":
        return LoraEditor().fit(model, tokenizer, [], LoraSettings(rank=rank, training=config, texts=texts))
    if method == "svfit":
        return SvfitEditor().fit(model, tokenizer, [], SvfitConfig(training=config, texts=texts))
    return SstEditor().fit(model, tokenizer, [], SstConfig(rank=rank, training=config, texts=texts))


def losses(model: Any, documents: Sequence[Tensor]) -> list[float]:
    """Mean negative log-likelihood per token of every document's windows (W, length)."""
    with torch.no_grad():
        return [float(plain_loss(model, windows, ())) for windows in documents]


def dev_loss(
    options: argparse.Namespace, model: Any, tokenizer: Any, corpus: Corpus, training: TrainingConfig
) -> float:
    """Mean loss on the documents to choose by, after a short run."""
    short = replace(training, steps=options.sweep_steps)
    with fit(options.method, model, tokenizer, corpus.train, short, options.rank).applied(model):
        found = losses(model, corpus.dev)
    mean = sum(found) / len(found)
    sys.stderr.write(f"{options.method} {training.lr:g} {mean:.4f}\n")
    return mean


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Choose the learning rate in short runs, train, and score; says how it went so far on the way."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(options.model)
    models: Any = AutoModelForCausalLM
    model = models.from_pretrained(options.model, dtype=torch.float32).eval()
    held = (options.dev, options.test, options.seed, options.windows)
    corpus = read_corpus(options.data, tokenizer, options.length, *held)
    training = TrainingConfig(batch=options.batch, length=options.length, seed=options.seed)
    report: dict[str, Any] = {
        "method": options.method,
        "setting": {
            name: getattr(options, name)
            for name in ("steps", "sweep_steps", "batch", "length", "dev", "test", "windows", "seed")
        },
        "rank": options.rank if options.method in RANKED else None,
        "sweep": {},
        "base_dev": losses(model, corpus.dev),
        "base": losses(model, corpus.test),
    }
    best = best_rate(
        lambda lr: dev_loss(options, model, tokenizer, corpus, replace(training, lr=lr)),
        options.rates or RATES[options.method],
        report["sweep"],
        wider=0 if options.rates else WIDER,
    )
    began = time.process_time()
    delta = fit(
        options.method, model, tokenizer, corpus.train, replace(training, steps=options.steps, lr=best), options.rank
    )
    report |= {"lr": best, "cpu_s": time.process_time() - began, "shift": delta.notes["shift"]}
    report |= {"trained_parameters": delta.notes["trained_parameters"]}
    report["delta_bytes"] = sum(tensor.numel() * tensor.element_size() for tensor in delta.tensors.values())
    with delta.applied(model):
        report["after"] = losses(model, corpus.test)
    options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return report


def interval(values: Sequence[Sequence[float]], statistic: Any, seed: int = 0) -> tuple[float, float, float]:
    """A statistic of paired samples with its 95% bootstrap interval over their common index."""
    columns = [torch.tensor(column, dtype=torch.float64) for column in values]
    draws = torch.randint(len(columns[0]), (RESAMPLES, len(columns[0])), generator=torch.Generator().manual_seed(seed))
    point = statistic(*[column.mean() for column in columns])
    many = statistic(*[column[draws].mean(1) for column in columns])
    low, high = torch.quantile(many, torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return float(point), low, high


def called(report: dict[str, Any]) -> str:
    """The name of a run in the table: its method, with the rank where that is not the usual one."""
    rank = report["rank"]
    return report["method"] if rank in (None, RANK) else f"{report['method']}_rank_{rank}"


def table(reports: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], str]:
    """All runs side by side, as JSON and as Markdown."""
    known = {called(report): report for report in reports}
    base = reports[0]["base"]
    if any(report["base"] != base or report["setting"] != reports[0]["setting"] for report in reports):
        raise SystemExit("expected runs with the same settings on the same text, got different ones; run them anew")
    perplexity = interval([base], torch.exp)
    rows: dict[str, Any] = {"base": {"perplexity": perplexity}}
    lines = [
        "| method | trained numbers | lr | perplexity | share of full's gain | CPU s | delta MB |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        f"| base | 0 | | {_words(perplexity)} | | | |",
    ]
    for method in sorted(known, key=lambda name: METHODS.index(name.split("_")[0])):
        report = known[method]
        found = interval([report["after"]], torch.exp)
        share = None
        if "full" in known:
            columns = [base, report["after"], known["full"]["after"]]
            share = interval(columns, lambda b, own, full: (b - own) / (b - full))
        rows[method] = {
            "perplexity": found,
            "share_of_full_gain": share,
            **{name: report[name] for name in ("lr", "trained_parameters", "cpu_s", "delta_bytes", "shift", "sweep")},
        }
        lines.append(
            f"| {method} | {report['trained_parameters']:,} | {report['lr']:g} | {_words(found)} | {_words(share)} "
            f"| {report['cpu_s']:.0f} | {report['delta_bytes'] / 1e6:.1f} |"
        )
    if {"full", "lora", "sst"} <= known.keys():
        columns = [known[name]["after"] for name in ("lora", "sst", "full")]
        rows["gap_of_lora_closed_by_sst"] = interval(columns, lambda lora, sst, full: (lora - sst) / (lora - full))
    for name in [name for name in known if name.startswith("lora") and "svfit" in known]:
        columns = [base, known[name]["after"], known["svfit"]["after"]]
        rows[f"gain_of_svfit_over_gain_of_{name}"] = interval(columns, lambda b, lora, own: (b - own) / (b - lora))
    return {"setting": reports[0]["setting"], "methods": rows}, "\n".join(lines) + "\n"


def _words(found: Sequence[float] | None) -> str:
    """A value with its interval; nothing where there is none."""
    return "" if found is None else f"{found[0]:.2f} [{found[1]:.2f}, {found[2]:.2f}]"


def main() -> None:
    """Read the command line; see the head of this file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.domain", description="Learn a domain, four ways.")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("run", help="one method")
    one.add_argument("--model", type=Path, required=True, help="a Hugging Face folder")
    one.add_argument("--data", type=Path, required=True, help="documents, JSON lines, perhaps gzipped")
    one.add_argument("--method", choices=sorted(RATES), required=True)
    one.add_argument("--out", type=Path, required=True)
    one.add_argument("--rates", type=float, nargs="+", default=[], help="learning rates instead of the usual three")
    numbers = {
        "steps": 60,
        "sweep-steps": 60,
        "batch": 1,
        "length": 128,
        "dev": 48,
        "test": 40,
        "windows": 1,
        "seed": 0,
        "rank": RANK,
    }
    for name, value in numbers.items():
        one.add_argument(f"--{name}", type=int, default=value)
    two = commands.add_parser("table", help="put runs side by side")
    two.add_argument("runs", type=Path, nargs="+")
    two.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    if options.command == "run":
        run(options)
        return
    found, text = table([json.loads(path.read_text(encoding="utf-8")) for path in options.runs])
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
