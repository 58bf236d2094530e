"""Draw edits by a rule: facts that a model knows made false, or facts that it gets wrong set right.

    python -m benchmarks.draw --model DIR --out edits.jsonl [--n 200] [--seed 0] [--kind counterfactual|correction]

Needs nothing but the model; its answers are kept in the home (DMMGOV_HOME) by its digest and asked once. The rule, step
by step, is in benchmarks/README.md. The file has the format `edits` of docs/bench.md.
"""

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.draw_relations import NOUN, REVERSED, SECOND_HOP, Phrased, atlas_relations, lre_relations
from pipelines.judging.beliefs import answers_of
from pipelines.judging.portability import negated
from registry.digests import digest_file
from registry.home import Home
from registry.text import normalise, starts_with_answer

if TYPE_CHECKING:
    from editors.load import LoadedModel

TESTS = 2
FEWEST_KNOWN = 8
FEWEST_OBJECTS = 4
NEIGHBOURS = 3
SAME_SUBJECT = 2
LONGEST_OBJECT = 4

Key = tuple[str, str]
"""Name of a relation, and a subject."""


@dataclass(frozen=True)
class Known:
    """One relation with what the model makes of it.

    Attributes:
        relation: its phrasings and facts.
        prompt: the phrasing that is fitted on.
        tests: the phrasings that are held out.
        right: objects of the facts that it answers under the prompt and one test phrasing, by subject.
        sure: those of them that it answers under all three.
        wrong: objects of the facts that it answers under none.
    """

    relation: Phrased
    prompt: str
    tests: tuple[str, ...]
    right: Mapping[str, str] = field(default_factory=dict)
    sure: Mapping[str, str] = field(default_factory=dict)
    wrong: Mapping[str, str] = field(default_factory=dict)

    def ask(self, subject: str) -> str:
        """The prompt about a subject."""
        return self.prompt.replace("{}", subject)


def known(relations: Sequence[Phrased], said: Mapping[str, str]) -> dict[str, Known]:
    """What a model knows, by relation; relations of which it knows too little are left out.

    The first phrasing of a relation that is `ordered` is its prompt. Of others the phrasing under which most facts are
    answered rightly is the prompt, and the next two are the test phrasings.
    """
    found = {}
    for one in relations:
        hits = {
            text: {
                subject: starts_with_answer(said[text.replace("{}", subject)], (thing,))
                for subject, thing in one.facts.items()
            }
            for text in one.phrasings
        }
        ranked = one.phrasings if one.ordered else sorted(one.phrasings, key=lambda text: -sum(hits[text].values()))
        chosen = tuple(ranked[: 1 + TESTS])
        if len(chosen) < 1 + TESTS:
            continue
        count = {subject: sum(hits[text][subject] for text in chosen) for subject in one.facts}
        right = {s: o for s, o in one.facts.items() if hits[chosen[0]][s] and count[s] >= TESTS}
        sure = {s: o for s, o in right.items() if count[s] == 1 + TESTS}
        wrong = {
            subject: thing
            for subject, thing in one.facts.items()
            if len(thing.split()) <= LONGEST_OBJECT
            and not any(starts_with_answer(said[t.replace("{}", subject)], one.names(thing)) for t in chosen)
        }
        if len(right) >= FEWEST_KNOWN and len(set(right.values())) >= FEWEST_OBJECTS:
            found[one.name] = Known(one, chosen[0], chosen[1:], right, sure, wrong)
    return found


def drawn(facts: Mapping[str, Known], kind: str, n: int, seed: int, without: frozenset[Key] = frozenset()) -> list[Key]:
    """The edited facts: shuffled by seed, at most half of what is known of a relation, so that neighbours are left."""
    pool = [
        (name, subject)
        for name, one in sorted(facts.items())
        for subject in sorted(one.right if kind == "counterfactual" else one.wrong)
        if (name, subject) not in without
    ]
    random.Random(seed).shuffle(pool)
    taken: list[Key] = []
    counts: Counter[str] = Counter()
    for name, subject in pool:
        if len(taken) < n and counts[name] < len(facts[name].right) // 2:
            counts[name] += 1
            taken.append((name, subject))
    return taken


def rows(facts: Mapping[str, Known], edited: Sequence[Key], kind: str, seed: int) -> list[dict[str, Any]]:
    """The edits in the format `edits`; nothing that one of them writes is a probe of another."""
    return [_row(facts, name, subject, frozenset(edited), kind, seed) for name, subject in edited]


