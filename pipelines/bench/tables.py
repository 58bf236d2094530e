"""Edits made from tables: LRE relation files, and a feed with its relation catalogue."""

import json
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipelines.admission.tables import fact_of, read_facts, read_rows
from pipelines.bench.rows import Asked, BenchRow
from registry.catalogue import Catalogue
from registry.errors import InputError
from registry.records import Fact

NEIGHBOURS = 4
"""Neighbours and other facts of the subject that are asked per edit."""

_DRAWN = 4 * NEIGHBOURS
"""So many are drawn in random order, since some of them may be written by another edit of the run."""

_ATLAS = Path(__file__).resolve().parents[2] / "examples" / "atlas"
_WRITES = ("", "ADD", "UPDATE")


def relation_rows(path: Path, generator: random.Random) -> Iterator[BenchRow]:
    """One counterfactual edit per sample: another object of the same relation, drawn by seed.

    Raises:
        InputError: a file is not of LRE's shape, or a folder has none.
    """
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise InputError("relation files (*.json)", f"the folder {path} without any", "name another")
    relations = [_relation(file) for file in files]
    elsewhere: dict[str, list[tuple[str, Asked]]] = defaultdict(list)
    for name, templates, samples in relations:
        for subject, truth in samples:
            elsewhere[subject].append((name, Asked(templates[0].format(subject), (truth,))))
    for name, templates, samples in relations:
        objects = sorted({truth for _, truth in samples})
        for subject, truth in samples:
            others = [text for text in objects if text != truth]
            if not others:
                continue
            near = [one for one in generator.sample(samples, min(_DRAWN, len(samples))) if one[0] != subject]
            yield BenchRow(
                subject,
                name,
                templates[0].format(subject),
                generator.choice(others),
                truth,
                paraphrases=tuple(template.format(subject) for template in templates[1:]),
                neighbourhood=tuple(Asked(templates[0].format(one), (right,)) for one, right in near),
                same_subject=_some([asked for other, asked in elsewhere[subject] if other != name], generator),
            )


def feed_rows(path: Path, generator: random.Random) -> Iterator[BenchRow]:
    """One edit per row of a feed that asserts a fact of a known relation; other rows are left out.

    The catalogue is `relations.yaml` beside the feed, that of the atlas otherwise; neighbours come from `facts.csv`
    beside the catalogue, where there is one.

    Raises:
        InputError: the feed or the catalogue cannot be read.
    """
    place = path.parent if (path.parent / "relations.yaml").is_file() else _ATLAS
    catalogue = Catalogue.read(place / "relations.yaml")
    facts: list[Fact] = []
    for row in read_rows(path):
        try:
            fact = fact_of(row)
        except ValueError:
            continue
        if row.get("op", "").strip().upper() in _WRITES and fact.relation in catalogue.relations:
            facts.append(fact)
    touched = {(fact.subject, fact.relation) for fact in facts}
    known = read_facts(place / "facts.csv") if (place / "facts.csv").is_file() else []
    still = [fact for fact in known if (fact.subject, fact.relation) not in touched and fact.valid_to is None]
    asked = [(fact, _asked(catalogue, fact)) for fact in still if catalogue.relations.get(fact.relation)]
    truths = {(fact.subject, fact.relation): fact.object for fact in known}
    for fact in facts:
        request = catalogue.request(fact, "UPDATE")
        near = [one for other, one in asked if other.relation == fact.relation and other.subject != fact.subject]
        same = [one for other, one in asked if other.subject == fact.subject]
        yield BenchRow(
            fact.subject,
            fact.relation,
            request.prompt,
            fact.object,
            truths.get((fact.subject, fact.relation), ""),
            request.answers,
            request.held_out,
            _some(near, generator),
            _some(same, generator),
            fit_paraphrases=request.paraphrases,
            question=request.question,
        )


def _asked(catalogue: Catalogue, fact: Fact) -> Asked:
    """A known fact as a prompt with its accepted answers."""
    request = catalogue.request(fact, "ADD")
    return Asked(request.prompt, request.answers)


def _some(items: Sequence[Asked], generator: random.Random) -> tuple[Asked, ...]:
    """Some of them, drawn by seed, in random order."""
    return tuple(generator.sample(items, min(_DRAWN, len(items))))


def _relation(file: Path) -> tuple[str, list[str], list[tuple[str, str]]]:
    """Name, templates and samples of one LRE file.

    Raises:
        InputError: it is not of that shape.
    """
    try:
        raw: Any = json.loads(file.read_text(encoding="utf-8"))
        templates = [str(template) for template in raw["prompt_templates"]]
        samples = [(str(sample["subject"]), str(sample["object"])) for sample in raw["samples"]]
        if not templates or not all("{}" in template for template in templates):
            raise ValueError("a template without {}")
        return str(raw["name"]), templates, samples
    except (OSError, ValueError, KeyError, TypeError) as error:
        got = f"{type(error).__name__} {error}"
        raise InputError(
            f"an LRE relation (name, prompt_templates, samples) in {file}", got, "check --format"
        ) from None
