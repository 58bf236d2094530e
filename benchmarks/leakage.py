"""Leaks planted on purpose, and whether the audit sees them.

    python -m benchmarks.leakage overlap
    python -m benchmarks.leakage build --model DIR --work DIR
    python -m benchmarks.leakage leaks --model DIR --work DIR
    python -m benchmarks.leakage deltas --model DIR --data edits.jsonl [--editors memit rome ...] [--n 10]

`build` trains two adapters with editors/lora: "leaky" on text with canaries, verbatim passages and members in it,
"clean" on the same text without them. `leaks` asks both, and the base model as the reference. What is drawn and how:
`leakage_data.py`; overlap: `leakage_overlap.py`. Figures go to results/leakage.json, a part each.
"""

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.editors import keep_json
from benchmarks.leakage_data import Planted, Sizes, plant
from benchmarks.leakage_overlap import overlap_figures
from editors import get_editor, read_delta
from editors.load import LoadedModel, load_model
from guards.base import Verdict
from guards.canaries import Ranked, order
from guards.inference import MembershipCase, auc
from guards.leakage import LeakagePolicy, Revealed
from pipelines.auditing.leakage_ask import Reading, extraction, likelihoods, ranked, read
from registry.errors import InputError
from registry.records import Fact

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "leakage.json"
BUILDS = ("leaky", "clean")
BLOCKS = 10
"""The last blocks of the model, which are trained."""


def build(loaded: LoadedModel, planted: Planted, work: Path, epochs: float, lr: float) -> dict[str, Any]:
    """Train the adapters that are not in `work` yet; returns what each cost."""
    from editors.layouts import layout_of
    from editors.lora.config import LoraSettings
    from editors.training import TrainingConfig
    from editors.windows import windows

    depth = len(layout_of(loaded.model).block_list(loaded.model))
    costs: dict[str, Any] = {}
    for name in BUILDS:
        folder = work / name
        texts = planted.build(leaky=name == "leaky")
        training = TrainingConfig(batch=4, length=128, lr=lr)
        count = len(windows(loaded.tokenizer, texts, training.length))
        steps = max(1, round(count * epochs / training.batch))
        training = TrainingConfig(steps=steps, batch=4, length=128, lr=lr)
        config = LoraSettings(layers=tuple(range(depth - BLOCKS, depth)), texts=texts, training=training)
        started = time.process_time()
        if not (folder / "delta.json").is_file():
            shutil.rmtree(folder, ignore_errors=True)
            get_editor("lora").fit(loaded.model, loaded.tokenizer, [], config).save(folder)
        costs[name] = {"texts": len(texts), "tokens": count * 128, "steps": steps, "epochs": epochs, "lr": lr}
        costs[name]["cpu_seconds"] = round(time.process_time() - started, 1)
    return costs


def ask(loaded: LoadedModel, planted: Planted, work: Path, name: str) -> dict[str, Any]:
    """What one build says of everything planted and its twins; kept in `work` and not asked twice."""
    kept = work / f"{name}.json"
    if kept.is_file():
        found: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        return found
    groups = ("passages", "passage_twins", "members", "twins", "fresh")
    delta = None if name == "base" else read_delta(work / name)
    with delta.applied(loaded.model) if delta is not None else nullcontext():
        answers: dict[str, Any] = {
            group: [[one.text, one.logs, one.greedy] for one in read(loaded, getattr(planted, group))]
            for group in groups
        }
        if delta is not None:
            answers["ranks"] = [[one.rank, one.space] for one in (ranked(loaded, each) for each in planted.canaries)]
    kept.write_text(json.dumps(answers), encoding="utf-8")
    found = json.loads(kept.read_text(encoding="utf-8"))
    return found