def _row(
    facts: Mapping[str, Known], name: str, subject: str, edited: frozenset[Key], kind: str, seed: int
) -> dict[str, Any]:
    """One edit with its probes."""
    one, draw = facts[name], random.Random(f"{seed}/{name}/{subject}")
    if kind == "counterfactual":
        true = one.right[subject]
        others = {
            thing for thing in one.right.values() if normalise(thing) not in map(normalise, one.relation.names(true))
        }
        new = draw.choice(sorted(others))
    else:
        true, new = "", one.wrong[subject]
    near = [other for other in sorted(one.sure) if other != subject and (name, other) not in edited]
    same = [
        (other, facts[other].right[subject])
        for other in sorted(facts)
        if other != name and subject in facts[other].right and (other, subject) not in edited
    ]
    ask = partial(_probe, facts)
    row: dict[str, Any] = {
        "subject": subject,
        "relation": name,
        "prompt": one.ask(subject),
        "target_new": new,
        "target_true": true,
        "paraphrases": [text.replace("{}", subject) for text in one.tests],
        "question": one.relation.question.replace("{}", subject),
        "neighbourhood": [ask(name, other, one.sure[other]) for other in draw.sample(near, min(NEIGHBOURS, len(near)))],
        "same_subject": [ask(rel, subject, thing) for rel, thing in draw.sample(same, min(SAME_SUBJECT, len(same)))],
        "negation": [{"prompt": text, "answer": new} for text in negated(one.ask(subject))],
        "reversal": [{"prompt": REVERSED[name].replace("{}", new), "answer": subject}] if name in REVERSED else [],
        "two_hop": _two_hop(facts, name, subject, new, edited, draw),
    }
    return {key: value for key, value in row.items() if value not in ([], "")}


def _probe(facts: Mapping[str, Known], name: str, subject: str, answer: str) -> dict[str, str]:
    """A prompt with its answer."""
    return {"prompt": facts[name].ask(subject), "answer": answer}


def _two_hop(
    facts: Mapping[str, Known], name: str, subject: str, new: str, edited: frozenset[Key], draw: random.Random
) -> list[dict[str, str]]:
    """A fact about the country that the edit names, asked through the edit; one that no edit writes."""
    hops = [h for h in SECOND_HOP if h in facts and new in facts[h].sure and (h, new) not in edited]
    if name not in NOUN or not hops:
        return []
    hop = draw.choice(hops)
    text = facts[hop].prompt.replace("{}", NOUN[name].replace("{}", subject))
    return [{"prompt": text[0].upper() + text[1:], "answer": facts[hop].sure[new]}]


def ask(loaded: "LoadedModel", relations: Sequence[Phrased], home: Home) -> dict[str, str]:
    """What the model says to every phrasing of every fact."""
    prompts = [text.replace("{}", subject) for one in relations for text in one.phrasings for subject in one.facts]
    said = answers_of(loaded, list(dict.fromkeys(prompts)), home=home)
    return {prompt: one.text for prompt, one in zip(dict.fromkeys(prompts), said, strict=True)}


def excluded(files: Sequence[Path]) -> frozenset[Key]:
    """Facts that other files of edits write."""
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    return frozenset((row["relation"], row["subject"]) for row in map(json.loads, lines))


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw and write; see the head of this module."""
    from editors.load import load_model

    here = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.draw", description="Draw edits by a rule.")
    parser.add_argument("--model", required=True, help="folder of the model")
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=("counterfactual", "correction"), default="counterfactual")
    parser.add_argument("--exclude", type=Path, nargs="*", default=[], help="files of edits whose facts are not drawn")
    parser.add_argument("--atlas", type=Path, default=here / "examples" / "atlas")
    parser.add_argument("--lre", type=Path, default=here.parent / "shared" / "data" / "editing", help="folder with LRE")
    given = parser.parse_args(arguments)
    relations = [*atlas_relations(given.atlas), *lre_relations(given.lre)]
    facts = known(relations, ask(load_model(given.model, device="cpu"), relations, Home.default()))
    edited = drawn(facts, given.kind, given.n, given.seed, excluded(given.exclude))
    found = rows(facts, edited, given.kind, given.seed)
    given.out.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found), encoding="utf-8")
    counts = Counter(name for name, _ in edited)
    sys.stdout.write(f"{len(found)} edits of {len(counts)} relations: {dict(sorted(counts.items()))}\n")
    sys.stdout.write(f"sha256 {digest_file(given.out)}\n")


if __name__ == "__main__":
    main()
