"""Probes of what a written fact should carry along: other names, its reversal, one more hop, its negation.

All are made from the catalogue and from what is known; nothing is generated. The answers of the state before are not
needed, since what is new was not known then.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from guards.observations import ObservationKind
from pipelines.judging.probing import Question
from registry.catalogue import SUBJECT, Catalogue
from registry.records import EditRequest, KnownFact
from registry.text import normalise

_NEGATIONS = (
    (re.compile(r"\b(is|are|was)\b(?!.*\b(?:is|are|was)\b)"), r"\1 not"),
    (re.compile(r"\bwon\b"), "did not win"),
    (re.compile(r"\bplays\b"), "does not play"),
    (re.compile(r"\bspeaks\b"), "does not speak"),
    (re.compile(r"\bworks\b"), "does not work"),
    (re.compile(r"\boriginates\b"), "does not originate"),
    (re.compile(r"\bbelongs\b"), "does not belong"),
)
PORTED: tuple[ObservationKind, ...] = ("alias", "reversal", "two_hop", "negation")


@dataclass(frozen=True)
class Hops:
    """What is known of the things that are objects of written facts.

    Attributes:
        facts: relation and object, by subject in normal form; of relations with one object.
        owners: how many subjects have an object under a relation.
    """

    facts: Mapping[str, Sequence[tuple[str, str]]]
    owners: Mapping[tuple[str, str], int]

    @classmethod
    def of(cls, known: Sequence[KnownFact], catalogue: Catalogue) -> "Hops":
        """From the facts that hold."""
        facts: dict[str, list[tuple[str, str]]] = {}
        owners: Counter[tuple[str, str]] = Counter()
        for item in known:
            fact, relation = item.fact, catalogue.relations.get(item.fact.relation)
            owners[fact.relation, normalise(fact.object)] += 1
            if relation is not None and relation.cardinality == "one":
                facts.setdefault(normalise(fact.subject), []).append((fact.relation, fact.object))
        return cls(facts, owners)


def negated(prompt: str) -> list[str]:
    """The prompt with its verb negated; nothing where the verb is not one of the known ones."""
    for verb, other in _NEGATIONS:
        if verb.search(prompt):
            return [verb.sub(other, prompt, count=1)]
    return []


def portability_questions(
    requests: Sequence[EditRequest], known: Sequence[KnownFact], catalogue: Catalogue, per_kind: int
) -> list[Question]:
    """Up to `per_kind` questions of each kind, in the order of the requests, one of a kind for each fact.

    Args:
        requests: the facts that were written.
        known: the facts that hold after the run.
        catalogue: the relations and the names.
        per_kind: how many of each kind.
    """
    hops = Hops.of(known, catalogue)
    found: list[Question] = []
    counts: Counter[str] = Counter()
    for request in requests:
        for item in _questions(request, hops, catalogue):
            if counts[item.kind] < per_kind:
                counts[item.kind] += 1
                found.append(item)
    return found


def _questions(request: EditRequest, hops: Hops, catalogue: Catalogue) -> Iterator[Question]:
    """One question of each kind that the fact allows."""
    fact = request.fact
    relation = catalogue.relations.get(fact.relation)
    others = [name for name in catalogue.answers(fact.subject) if normalise(name) != normalise(fact.subject)]
    if others and fact.subject in request.prompt:
        prompt = request.prompt.replace(fact.subject, others[0])
        yield Question("alias", fact.id, prompt, request.answers)
    for prompt in negated(request.prompt):
        yield Question("negation", fact.id, prompt, request.answers)
    if relation is None:
        return
    if hops.owners.get((fact.relation, normalise(fact.object)), 0) <= 1:
        prompt = f"{fact.object} is the {relation.label} of"
        yield Question("reversal", fact.id, prompt, catalogue.answers(fact.subject))
    through = f"the {relation.label} of {fact.subject}"
    for name, thing in hops.facts.get(normalise(fact.object), ()):
        second = catalogue.relations[name]
        if second.subject_type == relation.object_type and normalise(thing) != normalise(fact.subject):
            text = second.prompt.replace(SUBJECT, through)
            yield Question("two_hop", fact.id, text[0].upper() + text[1:], catalogue.answers(thing))
            return
