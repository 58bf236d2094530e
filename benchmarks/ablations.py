"""MEMIT with one number changed at a time, on the same counterfactual edits in one batch.

    python -m benchmarks.ablations --model DIR --data edits.jsonl [--n 40] [--only defaults ...] [--minutes 40]

Every variant starts from `conf/memit.yaml`. Targets that several variants share are optimised once; their CPU seconds
count for each. Scored is free generation on the edited model: the prompts, the unseen phrasings and the neighbours.
Each variant is compared with the defaults prompt by prompt. Figures go to results/ablations.json; a variant that has
its figures for this model, data and number of edits is not run again.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from benchmarks.ablation_keys import ByContext, of_usual_length
from benchmarks.editors import keep_json
from editors.load import LoadedModel, load_model
from editors.memit.config import MemitConfig
from editors.targets import Target
from pipelines.bench.formats import read_rows
from pipelines.bench.moments import config_of, with_moments
from pipelines.bench.rows import BenchRow
from pipelines.bench.score import Probe, probes_of, right_of, shares
from registry.digests import digest_file
from registry.home import Home
from registry.text import is_settled

memit: Any = import_module("editors.memit.editor")
HERE = Path(__file__).resolve().parent
KINDS = ("efficacy", "generalization", "neighbourhood")


@dataclass(frozen=True)
class Variant:
    """One form of MEMIT.

    Attributes:
        group: what is looked at.
        name: the form.
        changes: numbers that differ from the defaults, by dotted name.
        text: what the moments are measured on: "shipped", "atlas" (its running text and facts) or "requests".
        columns: whether every context has a column of its own, where else a fact has the mean of them.
        usual: whether targets are brought back to the usual length of hidden states (NAS).
        against: the variant it is compared with.
    """

    group: str
    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    text: str = "shipped"
    columns: bool = False
    usual: bool = False
    against: str = "defaults"


def _beginnings(count: int) -> dict[str, Any]:
    """So many natural beginnings."""
    return {"targets.prefixes": count}


VARIANTS = (
    Variant("", "defaults"),
    Variant("both", "4 beginnings, bystanders 1", {**_beginnings(4), "bystanders.weight": 1.0}),
    Variant("both", "4 beginnings, no bystanders", {**_beginnings(4), "bystanders.weight": 0.0}),
    Variant("contexts", "4 beginnings", _beginnings(4)),
    Variant("contexts", "no beginning", _beginnings(0)),
    Variant("contexts", "no mentions", {"mentions": 0}),
    Variant("bystanders", "no bystanders", {"bystanders.weight": 0.0}),
    Variant("bystanders", "bystanders 1", {"bystanders.weight": 1.0}),
    Variant("bystanders", "bystanders 4", {"bystanders.weight": 4.0}),
    Variant("corrections", "no corrections", {"corrections": 0}),
    Variant("corrections", "corrections 4", {"corrections": 4}),
    Variant("weight of moments", "lambda 100", {"weight": 100.0}),
    Variant("weight of moments", "lambda 1000", {"weight": 1000.0}),
    Variant("keys", "a column per context", {"corrections": 0}, columns=True, against="no corrections"),
    Variant("text of moments", "atlas alone", text="atlas"),
    Variant("text of moments", "the requests alone", text="requests"),
    Variant("layers", "blocks 2 to 5", {"layers": (2, 3, 4, 5)}, "atlas", against="atlas alone"),
    Variant("layers", "blocks 9 to 12", {"layers": (9, 10, 11, 12)}, "atlas", against="atlas alone"),
    Variant("layers", "block 8 alone", {"layers": (8,)}),
    Variant("early stop", "stop at .9", {"targets.stop_probability": 0.9}),
    Variant("early stop", "4 steps later", {"targets.extra_steps": 4}),
    Variant("norm", "usual length (NAS)", usual=True),
    Variant("norm", "decay .5", {"targets.decay": 0.5}),
    Variant("norm", "clamp 1", {"targets.clamp": 1.0}),
    Variant("objective", "alphaedit", {"objective": "alphaedit"}),
    Variant("drift", "no drift", {"targets.drift": 0.0}),
    Variant("step", "steps of .2", {"targets.lr": 0.2}),
    Variant("step", "steps of .15", {"targets.lr": 0.15}),
    Variant("step", "steps of .07", {"targets.lr": 0.07}),
)
"""The order is that of value: a run that is cut off has the first ones."""


def changed(config: MemitConfig, changes: Mapping[str, Any]) -> MemitConfig:
    """The config with some numbers changed, by dotted name."""
    for name, value in changes.items():
        first, _, rest = name.partition(".")
        config = replace(config, **{first: replace(getattr(config, first), **{rest: value}) if rest else value})
    return config


@dataclass
class Shared:
    """First targets on the clean model, found once, and what each of them took.

    Attributes:
        found: targets and CPU seconds by what they depend on.
        spent: CPU seconds of those that the latest variant took over.
    """

    found: dict[tuple[Any, ...], tuple[list[Target], float]] = field(default_factory=dict)
    spent: float = 0.0

    @contextmanager
    def used(self, usual: bool) -> Iterator[None]:
        """Let MEMIT take the first targets of a fit from here; later ones, with a change on, it finds itself."""
        plain, calls = memit.fit_targets, list[int]()
        self.spent = 0.0

        def fit(
            model: Any, layout: Any, groups: Any, layer: int, config: Any, output: Any, reach: Any = None
        ) -> list[Target]:
            calls.append(layer)
            if len(calls) > 1:
                again: list[Target] = plain(model, layout, groups, layer, config, output, reach)
                return again
            reached = None if reach is None else tuple(reach.tolist())
            key = (tuple(group.fact_ids for group in groups), layer, config, reached)
            if key in self.found:
                self.spent = self.found[key][1]
            else:
                began = time.process_time()
                self.found[key] = (
                    plain(model, layout, groups, layer, config, output, reach),
                    time.process_time() - began,
                )
            targets = self.found[key][0]
            return of_usual_length(model, layout, groups, layer, targets) if usual else targets

        memit.fit_targets = fit
        try:
            yield
        finally:
            memit.fit_targets = plain


@dataclass(frozen=True)
class Place:
    """What every variant works with.

    Attributes:
        loaded: the model.
        home: where moments are kept.
        rows: the edits.
        probes: what is asked.
        seed: of the fits.
        shared: targets that several variants share.
    """

    loaded: LoadedModel
    home: Home
    rows: Sequence[BenchRow]
    probes: Sequence[Probe]
    seed: int
    shared: Shared = field(default_factory=Shared)

    def config(self, variant: Variant) -> MemitConfig:
        """The numbers of a variant, with its moments."""
        config: MemitConfig = changed(config_of("memit", self.seed), variant.changes)  # type: ignore[arg-type]
        if variant.text == "requests":
            return config
        if variant.text == "shipped":
            found: MemitConfig = with_moments(config, self.loaded, self.home, None)[0]
            return found
        return replace(config, moments=self._atlas(config))

    def _atlas(self, config: MemitConfig) -> Any:
        """Moments of the config's layers on the atlas's running text and facts."""
        from editors.moments import measure
        from pipelines.bench.moments import _running_text

        layers = config.edited(self.loaded.model)
        return measure(self.loaded.model, self.loaded.tokenizer, _running_text(self.loaded, None), layers)

    def right(self) -> list[bool]:
        """Which probes the model answers rightly as it is now; no answer is longer than it takes to know."""
        from editors.generate import generate

        wanted = {probe.prompt: probe.answers for probe in self.probes}
        enough: Callable[[str, str], bool] = lambda prompt, text: is_settled(text, wanted[prompt])  # noqa: E731
        said = generate(self.loaded.model, self.loaded.tokenizer, list(wanted), enough=enough)
        texts = {prompt: one.text for prompt, one in zip(wanted, said, strict=True)}
        return right_of(self.probes, [texts[probe.prompt] for probe in self.probes])

    def run(self, variant: Variant) -> dict[str, Any]:
        """Write the edits in one form and ask."""
        config, requests = self.config(variant), [row.request for row in self.rows]
        writer: Any = ByContext() if variant.columns else memit.MemitEditor()
        began, wall = time.process_time(), time.perf_counter()
        with self.shared.used(variant.usual):
            delta = writer.fit(self.loaded.model, self.loaded.tokenizer, requests, config)
        spent = time.process_time() - began + self.shared.spent
        with delta.applied(self.loaded.model):
            right = self.right()
        found = shares(self.probes, right)
        return {
            **{"group": variant.group, "name": variant.name, "against": variant.against},
            **{kind: found[kind] for kind in KINDS},
            "right": {kind: _marks(self.probes, right, kind) for kind in KINDS},
            "cpu_seconds_per_edit": spent / len(requests),
            "seconds": time.perf_counter() - wall,
            "shift": max((float(torch.linalg.matrix_norm(part.left @ part.right)) for part in delta.layers), default=0),
        }


def _marks(probes: Sequence[Probe], right: Sequence[bool], kind: str) -> str:
    """Right and wrong answers of one kind as a row of ones and zeros."""
    return "".join(str(int(good)) for probe, good in zip(probes, right, strict=True) if probe.kind == kind)


def place_of(model: str, data: Path, n: int, seed: int) -> Place:
    """Load what every variant works with."""
    rows = read_rows(data, "edits", n, seed).rows
    probes = [probe for probe in probes_of(rows) if probe.kind in KINDS]
    return Place(load_model(model, device="cpu"), Home.default(), rows, probes, seed)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the variants that have no figures yet; see the head of this module."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablations", description="MEMIT, number by number.")
    parser.add_argument("--model", required=True, help="folder of the model")
    parser.add_argument("--data", type=Path, required=True, help="edits, as benchmarks/draw.py makes them")
    parser.add_argument("--n", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", default=[], help="names of variants")
    parser.add_argument("--minutes", type=float, default=60, help="no variant is begun after so many")
    parser.add_argument("--results", type=Path, default=HERE / "results" / "ablations.json")
    given = parser.parse_args(arguments)
    place, began = place_of(given.model, given.data, given.n, given.seed), time.monotonic()
    about = {"n": given.n, "seed": given.seed, "model": place.loaded.digest, "data": digest_file(given.data)}
    kept = json.loads(given.results.read_text(encoding="utf-8")) if given.results.is_file() else {}
    runs = kept.get("runs", []) if {name: kept.get(name) for name in about} == about else []
    for variant in VARIANTS:
        done = any(run["name"] == variant.name for run in runs)
        if done or (given.only and variant.name not in given.only) or time.monotonic() - began > 60 * given.minutes:
            continue
        runs.append(place.run(variant))
        keep_json(given.results, {**about, "file": given.data.stem, "runs": runs})
        told = ", ".join(f"{kind} {runs[-1][kind]['mean']}" for kind in KINDS)
        sys.stdout.write(f"{variant.group} {variant.name}: {told}, {runs[-1]['cpu_seconds_per_edit']:.2f} s\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
