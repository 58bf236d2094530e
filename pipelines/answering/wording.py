"""Wording: facts as the sentences, questions and cloze prompts that a model is given."""

from collections.abc import Sequence
from functools import cached_property

from pipelines.answering.about import free_shape, key_of
from pipelines.answering.reader import WORKED, Example, Reading
from pipelines.answering.resolve import Resolution
from registry.catalogue import SUBJECT, Catalogue
from registry.records import Fact, KnownFact


class Wording:
    """Turns the facts of one state into what the reader is given."""

    def __init__(self, catalogue: Catalogue, facts: Sequence[KnownFact], examples: int) -> None:
        """Keep the facts; `examples` is how many worked examples each reading shows."""
        self.catalogue, self.facts, self.count = catalogue, facts, examples

    def prompt(self, relation: str, subject: str) -> str:
        """The cloze prompt of a relation about a subject."""
        known = self.catalogue.relations.get(relation)
        return (known.prompt if known else free_shape(relation).templates[1]).replace(SUBJECT, subject)

    def question(self, relation: str, subject: str) -> str:
        """The question of a relation about a subject."""
        known = self.catalogue.relations.get(relation)
        return (known.question if known else free_shape(relation).templates[0]).replace(SUBJECT, subject)

    def answer(self, item: KnownFact, one: Resolution) -> str:
        """What the answer is: the object, or the subject of a question that was turned round."""
        return item.fact.subject if one.reversed else item.fact.object

    def readings(self, one: Resolution) -> list[Reading]:
        """What the reader is given for every fact of a resolved question."""
        return [self._reading(item.fact, one) for item in one.facts]

    def _reading(self, fact: Fact, one: Resolution) -> Reading:
        """What the reader is given for one fact."""
        if one.reversed:
            kind = self.catalogue.relations[fact.relation].subject_type.replace("_", " ")
            label = self.catalogue.relations[fact.relation].label
            asked = f"Which {kind} has the {label} {fact.object}?"
            case = Example(self.catalogue.statement(fact), asked, f"The {kind} is", fact.subject)
            return Reading(case, self.catalogue.answers(fact.subject), WORKED[: self.count])
        return Reading(self._example(fact), self.catalogue.answers(fact.object), self._examples(fact))

    def _example(self, fact: Fact) -> Example:
        """A fact with its question and its cloze prompt."""
        statement = self.catalogue.statement(fact)
        question, prompt = self.question(fact.relation, fact.subject), self.prompt(fact.relation, fact.subject)
        return Example(statement, question, prompt, fact.object)

    def _examples(self, fact: Fact) -> tuple[Example, ...]:
        """Worked examples of the same relation about others; invented ones where there are too few."""
        subject, answer = key_of(self.catalogue, fact.subject), key_of(self.catalogue, fact.object)
        others = [
            other
            for other in self._samples.get(fact.relation, ())
            if key_of(self.catalogue, other.subject) != subject and key_of(self.catalogue, other.object) != answer
        ]
        return (*map(self._example, others[: self.count]), *WORKED)[: self.count]

    @cached_property
    def _samples(self) -> dict[str, list[Fact]]:
        """A few facts of every relation that have no end, in order of id, of different subjects and objects."""
        samples: dict[str, list[Fact]] = {}
        for fact in sorted((item.fact for item in self.facts if item.fact.valid_to is None), key=lambda fact: fact.id):
            kept = samples.setdefault(fact.relation, [])
            new = all(fact.subject != other.subject and fact.object != other.object for other in kept)
            if new and len(kept) < self.count + 2:
                kept.append(fact)
        return samples
