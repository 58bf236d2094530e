"""Fit the weights of the scope classifier on a relation catalogue, and score them, from the command line.

    python -m editors.serac.calibrate MODEL OUT.json --catalogue relations.yaml --facts facts.csv --lre FOLDER

MODEL is a Hugging Face folder. A case is a stored phrasing, an asked one, and a subject: in scope when both are of one
relation, out of scope when they are of two relations that ask about the same kind of subject. Fitting reads prompts,
paraphrases and questions, never held-out phrasings. Scored are stored prompts against all other phrasings: those of
each relation by weights that were fitted on cases without it, and those of LRE's relations by the final weights.
"""

import argparse
import csv
import json
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import permutations
from pathlib import Path
from typing import Any

import torch

from editors.pieces import Pieces
from editors.serac.config import SeracConfig
from editors.serac.embed import embedder
from editors.serac.request import about
from editors.serac.scope import ask_of
from editors.serac.solve import Weights, agreement, likeliest
from registry.catalogue import Catalogue

SUBJECTS = 4
"""Subjects of a kind that phrasings are tried with."""

CAUTION = 0.5
"""What is taken off the bias: a wrong answer to a text out of scope is worse than a missed one."""


STAND_IN = "Alpha"
"""Subject with which phrasings are read; it is masked."""

NEWTON_STEPS = 50


@dataclass(frozen=True)
class Phrasing:
    """One way to ask for a relation: `text` with {} for the subject; `stored` is the prompt of a bare request."""

    relation: str
    kind: str
    text: str
    stored: bool
    question: bool
    held_out: bool


@dataclass(frozen=True)
class Case:
    """What is known of a stored and an asked phrasing with one subject; `a` is None for questions."""

    relations: tuple[str, str]
    stored: bool
    held_out: bool
    s: float
    a: float | None
    d: float

    @property
    def same(self) -> bool:
        """Whether it is in scope."""
        return self.relations[0] == self.relations[1]


def of_catalogue(path: Path) -> list[Phrasing]:
    """The phrasings of a catalogue's relations."""
    found = []
    for name, one in Catalogue.read(path).relations.items():
        ways = [(one.prompt, True, False, False), (one.question, False, True, False)]
        ways += [(text, False, False, False) for text in one.paraphrases]
        ways += [(text, False, False, True) for text in one.held_out]
        found += [Phrasing(name, one.subject_type, text.replace("{subject}", "{}"), *rest) for text, *rest in ways]
    return found


def of_lre(folder: Path) -> tuple[list[Phrasing], dict[str, list[str]]]:
    """The phrasings of LRE's relation files, and their subjects by kind (the first word of a relation's name)."""
    found: list[Phrasing] = []
    subjects: dict[str, list[str]] = defaultdict(list)
    for file in sorted(folder.glob("*.json")):
        raw = json.loads(file.read_text(encoding="utf-8"))
        kind = file.stem.split("_")[0]
        subjects[kind] += [sample["subject"] for sample in raw["samples"]]
        texts = list(dict.fromkeys([*raw["prompt_templates"], *raw["prompt_templates_zs"]]))
        plain = [text for text in texts if "?" not in text]
        asked = [text[: text.index("?") + 1] for text in texts if "?" in text]
        found += [Phrasing(file.stem, kind, text, text == plain[0], False, False) for text in plain]
        found += [Phrasing(file.stem, kind, text, False, True, False) for text in asked]
    return found, dict(subjects)


def cases(
    model: Any, tokenizer: Any, phrasings: Sequence[Phrasing], subjects: Mapping[str, Sequence[str]]
) -> list[Case]:
    """Every pair of phrasings about one kind of subject, with a few subjects each; questions with one."""
    config, pieces = SeracConfig(), Pieces.of(tokenizer)
    draw = random.Random(0)
    drawn = {kind: draw.sample(sorted({*names}), min(SUBJECTS, len({*names}))) for kind, names in subjects.items()}
    read = [(one, ask_of(tokenizer(one.text.format(STAND_IN))["input_ids"], pieces, STAND_IN)) for one in phrasings]
    asked = [(one, found[2]) for one, found in read if found is not None]
    following = {
        (one.text, name): _next_words(model, tokenizer, one.text.format(name), config.continuations)
        for one, _ in asked
        if not one.question
        for name in drawn[one.kind]
    }
    embed = embedder(model, pieces, about(tokenizer, pieces, config))
    embed.store(wording for _, wording in asked)
    found = []
    for (left, stored), (right, wording) in permutations(asked, 2):
        if left.kind == right.kind and not left.held_out:
            s, d = embed.compare(stored, wording)
            open_ = not (left.question or right.question)
            agreed = [
                agreement(following[left.text, name], following[right.text, name]) for name in drawn[left.kind] if open_
            ]
            pair = Case((left.relation, right.relation), left.stored, right.held_out, s, None, d)
            found += [replace(pair, a=a) for a in agreed] or [pair]
    embed.close()
    return found


