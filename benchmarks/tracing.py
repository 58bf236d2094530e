"""Which layers carry what a model knows: causal tracing over facts of the atlas that it answers rightly.

    python -m benchmarks.tracing --model DIR [--n 60] [--seed 0]

Facts are drawn by seed, as many of each relation as may be, from those that the model answers under the prompt and one
test phrasing (`draw.known`). Each is traced through every layer (`editors/causal.py`); told are mean indirect effects
with bootstrap intervals over facts, where their peak lies in resamples, and which layers MEMIT and ROME take by
themselves. Figures go to results/tracing.json after every fact, and a run that was cut off goes on.
"""

import argparse
import json
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.draw import Known, ask, known
from benchmarks.draw_relations import atlas_relations
from benchmarks.editors import keep_json
from editors.causal import Traced, TracingConfig, trace_fact
from editors.load import load_model
from registry.home import Home

HERE = Path(__file__).resolve().parent
ATLAS = HERE.parent / "examples" / "atlas"
RESAMPLES = 2000
CURVES = (("states", "subject"), ("states", "last"), ("mlps", "subject"), ("mlps", "last"))


def drawn(facts: Mapping[str, Known], n: int, seed: int) -> list[tuple[str, str, str]]:
    """Relation, subject and object of known facts, one of each relation in turn, at most `n`."""
    decks = {name: sorted(one.right.items()) for name, one in sorted(facts.items())}
    for name, deck in decks.items():
        random.Random(f"{seed}/{name}").shuffle(deck)
    turns = max(map(len, decks.values()), default=0)
    found = [(name, *deck[turn]) for turn in range(turns) for name, deck in decks.items() if turn < len(deck)]
    return found[:n]


def summary(traced: Sequence[Mapping[str, Any]], seed: int = 0) -> dict[str, Any]:
    """Mean indirect effect by layer of each curve, with 95 % bootstrap intervals over facts, and where it peaks."""
    draws = torch.randint(len(traced), (RESAMPLES, len(traced)), generator=torch.Generator().manual_seed(seed))
    found: dict[str, Any] = {}
    for what, place in CURVES:
        effects = torch.tensor(
            [[value - one["corrupted"] for value in one[what][place]] for one in traced], dtype=torch.float64
        )  # (facts, layers)
        means = torch.stack([effects[draw].mean(0) for draw in draws])  # (resamples, layers)
        low, high = torch.quantile(means, torch.tensor([0.025, 0.975], dtype=torch.float64), dim=0)
        peaks = means.argmax(1).double()
        found[f"{what}, {place}"] = {
            "mean": effects.mean(0).tolist(),
            "low": low.tolist(),
            "high": high.tolist(),
            "peak": int(effects.mean(0).argmax()),
            "peak_low": int(peaks.quantile(0.025)),
            "peak_high": int(peaks.quantile(0.975)),
        }
    return found


def layers_taken(model: Any) -> dict[str, list[int]]:
    """The layers that editors take by themselves."""
    from editors.memit.config import MemitConfig
    from editors.rome.config import RomeConfig

    return {"memit": list(MemitConfig().edited(model)), "rome": list(RomeConfig().edited(model))}


def result(about: Mapping[str, Any], traced: Sequence[Mapping[str, Any]], model: Any) -> dict[str, Any]:
    """What is kept of a run."""
    both = {name: sum(one[name] for one in traced) / len(traced) for name in ("clean", "corrupted")}
    return {**about, "n": len(traced), **both, "layers": layers_taken(model), **summary(traced)}


def _plain(name: str, one: Traced) -> dict[str, Any]:
    """A traced fact with its relation, as plain values."""
    return {"relation": name, **asdict(one)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Trace and tell; see the head of this module."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tracing", description="Trace what a model knows.")
    parser.add_argument("--model", required=True, help="folder of the model")
    parser.add_argument("--n", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=60, help="no fact is begun after so many")
    parser.add_argument("--atlas", type=Path, default=ATLAS)
    parser.add_argument("--facts", type=Path, default=Path(".bench") / "traced.json", help="where every fact goes")
    parser.add_argument("--results", type=Path, default=HERE / "results" / "tracing.json")
    given = parser.parse_args(arguments)
    loaded, relations = load_model(given.model, device="cpu"), atlas_relations(given.atlas)
    facts = known(relations, ask(loaded, relations, Home.default()))
    config, began = TracingConfig(seed=given.seed), time.monotonic()
    about = {"model": loaded.digest, "config": asdict(config)}
    kept = json.loads(given.facts.read_text(encoding="utf-8")) if given.facts.is_file() else {}
    traced = kept.get("facts", []) if {name: kept.get(name) for name in about} == about else []
    done = {one["prompt"] for one in traced}
    for name, subject, thing in drawn(facts, given.n, given.seed):
        prompt = facts[name].ask(subject)
        if prompt in done or time.monotonic() - began > 60 * given.minutes:
            continue
        traced.append(_plain(name, trace_fact(loaded.model, loaded.tokenizer, prompt, subject, thing, config)))
        keep_json(given.facts, {**about, "facts": traced})
        keep_json(given.results, result({**about, "seed": given.seed}, traced, loaded.model))


if __name__ == "__main__":
    main()
