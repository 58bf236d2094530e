"""Does the coherent-persuasion score tell whether a model will read what it is given?

    python -m benchmarks.persuasion --model DIR [--n 60] [--seed 6]

Facts of the atlas are given another object of their relation, which is put before the model as context. The score is
sampled with and without it (`pipelines.judging.persuasion`); what it should tell is whether the greedy answer then
holds the given object. Told is the chance that a fact where it does scores higher than one where it does not (AUC),
beside that of the model's uncertainty without context. Figures go to results/persuasion.json.
"""

import argparse
import json
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.draw_relations import atlas_relations
from benchmarks.sensitivity_data import ATLAS, HERE
from pipelines.judging.persuasion import PersuasionPolicy, persuadability
from pipelines.settings import Settings
from registry.catalogue import Catalogue
from registry.records import EditRequest, Fact
from registry.text import starts_with_answer

RESAMPLES = 2000


def given(catalogue: Catalogue, n: int, seed: int) -> list[EditRequest]:
    """Requests for facts with another object of their relation, in turn over the relations with one object."""
    draw = random.Random(seed)
    lines = []
    for relation in atlas_relations(ATLAS):
        known = catalogue.relations.get(relation.name)
        if known is None or known.cardinality != "one":
            continue
        objects = sorted(set(relation.facts.values()))
        subjects = draw.sample(sorted(relation.facts), min(n, len(relation.facts)))
        rows = []
        for subject in subjects:
            others = [one for one in objects if one != relation.facts[subject]]
            rows.append(catalogue.request(Fact(subject, relation.name, draw.choice(others), source="bench"), "UPDATE"))
        lines.append(rows)
    return [row for rows in zip(*lines, strict=False) for row in rows][:n]


def auc(scores: Sequence[float], yields: Sequence[bool], seed: int) -> dict[str, Any]:
    """Chance that a case that yields scores higher, with its bootstrap interval over cases; ties count half."""
    from scipy.stats import rankdata

    values, marks = np.asarray(scores), np.asarray(yields)

    def area(places: Any) -> float:
        some, flags = values[places], marks[places]
        high, low = int(flags.sum()), int((~flags).sum())
        if not high or not low:
            return float("nan")
        return float((rankdata(some)[flags].sum() - high * (high + 1) / 2) / (high * low))

    draw = np.random.default_rng(seed)
    drawn = [area(draw.integers(0, len(values), len(values))) for _ in range(RESAMPLES)]
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return {"auc": area(np.arange(len(values))), "low": float(low), "high": float(high), "n": len(values)}


def section(found: Mapping[str, Any]) -> str:
    """The section of RESULTS.md."""
    from benchmarks.report import table

    def told(one: Mapping[str, float]) -> str:
        return f"{one['auc']:.3f} ({one['low']:.3f}-{one['high']:.3f})"

    body = [
        [name, f"{one['score']:.2f}", f"{one['yielded']} of {one['n']}"] for name, one in found["relations"].items()
    ]
    clear = found["persuasion"]["low"] > 0.5
    return (
        f"Model {found['model'][:12]}, {found['n']} facts of the atlas with another object put before the model, seed "
        f"{found['seed']}; {found['yielded']} answers then hold it. Chance that one of these scores higher than one "
        f"that does not (AUC, bootstrap over facts): score {told(found['persuasion'])}, uncertainty "
        f"without context {told(found['uncertainty'])}. The score "
        f"{'tells' if clear else 'does not clearly tell'} which facts will be read from context.\n\n"
        + table(["relation", "mean score (nats)", "given object said"], body)
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write results/persuasion.json."""
    from editors.generate import generate
    from editors.load import load_model

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder of the model")
    parser.add_argument("--n", type=int, default=60, help="facts")
    parser.add_argument("--seed", type=int, default=6, help="of the facts, the samples and the resampling")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "persuasion.json")
    options = parser.parse_args(arguments)
    catalogue, loaded = Settings.load().catalogue, load_model(options.model, device="cpu")
    requests = given(catalogue, options.n, options.seed)
    scores = persuadability(loaded, requests, catalogue, replace(PersuasionPolicy(), seed=options.seed))
    alone = generate(loaded.model, loaded.tokenizer, [one.prompt for one in requests])
    told = [f"{catalogue.statement(one.fact)}\n{one.prompt}" for one in requests]
    answers = generate(loaded.model, loaded.tokenizer, told)
    yields = [starts_with_answer(said.text, one.answers) for said, one in zip(answers, requests, strict=True)]
    by_relation: dict[str, list[tuple[float, bool]]] = defaultdict(list)
    for one, yielded in zip(requests, yields, strict=True):
        by_relation[one.fact.relation].append((scores[one.fact.id], yielded))
    figures = {
        "model": loaded.digest,
        "n": len(requests),
        "seed": options.seed,
        "yielded": sum(yields),
        "persuasion": auc([scores[one.fact.id] for one in requests], yields, options.seed),
        "uncertainty": auc([1.0 - said.certainty for said in alone], yields, options.seed),
        "relations": {
            name: {
                "score": sum(score for score, _ in rows) / len(rows),
                "yielded": sum(mark for _, mark in rows),
                "n": len(rows),
            }
            for name, rows in sorted(by_relation.items())
        },
    }
    options.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