def _next_words(model: Any, tokenizer: Any, text: str, count: int) -> dict[int, float]:
    """The model's likeliest next tokens after a text."""
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    with torch.no_grad():
        return likeliest(model(input_ids=ids, use_cache=False).logits[0, -1], count)


def fitted(known: Sequence[Case], start: Weights) -> Weights:
    """The logistic regression of `known`, in and out of scope weighing the same; centre and gate are those of `start`.

    Newton's method on the mean log-loss with a ridge of 1e-4.
    """
    x = torch.tensor([_evidence(case, start) for case in known], dtype=torch.float64)
    y = torch.tensor([case.same for case in known], dtype=torch.float64)
    weight = torch.where(y > 0, 0.5 / y.sum(), 0.5 / (1 - y).sum())
    w = torch.zeros(x.shape[1], dtype=torch.float64)
    ridge = 1e-4 * torch.eye(len(w), dtype=torch.float64)
    for _ in range(NEWTON_STEPS):
        p = (x @ w).sigmoid()
        slope = x.T @ (weight * (p - y)) + ridge @ w
        w = w - torch.linalg.solve((x.T * (weight * p * (1 - p))) @ x + ridge, slope)
    s, a, d, bias = w.tolist()
    return replace(start, similarity=s, agreement=a, contrast=d, bias=bias)


def _evidence(case: Case, weights: Weights) -> list[float]:
    """What each weight is multiplied by, read off the log-odds themselves."""
    none = replace(weights, similarity=0.0, agreement=0.0, contrast=0.0, bias=0.0)
    ways = [replace(none, **{name: 1.0}) for name in ("similarity", "agreement", "contrast", "bias")]
    return [one.log_odds(case.s, case.a, case.d) for one in ways]


def scores(known: Sequence[tuple[Case, float]]) -> dict[str, dict[str, int | float]]:
    """Recall, specificity and counts of cases with their log-odds, clozes and questions apart."""
    found = {}
    for name, question in (("cloze", False), ("question", True)):
        part = [(case.same, odds >= 0) for case, odds in known if (case.a is None) == question]
        inside, outside = [hit for same, hit in part if same], [hit for same, hit in part if not same]
        if inside and outside:
            found[name] = {
                "in_scope": len(inside),
                "hit": sum(inside),
                "out_of_scope": len(outside),
                "kept_out": len(outside) - sum(outside),
                "recall": sum(inside) / len(inside),
                "specificity": 1 - sum(outside) / len(outside),
            }
    return found


def left_out(known: Sequence[Case], start: Weights) -> Iterator[tuple[Case, float]]:
    """Cases of stored prompts, each with its log-odds by weights that never saw its stored relation."""
    for relation in sorted({case.relations[0] for case in known}):
        others = [case for case in known if relation not in case.relations and not case.held_out]
        weights = cautious(fitted(others, start))
        yield from ((case, odds(case, weights)) for case in known if case.stored and case.relations[0] == relation)


def cautious(weights: Weights) -> Weights:
    """The weights as they are used."""
    return replace(weights, bias=weights.bias - CAUTION)


def odds(case: Case, weights: Weights) -> float:
    """Log-odds that a case is in scope."""
    return weights.log_odds(case.s, case.a, case.d)


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit, score and write; see the head of this module."""
    parser = argparse.ArgumentParser(prog="python -m editors.serac.calibrate", description="Fit the scope classifier.")
    parser.add_argument("model", type=Path, help="a Hugging Face folder")
    parser.add_argument("out", type=Path, help="JSON file to write")
    parser.add_argument("--catalogue", type=Path, required=True, help="relation catalogue (YAML)")
    parser.add_argument("--facts", type=Path, required=True, help="facts (CSV) whose subjects are used")
    parser.add_argument("--lre", type=Path, help="folder of LRE's relations, to score the weights on")
    options = parser.parse_args(arguments)
    from editors.load import load_model

    loaded = load_model(options.model, device="cpu")
    phrasings = of_catalogue(options.catalogue)
    kinds = {one.relation: one.kind for one in phrasings}
    subjects: dict[str, list[str]] = {}
    with options.facts.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            subjects.setdefault(kinds[row["relation"]], []).append(row["subject"])
    start = Weights(**{item.name: getattr(SeracConfig(), item.name) for item in fields(Weights)})
    known = cases(loaded.model, loaded.tokenizer, phrasings, subjects)
    weights = cautious(fitted([case for case in known if not case.held_out], start))
    result = {"weights": asdict(weights), "left_out": scores(list(left_out(known, start)))}
    if options.lre:
        others = cases(loaded.model, loaded.tokenizer, *of_lre(options.lre))
        result["lre"] = scores([(case, odds(case, weights)) for case in others if case.stored])
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
