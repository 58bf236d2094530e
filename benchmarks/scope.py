"""SERAC's scope classifier on questions about stored facts, of many relations that it was not fitted on.

    python -m benchmarks.scope --model DIR --name NAME --pairs edit_scope_pairs_a.jsonl

A pair is a statement and questions that ask for it. The statement without its object is what is stored; in scope are
the questions of its relation, out of scope those of other relations about the same kind of subject. Subjects are
masked, so that it does not matter whose they are. Beside it: the same ordinary sentences, each a relation of its own.
Shares are means over relations, with bootstrap intervals over relations. Figures go to results/scope.json, by model.
"""

import argparse
import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from benchmarks.editors import keep_json
from editors.load import LoadedModel, load_model
from editors.pieces import Pieces
from editors.serac.config import SeracConfig
from editors.serac.embed import Embedder, Wording, embedder
from editors.serac.request import about
from editors.serac.scope import ask_of
from editors.serac.solve import Weights

HERE = Path(__file__).resolve().parent
STAND_IN = "Alpha"
RESAMPLES = 2000

CLOZES = {
    "person": (
        "{} is a citizen of",
        "The type of music that {} plays is",
        "{} plays the position of",
        "The univeristy where {} was educated is",
        "{} speaks the language of",
        "{} died in the city of",
        "{} works in the field of",
        "{} worked in the city of",
        "{} was born in the city of",
        "{}'s child is",
        "{} is married to",
        "{} is affiliated with the religion of",
        "{} is associated with the sport of",
        "{} is famous for",
        "{} is employed by",
    ),
    "work": (
        "The author of {} is",
        "{} was created by",
        "The company that produced {} is",
        "The origianl broadcaster of {} is",
        "The original language of {} is",
        "{} was written in the language of",
        "{} was created in the country of",
        "{} was developed by",
        "{} was performed by",
    ),
    "organisation": (
        "The headquarters of {} is located in the city of",
        "The chairperson of {} is",
        "The chief executive officer of {} is",
        "The head coach of {} is",
        "{} was founded by",
        "{} was founded in the city of",
        "The director of {} is",
    ),
    "place": (
        "The name of the current head of the {} government is",
        "The name of the current head of state in {} is",
        "The capital of {} is",
        "The official language of {} is",
        "{} is located in the continent of",
    ),
}
"""How the data states its relations (spelt as there), by kind of subject."""

KINDS = {cloze: kind for kind, clozes in CLOZES.items() for cloze in clozes}


def read_pairs(path: Path) -> dict[str, list[tuple[str, str]]]:
    """Subjects with questions that name them, by the cloze of the relation; statements of no known cloze are left."""
    patterns = {cloze: re.compile("(.+?)".join(map(re.escape, cloze.split("{}"))) + " .+") for cloze in KINDS}
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for line in path.read_text(encoding="utf-8").splitlines():
        pair = json.loads(line)
        hits = ((cloze, pattern.fullmatch(pair["edit"])) for cloze, pattern in patterns.items())
        cloze, subject = next(((cloze, hit[1]) for cloze, hit in hits if hit), ("", ""))
        if cloze:
            found[cloze] += [(subject, text) for text in dict.fromkeys(pair["questions"]) if subject in text]
    return found


def read_questions(
    loaded: LoadedModel, pieces: Pieces, pairs: Mapping[str, Sequence[tuple[str, str]]], each: int, seed: int
) -> dict[str, Counter[Wording]]:
    """Wordings of at most `each` questions of every relation, and how often each was drawn."""
    found = {}
    for cloze, asked in sorted(pairs.items()):
        drawn = random.Random(f"{seed}/{cloze}").sample(asked, min(each, len(asked)))
        read = (ask_of(loaded.tokenizer(text)["input_ids"], pieces, subject) for subject, text in drawn)
        found[cloze] = Counter(one[2] for one in read if one is not None)
    return found