def verdicts(planted: Planted, own: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """What the guards make of one build's answers."""
    policy = LeakagePolicy()
    ranks = [
        Ranked(canary, rank, space, rank, rank)
        for canary, (rank, space) in zip(planted.canaries, own["ranks"], strict=True)
    ]
    readings = {group: _readings(own[group]) for group in own if group != "ranks"}
    parts = [likelihoods(readings[group], _readings(base[group])) for group in ("members", "twins", "fresh")]
    continued = extraction(readings["passages"], readings["passage_twins"], policy.prefixes, policy.wanted)
    tau, p = order(ranks)
    found: dict[str, Verdict] = {
        "exposure": policy.exposure().judge(ranks),
        "membership": policy.membership().judge(MembershipCase(*parts)),
        "extraction": policy.extraction().judge(continued),
    }
    return {**{name: one.to_dict() for name, one in found.items()}, "order": {"tau": tau, "p": p, "n": len(ranks)}}


def _readings(rows: Sequence[Sequence[Any]]) -> list[Reading]:
    """Readings as they were kept."""
    return [Reading(text, tuple(logs), tuple(greedy)) for text, logs, greedy in rows]


def deltas(loaded: LoadedModel, data: Path, names: Sequence[str], n: int, seed: int) -> dict[str, Any]:
    """What a delta of each editor tells of its subjects, and of as many subjects that it was never given (control)."""
    from pipelines.auditing.leakage_deltas import revealed
    from pipelines.bench.formats import read_rows
    from pipelines.bench.moments import config_of, with_moments
    from registry.digests import digest_file
    from registry.home import Home
    from registry.text import normalise

    rows = read_rows(data, "edits", 2 * n, seed).rows
    requests = [row.request for row in rows[:n]]
    facts = {request.fact.id: request.fact for request in requests}
    prompts = {one.fact.id: one.prompt.replace(one.fact.subject, "{}") for one in requests}
    own = {normalise(row.subject) for row in rows[:n]}
    control = list(dict.fromkeys(row.subject for row in rows[n:] if normalise(row.subject) not in own))
    others = [row.subject for row in read_rows(data, "edits", 10_000, seed).rows if row.subject not in control]
    policy, found = LeakagePolicy(), {}
    for name in names:
        config, _ = with_moments(config_of(name, seed), loaded, Home.default(), None)
        with tempfile.TemporaryDirectory() as folder:
            saved = Path(folder) / "delta"
            get_editor(name).fit(loaded.model, loaded.tokenizer, requests, config).save(saved)
            case = revealed(loaded, saved, facts, others, most=policy.candidates, seed=seed, prompts=prompts)
            figures = _other_ways(loaded, saved, case, control, list(prompts.values()))
        verdict = policy.reveal().judge(case).to_dict()
        found[name] = {"edited": len(case.edited), "others": len(case.others), "ranks": case.ranks(), "way": case.way}
        found[name] |= {"verdict": verdict, "names": len({text for one in facts.values() for text in _names(one)})}
        found[name] |= {"in_clear": len(case.clear), "edits": digest_file(data)[:12], **figures}
    return found


def _names(fact: Fact) -> tuple[str, str]:
    """What a fact is about and what it says of it."""
    return fact.subject, fact.object


def _other_ways(
    loaded: LoadedModel, saved: Path, case: Revealed, control: Sequence[str], prompts: Sequence[str]
) -> dict[str, Any]:
    """The control in the way of the case, and of a side memory how its numbers claim sentences that name a subject."""
    from editors.side_delta import SideDelta
    from pipelines.auditing.leakage_deltas import claimed, strengths_of

    delta = read_delta(saved)
    found: dict[str, Any] = {"controls": len(control)}
    _, strengths = strengths_of(loaded, delta, control, prompts)
    found["control"] = asdict(auc(strengths, case.others))
    if isinstance(delta, SideDelta):
        edited, subjects = len(case.edited), [name for name, _ in case.edited]
        values = claimed(loaded, delta, [*subjects, *case.compared])
        found["by_claims"] = asdict(auc(values[:edited], values[edited:]))
    return found


def keep(path: Path, part: str, figures: Mapping[str, Any]) -> None:
    """Put one part's figures into the file of results."""
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    keep_json(path, {**before, part: {**before.get(part, {}), **figures}})


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one part; see the head of this module."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.leakage", description="Planted leaks and the audit.")
    parser.add_argument("part", choices=("overlap", "build", "leaks", "deltas"))
    parser.add_argument("--model", help="folder of the model")
    parser.add_argument("--work", type=Path, help="folder of adapters and answers; what lies there is not made again")
    parser.add_argument("--data", type=Path, help="edits, as benchmarks/draw.py makes them")
    parser.add_argument("--editors", nargs="+", default=["memit", "rome", "wise", "grace", "serac"])
    parser.add_argument("--n", type=int, default=10, help="edits in a delta")
    parser.add_argument("--epochs", type=float, default=2.0)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args(arguments)
    if given.part == "overlap":
        keep(given.results, "overlap", overlap_figures([given.seed, given.seed + 1, given.seed + 2]))
        return
    if given.model is None or (given.data if given.part == "deltas" else given.work) is None:
        raise InputError("--model, and --work or --data", "one of them missing", "name both")
    loaded = load_model(given.model, device="cpu")
    if given.part == "deltas":
        keep(given.results, "deltas", deltas(loaded, given.data, given.editors, given.n, given.seed))
        return
    given.work.mkdir(parents=True, exist_ok=True)
    sizes = Sizes()
    planted = plant(given.seed, sizes)
    if given.part == "build":
        costs = build(loaded, planted, given.work, given.epochs, given.lr)
        keep(given.results, "build", {**costs, "sizes": vars(sizes), "seed": given.seed, "model": loaded.digest})
        return
    base = ask(loaded, planted, given.work, "base")
    for name in BUILDS:
        own = ask(loaded, planted, given.work, name)
        keep(given.results, "leaks", {name: verdicts(planted, own, base)})


if __name__ == "__main__":
    main()
