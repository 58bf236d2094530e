"""Reasoning paths: the chain entity -> relation -> entity by which a memory leads from a question to its end.

A fact's path is the fact. The path of a text is read by a `PathReader`: `TextReader` here (rules, deterministic, no
model), or a local model's (pipelines/answering/reasoning.py). What a path *ends* in is what memories agree or
disagree about.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from registry.text import normalise

MAX_HOPS, MAX_RELATION_WORDS = 4, 8

_UPPER = r"(?:(?=[^\W\d_])[A-Z\u00c0-\u00de][\w'\u2019&.-]*)"
_JOIN = r"\s+(?:(?:of|the|de|la|le|van|von|and|for|in)\s+)?"
_ENTITY = re.compile(rf"\"[^\"]{{2,60}}\"|\b\d[\d,.:/-]*\d\b|\b\d\b|{_UPPER}(?:{_JOIN}{_UPPER})*")
_STOP = frozenset(
    re.findall(
        r"\w+",
        "a an the of to in on at by for with from as is are was were be been being it its this that these those and or "
        "but not no do does did has have had will would can could should may might must who whom whose which what when "
        "where why how many much than then there here also into over under about after before between during up down "
        "out you your they their he his she her we our i my me him them us so if while all any some such only own same "
        "very just s t",
    )
)
_LETTERS = frozenset("st")
"""What is left of "Peru's" and "don't" among plain words, and a name where it stands alone as a capital."""
_COUNTED = re.compile(
    r"\b(?:how (?:many|much|old|long|tall|far|big|high)|what (?:year|number|date|time)|when)\b", re.IGNORECASE
)
_NUMBER_WORDS = {
    word: str(number)
    for number, word in enumerate(
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
    )
}


@dataclass(frozen=True)
class Hop:
    """One step of a path: from an entity by a relation to an entity."""

    head: str
    relation: str
    tail: str


@dataclass(frozen=True)
class Path:
    """A chain of hops with what it may end in.

    Attributes:
        hops: in order; never empty.
        ends: normalised; several where a text could mean several things, empty where it says nothing of the matter.
    """

    hops: tuple[Hop, ...]
    ends: frozenset[str] = frozenset()

    @property
    def words(self) -> str:
        """The path as a line: "Peru → capital → Lima"."""
        return " → ".join([self.hops[0].head, *(part for hop in self.hops for part in (hop.relation, hop.tail))])

    def then(self, relation: str, end: str) -> "Path":
        """The path that goes on from its last entity to `end`, and ends in nothing else."""
        return Path((*self.hops, Hop(self.hops[-1].tail, relation, end)), frozenset({normalise(end)} - {""}))


class PathReader(Protocol):
    """Reads the path of one memory with regard to a question."""

    def __call__(self, query: str, text: str) -> Path:
        """The path by which `text` answers `query`."""
        ...


def of_triple(subject: str, relation: str, end: str) -> Path:
    """The path that a fact is."""
    return Path((Hop(subject, relation, end),), frozenset({normalise(end)} - {""}))


@dataclass(frozen=True)
class TextReader:
    """Reads a path by rules: names, numbers and quoted words are the entities, the words between them the relations.

    The ends are the entities of the text that the question does not name, of the kind that it asks for: numbers after
    "how many", "when" and the like, names otherwise, and plain words where the text holds neither.
    """

    max_hops: int = MAX_HOPS

    def __call__(self, query: str, text: str) -> Path:
        """The path of `text`; one whose text holds a single entity leads from what the question names to it."""
        found = [(hit.start(), hit.end(), hit.group().strip('".,:- ')) for hit in _ENTITY.finditer(text)]
        found = [each for each in found if normalise(each[2]) and normalise(each[2]) not in _STOP]
        hops = [Hop(one[2], _relation(text[one[1] : other[0]]), other[2]) for one, other in pairwise(found)][
            : self.max_hops
        ]
        if not hops:
            end = found[0][2] if found else " ".join(content(text)[:MAX_RELATION_WORDS]) or text[:40] or "?"
            hops = [Hop(" ".join(content(query)[:MAX_RELATION_WORDS]) or "?", "is", end)]
        return Path(tuple(hops), ends_of(query, text))


def ends_of(query: str, text: str) -> frozenset[str]:
    """What a text may answer to a question: numbers, names or words that it holds and the question does not."""
    asked = frozenset(content(query)) | frozenset(normalise(query).split())
    plain = [_NUMBER_WORDS.get(word, word) for word in content(text)]
    numbers = {word for word in plain if any(letter.isdigit() for letter in word)} - asked
    if _COUNTED.search(query) and numbers:
        return frozenset(numbers)
    names: set[str] = set()
    for hit in _ENTITY.finditer(text):
        name = normalise(hit.group())
        rest = [word for word in name.split() if word not in asked and word not in _STOP]
        if rest and len(rest) * 2 >= len([word for word in name.split() if word not in _STOP]):
            names.add(" ".join(rest))
        elif name in _LETTERS and name not in asked:
            names.add(name)
    if names:
        return frozenset(names)
    return frozenset(numbers or (word for word in plain if word not in asked))


def content(text: str) -> list[str]:
    """The words of a text that mean something, normalised, in order."""
    return [word for word in normalise(text).split() if word not in _STOP]


def _relation(between: str) -> str:
    """The words between two entities as a relation."""
    return " ".join(content(between)[:MAX_RELATION_WORDS]) or "and"


def shared_runs(query: str, text: str, least: int) -> list[tuple[str, ...]]:
    """Maximal runs of at least `least` words that stand in both texts, longest first; runs do not overlap in `text`."""
    asked, own = normalise(query).split(), normalise(text).split()
    starts: dict[str, list[int]] = {}
    for place, word in enumerate(asked):
        starts.setdefault(word, []).append(place)
    found: list[tuple[int, int]] = []
    place = 0
    while place < len(own):
        best = 0
        for start in starts.get(own[place], ()):
            size = 0
            while start + size < len(asked) and place + size < len(own) and asked[start + size] == own[place + size]:
                size += 1
            best = max(best, size)
        if best >= least:
            found.append((place, best))
        place += max(1, best) if best >= least else 1
    return sorted((tuple(own[start : start + size]) for start, size in found), key=len, reverse=True)


def without(text: str, runs: Iterable[tuple[str, ...]]) -> str:
    """A text, normalised, with each of these runs of words taken out."""
    words = f" {normalise(text)} "
    for run in runs:
        words = words.replace(f" {' '.join(run)} ", " ")
    return words.strip()