def shares(
    embed: Embedder, weights: Weights, stored: Mapping[str, Wording], asked: Mapping[str, Counter[Wording]]
) -> dict[str, dict[str, float]]:
    """By relation: the share of its own questions that are in scope, and of others' that are kept out."""
    embed.store([*stored.values(), *(one for wordings in asked.values() for one in wordings)])
    found = {}
    for cloze in asked:
        hits, counts = Counter[bool](), Counter[bool]()
        for other, wordings in asked.items():
            if KINDS[other] == KINDS[cloze]:
                for wording, times in wordings.items():
                    s, d = embed.compare(stored[cloze], wording)
                    counts[other == cloze] += times
                    hits[other == cloze] += times * (weights.log_odds(s, None, d) >= 0)
        found[cloze] = {
            "recall": hits[True] / counts[True],
            "kept_out": 1 - hits[False] / counts[False],
            "asked": counts[True],
        }
    return found


def mean(values: Iterable[float]) -> dict[str, float]:
    """Mean with its 95 % bootstrap interval."""
    of = torch.tensor(list(values), dtype=torch.float64)
    draws = torch.randint(len(of), (RESAMPLES, len(of)), generator=torch.Generator().manual_seed(0))
    low, high = of[draws].mean(1).quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return {"mean": float(of.mean()), "low": low, "high": high}


def section(found: Mapping[str, Any]) -> str:
    """The section of RESULTS.md."""
    from benchmarks.report import table

    def cell(one: Mapping[str, float]) -> str:
        return f"{one['mean']:.3f} ({one['low']:.3f}-{one['high']:.3f})"

    rows = [
        [
            name,
            words,
            str(len(of["relations"])),
            str(of["questions"]),
            cell(of[key]["recall"]),
            cell(of[key]["kept_out"]),
        ]
        for name, of in found.items()
        for key, words in (("together", "as shipped"), ("alone", "each sentence a relation of its own"))
    ]
    worst = [
        f"* {name}: least in scope of "
        + "; ".join(f'"{cloze}" {of["relations"][cloze]["recall"]:.2f}' for cloze in _worst(of["relations"], "recall"))
        + "; least kept out of "
        + "; ".join(
            f'"{cloze}" {of["relations"][cloze]["kept_out"]:.2f}' for cloze in _worst(of["relations"], "kept_out")
        )
        + "."
        for name, of in found.items()
    ]
    head = ["model", "ordinary sentences", "relations", "questions", "in scope found", "out of scope kept out"]
    return "\n\n".join([table(head, rows), "\n".join(worst)])


def _worst(relations: Mapping[str, Mapping[str, float]], figure: str) -> list[str]:
    return sorted(relations, key=lambda cloze: relations[cloze][figure])[:4]


def main(arguments: Sequence[str] | None = None) -> None:
    """Score and keep; see the head of this module."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scope", description="Score SERAC's scope classifier.")
    parser.add_argument("--model", required=True, help="folder of the model")
    parser.add_argument("--name", required=True, help="what it is called in the results")
    parser.add_argument("--pairs", type=Path, required=True, help="statements and questions (JSON Lines)")
    parser.add_argument("--each", type=int, default=60, help="most questions of a relation")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=HERE / "results" / "scope.json")
    given = parser.parse_args(arguments)
    loaded = load_model(given.model, device="cpu")
    pieces, config = Pieces.of(loaded.tokenizer), SeracConfig()
    asked = read_questions(loaded, pieces, read_pairs(given.pairs), given.each, given.seed)
    read = {cloze: ask_of(loaded.tokenizer(cloze.format(STAND_IN))["input_ids"], pieces, STAND_IN) for cloze in asked}
    stored = {cloze: one[2] for cloze, one in read.items() if one is not None}
    weights = Weights(**{item.name: getattr(config, item.name) for item in fields(Weights)})
    result: dict[str, Any] = {
        "model": loaded.digest,
        "seed": given.seed,
        "questions": sum(wordings.total() for wordings in asked.values()),
    }
    together = about(loaded.tokenizer, pieces, config)
    alone = {name: value for name, value in together.items() if name != "relations"}
    for name, of in (("together", together), ("alone", alone)):
        embed = embedder(loaded.model, pieces, of)
        found = shares(embed, weights, stored, asked)
        embed.close()
        result[name] = {figure: mean(one[figure] for one in found.values()) for figure in ("recall", "kept_out")}
        if of is together:
            result["relations"] = found
    kept = json.loads(given.results.read_text(encoding="utf-8")) if given.results.is_file() else {}
    keep_json(given.results, {**kept, given.name: result})


if __name__ == "__main__":
    main()
