"""What the network is trained on: facts of the catalogue made false, and other facts that are to stay as they are."""

import csv
import json
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from registry.catalogue import Catalogue
from registry.digests import digest_json
from registry.errors import InputError
from registry.records import EditRequest, Fact
from registry.text import normalise

LEAST = 2
"""Fewest different objects of a relation that counterfactuals can be made of."""


@dataclass(frozen=True)
class TrainingSet:
    """Edits to train on; phrasings that are held out are not in it.

    Attributes:
        edits: requests whose object is another fact's of the same relation.
        others: requests of facts as they are, whose answers are to stay.
        left_out: relations that were left out.
    """

    edits: tuple[EditRequest, ...]
    others: tuple[EditRequest, ...]
    left_out: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Digest of every prompt and object in it."""
        return digest_json(
            [
                [(r.fact.subject, r.fact.relation, r.prompt, r.target, r.paraphrases) for r in part]
                for part in (self.edits, self.others)
            ]
        )


def scored_names(paths: Sequence[Path]) -> tuple[set[str], set[str]]:
    """Relations and (normalised) subjects of files of edits (JSON Lines with "subject" and "relation").

    Raises:
        InputError: a file is missing or a line lacks them.
    """
    relations, subjects = set(), set()
    for path in paths:
        if not path.is_file():
            raise InputError("a file of edits", str(path), "name an existing one")
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
                relations.add(row["relation"])
                subjects.add(normalise(row["subject"]))
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(f"subject and relation in every line of {path}", str(error), "mend it") from error
    return relations, subjects


def read_facts(path: Path) -> list[Fact]:
    """The facts of a CSV file with the columns subject, relation and object.

    Raises:
        InputError: the file is missing, or lacks a column.
    """
    if not path.is_file():
        raise InputError("a CSV file of facts", str(path), "name an existing one")
    with path.open(encoding="utf-8", newline="") as stream:
        try:
            return [Fact(row["subject"], row["relation"], row["object"]) for row in csv.DictReader(stream)]
        except KeyError as error:
            raise InputError(
                f"the columns subject, relation, object in {path}", f"none called {error}", "add it"
            ) from None


def training_set(
    catalogue: Catalogue,
    facts: Sequence[Fact],
    *,
    without_relations: Collection[str] = (),
    without_subjects: Collection[str] = (),
    objects: int = 1,
    seed: int = 0,
) -> TrainingSet:
    """Counterfactual edits of the catalogue's relations, and the true facts beside them.

    Args:
        catalogue: gives the phrasings; its held-out ones are dropped.
        facts: what is true.
        without_relations: relations to leave out: those of what the network will be scored on.
        without_subjects: subjects to leave out, normalised.
        objects: counterfactual objects per fact.
        seed: of their choice.

    Raises:
        InputError: nothing is left.
    """
    kept = [
        fact
        for fact in facts
        if fact.relation in catalogue.relations
        and fact.relation not in without_relations
        and normalise(fact.subject) not in without_subjects
    ]
    said: dict[str, list[str]] = {}
    true: dict[tuple[str, str], set[str]] = {}
    for fact in kept:
        said.setdefault(fact.relation, []).append(fact.object)
        true.setdefault((fact.subject, fact.relation), set()).add(fact.object)
    edits, others = [], []
    for fact in kept:
        choice = random.Random(f"{seed}:{fact.id}")
        false = sorted({*said[fact.relation]} - true[fact.subject, fact.relation])
        others.append(replace(catalogue.request(fact, "ADD"), held_out=()))
        if len(false) >= LEAST:
            for value in choice.sample(false, min(objects, len(false))):
                made = catalogue.request(replace(fact, object=value), "UPDATE")
                edits.append(replace(made, held_out=()))
    if not edits:
        raise InputError("facts to make training edits of", f"none of {len(facts)}", "leave out fewer relations")
    return TrainingSet(tuple(edits), tuple(others), tuple(sorted(without_relations)))
