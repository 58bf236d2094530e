"""What a question is about: the names that stand in it, and the templates that it may be an instance of.

Names, templates and questions all pass through `tokens`, so that they compare as sequences of plain words.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from registry.catalogue import OBJECT, SUBJECT, Catalogue, Relation
from registry.text import normalise

SLOT = "subjectslot"
_POSSESSIVE = re.compile(r"(?<=\w)['\u2019]s\b")
_GRAMMAR = (
    "a an the of in on at to for by from with about as and or is are was were be been being do does did has have had"
    " what which who whom whose where when how that this these those it its there s can could would will shall should"
    " please tell me give name say know you i we us they he she one called named currently now today"
)
_LIGHT = (
    "use uses used lie lies belong belongs receive received get got serve serves hold holds stand stands people person"
    " get gets come comes go goes situated found located whole full list office title"
)
_FUNCTION_WORDS = frozenset(f"{_GRAMMAR} {_LIGHT}".split())
_SHORT = 3
_OTHER_KINDS = frozenset(("when", "why", "how", "who", "whom", "whose"))


def tokens(text: str) -> tuple[str, ...]:
    """The plain words of `text`; a possessive ending is a word of its own."""
    return tuple(normalise(_POSSESSIVE.sub(" s", text)).split())


@dataclass(frozen=True)
class Mention:
    """A known name that stands in a question.

    Attributes:
        start: index of its first word.
        stop: index after its last word.
        keys: the names that it may mean, each in normal form.
    """

    start: int
    stop: int
    keys: tuple[str, ...]

    def masked(self, words: Sequence[str]) -> tuple[str, ...]:
        """The question's words with the slot in place of the name and of an article before it."""
        before = words[: self.start]
        if before and before[-1] == "the":
            before = before[:-1]
        return (*before, SLOT, *words[self.stop :])


class Names:
    """Known names and their aliases, found as whole words."""

    def __init__(self, catalogue: Catalogue, names: Iterable[str]) -> None:
        """Index `names` by every way of writing them that the catalogue knows."""
        table: dict[tuple[str, ...], dict[str, None]] = {}
        for name in dict.fromkeys(names):
            for form in catalogue.answers(name):
                for spelled in (tokens(form), tuple(normalise(form).split())):
                    if spelled:
                        table.setdefault(spelled, {})[key_of(catalogue, name)] = None
        self._table: Mapping[tuple[str, ...], tuple[str, ...]] = {form: tuple(keys) for form, keys in table.items()}
        self._longest = max(map(len, table), default=0)

    def mentions(self, words: Sequence[str]) -> list[Mention]:
        """Every known name in `words`, the longest first, then from the end of the question backwards."""
        found = []
        for start in range(len(words)):
            for stop in range(start + 1, min(start + self._longest, len(words)) + 1):
                keys = self._table.get(tuple(words[start:stop]))
                if keys:
                    found.append(Mention(start, stop, keys))
        return sorted(found, key=lambda item: (item.start - item.stop, -item.start))

    def forms(self) -> list[str]:
        """Every known way of writing a name, as plain words."""
        return [" ".join(form) for form in self._table]


def key_of(catalogue: Catalogue, name: str) -> str:
    """The normal form under which everything that is known about `name` is kept."""
    return normalise(catalogue.canonical(name))


@dataclass(frozen=True)
class Shape:
    """How one relation is asked about.

    Attributes:
        name: the relation.
        label: the same for people.
        templates: texts with {subject}: questions and cloze texts.
        cues: word sequences that point to the relation.
        vocabulary: every word that its templates use.
        subject_type: type of its subjects, in words.
    """

    name: str
    label: str
    templates: tuple[str, ...]
    cues: tuple[tuple[str, ...], ...]
    vocabulary: frozenset[str]
    subject_type: str

    def masked(self) -> Iterator[tuple[str, ...]]:
        """Every template as plain words, with the slot in place of the subject."""
        for template in self.templates:
            words = tokens(template.replace(SUBJECT, SLOT))
            yield Mention(words.index(SLOT), words.index(SLOT) + 1, ()).masked(words)

    def filled(self, thing: str) -> list[str]:
        """Every template with `thing` as its subject."""
        return [template.replace(SUBJECT, thing) for template in self.templates]


def shape_of(relation: Relation) -> Shape:
    """How a relation of the catalogue is asked about."""
    templates = (relation.question, relation.prompt, *relation.paraphrases, *relation.held_out)
    described = (relation.label, relation.name, relation.object_type, relation.subject_type, *relation.cues)
    statement = relation.statement.replace(OBJECT, "")
    return Shape(
        relation.name,
        relation.label,
        tuple(dict.fromkeys(templates)),
        tuple(dict.fromkeys(tokens(cue) for cue in (*relation.cues, relation.label))),
        _vocabulary([*templates, statement, *described]),
        relation.subject_type.replace("_", " "),
    )


def free_shape(name: str) -> Shape:
    """How a relation that is not in the catalogue is asked about, by its name alone."""
    label = name.replace("_", " ").strip()
    templates = (f"What is the {label} of {SUBJECT}?", f"The {label} of {SUBJECT} is", f"{SUBJECT}'s {label} is")
    return Shape(name, label, templates, (tokens(label),), _vocabulary([*templates, label]), "thing")


def _vocabulary(texts: Iterable[str]) -> frozenset[str]:
    """All words of `texts`."""
    return frozenset(word for text in texts for word in tokens(text.replace(SUBJECT, " ").replace("_", " ")))


def without_template(shape: Shape, template: str) -> Shape:
    """The same shape as if it had never known `template`, to see how it fares with phrasings that are new to it."""
    templates = tuple(other for other in shape.templates if other != template)
    return replace(shape, templates=templates)


def holds_words(words: Sequence[str], phrase: Sequence[str]) -> bool:
    """Whether `phrase` stands in `words`, in the singular or the plural."""
    return place_of(words, phrase) is not None


def place_of(words: Sequence[str], phrase: Sequence[str]) -> int | None:
    """Where `phrase` begins in `words`, None where it does not stand in it."""
    size, wanted = len(phrase), [singular(word) for word in phrase]
    plain = [singular(word) for word in words]
    return next((at for at in range(len(words) - size + 1) if size and plain[at : at + size] == wanted), None)


def singular(word: str) -> str:
    """`word` without the ending of a plural."""
    return word[:-1] if len(word) > _SHORT and word.endswith("s") and not word.endswith("ss") else word


def unexplained(words: Sequence[str], shape: Shape) -> tuple[str, ...]:
    """The words of a masked question that are neither grammar nor words of the relation's own."""
    own = {singular(word) for word in shape.vocabulary}
    return tuple(word for word in words if word != SLOT and word not in _FUNCTION_WORDS and singular(word) not in own)


def asks_otherwise(words: Sequence[str], shape: Shape) -> bool:
    """Whether a masked question asks for another kind of thing: "when", "who", "which year", "second largest city".

    The word that decides is one that the relation does not explain: the question word itself, the word after "which"
    or "what", the one before a cue, or one beside the subject.
    """
    if words[0] in _OTHER_KINDS and words[0] not in shape.vocabulary:
        return True
    odd = set(unexplained(words, shape))
    decisive = {after for before, after in pairwise(words) if before in ("which", "what") or before == SLOT}
    decisive |= {before for before, after in pairwise(words) if after == SLOT}
    for cue in shape.cues:
        at = place_of(words, cue)
        if at:
            decisive.add(words[at - 1])
    return bool(odd & decisive)
