"""Resolve: code decides which fact a question asks for (subject, relation, time); no model has a say in it.

1. Known names are found in the question as whole words, the longest first.
2. The relation is the one whose template the question is an instance of; otherwise the one that is nearest in meaning,
   when it is near enough, clearly nearer than the next, and leaves no name and no word beside the subject unexplained.
3. Of the versions of that fact the one is taken that holds on the day asked for; of several the one that holds since
   the latest day, then the one recorded last.

Whatever does not pass is refused, with the reason.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Literal

from pipelines.answering.about import (
    Mention,
    Names,
    Shape,
    free_shape,
    holds_words,
    key_of,
    shape_of,
    tokens,
)
from pipelines.answering.nearest import Meaning, MeaningPolicy
from pipelines.answering.picking import Pick, pick
from pipelines.answering.when import When, find_when
from registry.catalogue import Catalogue
from registry.records import KnownFact

if TYPE_CHECKING:
    from editors.rag.index import Index

Status = Literal["found", "no_fact", "unknown_relation", "unknown_subject", "no_day"]
"""What became of a question.

found: the facts are the answer.
no_fact: subject and relation are clear; nothing that is known holds on that day.
unknown_relation: the subject is known, what is asked about it is not.
unknown_subject: it names nothing that is known.
no_day: the time that it names is no day of the calendar.
"""


@dataclass(frozen=True)
class Resolution:
    """What a question asks for.

    Attributes:
        question: as it was asked.
        status: see `Status`.
        day: the day that it asks for.
        subject: the subject as the facts write it; None where it is not known.
        relation: the relation; None where it is not known.
        facts: the answer; several only where the relation takes several objects.
        reversed: the object was given and the subject is asked for.
        why: in words: how it was found, or why not.
    """

    question: str
    status: Status
    day: date
    subject: str | None = None
    relation: str | None = None
    facts: tuple[KnownFact, ...] = ()
    reversed: bool = False
    why: str = ""


@dataclass(frozen=True)
class _Reading:
    """One way of understanding a question: whose fact of which relation."""

    key: str
    relation: str
    how: str


class Resolver:
    """Resolves questions against facts; built once for a state of what is known."""

    def __init__(
        self,
        catalogue: Catalogue,
        facts: Sequence[KnownFact],
        index: "Index | None" = None,
        policy: MeaningPolicy | None = None,
        shapes: Mapping[str, Shape] | None = None,
    ) -> None:
        """Index the facts by subject and relation.

        Args:
            catalogue: the relations and the aliases.
            facts: every version that is known, whenever it holds.
            index: proposes facts where names or words do not decide; its encoder compares meanings.
            policy: the thresholds.
            shapes: how each relation is asked about; by default all that the catalogue and the facts name.
        """
        self.catalogue, self.index = catalogue, index
        self.policy = policy or MeaningPolicy()
        self.versions: dict[tuple[str, str], list[KnownFact]] = {}
        self.subjects: dict[str, str] = {}
        self.by_object: dict[tuple[str, str], list[KnownFact]] = {}
        for item in facts:
            key = key_of(catalogue, item.fact.subject)
            self.subjects.setdefault(key, item.fact.subject)
            self.versions.setdefault((key, item.fact.relation), []).append(item)
            self.by_object.setdefault((key_of(catalogue, item.fact.object), item.fact.relation), []).append(item)
        self.names = Names(catalogue, (item.fact.subject for item in facts))
        self.objects = Names(catalogue, (item.fact.object for item in facts))
        self.shapes = dict(shapes) if shapes is not None else known_shapes(catalogue, facts)
        self._templates: dict[tuple[str, ...], list[str]] = {}
        for name, shape in self.shapes.items():
            for masked in shape.masked():
                self._templates.setdefault(masked, []).append(name)
        self.meaning = Meaning(self.shapes, index.encoder if index is not None else None, self.policy)

    def resolve(self, question: str, as_of: date) -> Resolution:
        """What `question` asks for, on the day that it names, `as_of` otherwise."""
        return self.resolve_many([question], as_of)[0]

    def resolve_many(self, questions: Sequence[str], as_of: date) -> list[Resolution]:
        """`resolve` for several questions; those that need a comparison of meanings are compared together."""
        done: dict[int, Resolution] = {}
        open_: list[tuple[int, When, tuple[Mention, ...]]] = []
        for number, question in enumerate(questions):
            found, when, mentions = self._directly(question, as_of)
            if found is not None:
                done[number] = found
            else:
                open_.append((number, when, mentions))
        asked = [(item[1].rest, item[2]) for item in open_]
        types = [[self._types(mention) for mention in mentions] for _, mentions in asked]
        for (number, when, mentions), near in zip(open_, self.meaning.nearest(asked, types), strict=True):
            question, day = questions[number], when.day or as_of
            if near.relation is None:
                known = self._subject_of(mentions[:1])
                done[number] = Resolution(question, "unknown_relation", day, known, None, why=near.why)
            else:
                readings = [_Reading(key, near.relation, near.why) for key in near.keys]
                done[number] = self._answer(question, when, day, self._prefer(question, readings, day))
        return [done[number] for number in range(len(questions))]

    def _directly(self, question: str, as_of: date) -> tuple[Resolution | None, When, tuple[Mention, ...]]:
        """The resolution of a question that no comparison of meanings is needed for; otherwise its time and names."""
        plain = When(question, as_of)
        readings = self._exact(tokens(question))
        if readings:
            return self._answer(question, plain, as_of, self._prefer(question, readings, as_of)), plain, ()
        when = find_when(question, as_of)
        words = tokens(when.rest)
        if when.day is None:
            why = f"{when.phrase!r} is no day of the calendar"
            return Resolution(question, "no_day", as_of, why=why), when, ()
        readings = self._exact(words)
        if readings:
            return self._answer(question, when, when.day, self._prefer(question, readings, when.day)), when, ()
        turned = self._turned(question, words, when.day)
        if turned is not None:
            return turned, when, ()
        mentions = tuple(maximal(self.names.mentions(words)))
        if not mentions:
            return Resolution(question, "unknown_subject", when.day, why=self._nearest_name(question)), when, ()
        return None, when, mentions

    def _exact(self, words: Sequence[str]) -> list[_Reading]:
        """Readings of a question that is an instance of a template; the longest name decides."""
        for mention in self.names.mentions(words):
            relations = self._templates.get(mention.masked(words), [])
            if relations:
                return [_Reading(key, name, "by its wording") for key in mention.keys for name in relations]
        return []

    def _prefer(self, question: str, readings: Sequence[_Reading], day: date) -> _Reading:
        """The reading with a fact that holds on `day`; of several the one whose fact retrieval puts first."""
        live = [one for one in readings if self._pick(one.key, one.relation, day).facts]
        if len(live) < 2 or self.index is None:
            return live[0] if live else readings[0]
        owner = {item.fact.id: one for one in live for item in self._pick(one.key, one.relation, day).facts}
        hits = self.index.search(question, 1, allow=owner)
        return owner[hits[0].fact_id] if hits else live[0]

    def _pick(self, key: str, relation: str, day: date) -> Pick:
        """The versions of one fact that hold on `day`."""
        return pick(self.versions.get((key, relation), ()), day, self.catalogue.relations.get(relation))

    def _answer(self, question: str, when: When, day: date, reading: _Reading) -> Resolution:
        """The resolution of a question that is understood."""
        chosen = self._pick(reading.key, reading.relation, day)
        subject = self.subjects.get(reading.key, reading.key)
        label = self.shapes[reading.relation].label
        asked = f", as of {day.isoformat()} ({when.phrase!r})" if when.explicit else ""
        why = f"{label} of {subject}, {reading.how}{asked}"
        status: Status = "found" if chosen.facts else "no_fact"
        why = "; ".join(part for part in (why, chosen.why) if part)
        return Resolution(question, status, day, subject, reading.relation, chosen.facts, why=why)

    def _turned(self, question: str, words: Sequence[str], day: date) -> Resolution | None:
        """The resolution of "Which country has the capital Paris?": a type of subject, a cue, and a known object."""
        for mention in maximal(self.objects.mentions(words)):
            masked = mention.masked(words)
            for name, shape in self.shapes.items():
                kind = tokens(shape.subject_type)
                asks = any(holds_words(masked[:5], (which, *kind)) for which in ("which", "what"))
                rest = masked[masked.index(kind[-1]) + 1 :] if asks and kind[-1] in masked else ()
                if not rest or not any(holds_words(rest, cue) for cue in shape.cues):
                    continue
                if self.meaning.strange(question, masked, shape):
                    continue
                found = self._holders(mention, name, day)
                if found:
                    why = f"{shape.subject_type} by its {shape.label}"
                    subject = found[0].fact.subject if len(found) == 1 else None
                    return Resolution(question, "found", day, subject, name, tuple(found), reversed=True, why=why)
        return None

    def _holders(self, mention: Mention, relation: str, day: date) -> list[KnownFact]:
        """The facts of `relation` with that object which are the version in force on `day`."""
        items = [item for key in mention.keys for item in self.by_object.get((key, relation), ())]
        return [item for item in items if item in self._pick(self._key(item), relation, day).facts]

    def _key(self, item: KnownFact) -> str:
        """Under which name a fact is kept."""
        return key_of(self.catalogue, item.fact.subject)

    def _types(self, mention: Mention) -> tuple[str, ...]:
        """Types of what a name means, by the relations that are known of it."""
        relations = (name for key, name in self.versions if key in mention.keys)
        return tuple(dict.fromkeys(self.shapes[name].subject_type for name in relations if name in self.shapes))

    def _subject_of(self, mentions: Sequence[Mention]) -> str | None:
        """The name of what the first mention means."""
        return next((self.subjects[key] for mention in mentions for key in mention.keys), None)

    def _nearest_name(self, question: str) -> str:
        """Why no subject was found, with the nearest that retrieval proposes."""
        why = "it names nothing that is known"
        hits = self.index.search(question, 1) if self.index is not None else []
        return f"{why}; the nearest fact is {hits[0].sentence!r}" if hits else why


def maximal(mentions: Iterable[Mention]) -> list[Mention]:
    """The mentions that no longer one covers, in their order (the longest first)."""
    kept: list[Mention] = []
    for mention in mentions:
        if not any(mention.start < other.stop and other.start < mention.stop for other in kept):
            kept.append(mention)
    return kept


def known_shapes(catalogue: Catalogue, facts: Iterable[KnownFact]) -> dict[str, Shape]:
    """How every relation of the catalogue and of the facts is asked about."""
    shapes = {name: shape_of(relation) for name, relation in catalogue.relations.items()}
    for item in facts:
        if item.fact.relation not in shapes:
            shapes[item.fact.relation] = free_shape(item.fact.relation)
    return shapes
