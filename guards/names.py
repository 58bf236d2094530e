"""Whether two names mean one thing: aliases, titles, initials, spellings, transliterations, legal forms.

Every answer is a `Likeness`, which says by which rule, and which similarity was held against which threshold.

Similarity of two words is 1 - d / n, where d is their optimal string alignment distance (insertions, deletions,
substitutions and swaps of neighbours; rapidfuzz) and n the length of the longer one. An insertion counts against the
longer word, so that "Qiang" and "Keqiang" are further apart than "Nuhayan" and "Nuhayyan". Names of persons who began
on the same day in the same office need less: words may also agree by the consonants that one hears, which
transliterations keep ("Golovchenko", "Halowchenka").
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from registry.catalogue import Catalogue, Relation
from registry.records import Fact
from registry.text import normalise

Rule = Literal["equal", "spacing", "spelling", "titles", "initials", "sound", "more words", "fillers", "legal form", ""]
"""By which rule two names mean one thing; empty where none says so.

equal: one canonical text (the catalogue's aliases; case, diacritics and punctuation folded).
spacing: the same letters, divided otherwise.
spelling: each word has its counterpart, alike enough.
titles: the same but for words that name an office, or but for the order of the words.
initials: an initial stands for a word.
sound: words agree by the consonants that one hears; only where both began on the same day.
more words: one name has further names of the same person; only where nothing says that the times differ.
fillers: one has words that name nothing else ("city of").
legal form: companies that differ by "Inc", "plc" and the like.
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


TITLES = _words(
    "mr mrs ms miss dr prof professor sir dame lord lady president chancellor prime minister premier king queen prince "
    "princess emperor empress pope sultan emir amir sheikh sheik shaykh general gen colonel col captain admiral hon "
    "honourable honorable excellency his her he hrh hm majesty highness chairman chairwoman acting interim former "
    "governor senator saint st the of archbishop bishop cardinal crown air vice marshal marshall field brigadier major "
    "maj lieutenant lt gen commander transitional caretaker"
)
"""Words that name an office rather than a person."""
GENERATIONS = _words("jr sr junior senior ii iii iv v vi vii viii ix x xi xii xiii xiv xv xvi")
FILLERS = _words("the of city town capital republic kingdom state is in and a an called named now officially")
"""Words that may stand beside a name without naming something else."""
LEGAL_FORMS = _words(
    "inc incorporated corp corporation co company companies cos plc ltd limited llc lp nv sa ag se the and"
)
"""Words of a company's name that say what kind of company it is."""
COMPANY_TYPES = frozenset({"company", "organisation"})

_NAME_PARTS = re.compile(r"[\s\-]+")
_HEARD = str.maketrans({"q": "k", "c": "k", "w": "v", "z": "s", "h": "g", "j": "y"})
_UNHEARD = re.compile(r"[aeiouy]|(.)(?=\1)")
_MIN_WORD, _MIN_HEARD, _MIN_ALONE = 4, 3, 6


@dataclass(frozen=True)
class Likeness:
    """Whether two names mean one thing, and why.

    Attributes:
        rule: by which rule; empty when they do not.
        similarity: of the pair of words that is least alike, 0 to 1; 1 where no pair had to be compared.
        threshold: what it was held against.
        words: the two words that it is the similarity of; empty when none had to be compared.
    """

    rule: Rule
    similarity: float = 1.0
    threshold: float = 1.0
    words: tuple[str, str] = ("", "")

    @property
    def same(self) -> bool:
        """Whether they mean one thing."""
        return bool(self.rule)

    @property
    def told(self) -> str:
        """For a person: the rule, with its figure where it has one; empty for equal names."""
        if self.rule in ("", "equal"):
            return ""
        if not self.words[0]:
            return self.rule
        one, other = self.words
        return f"{self.rule}: {one!r} and {other!r} are alike by {self.similarity:.2f}, {self.threshold:.2f} needed"


@dataclass(frozen=True)
class Names:
    """Compares names as the catalogue means them; remembers what it has folded."""

    catalogue: Catalogue
    spelling: float = 0.8
    _folded: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    def key(self, name: str) -> str:
        """One text for all ways of writing a name that the catalogue knows."""
        found = self._folded.get(name)
        if found is None:
            found = self._folded[name] = normalise(self.catalogue.canonical(name)) or name.casefold()
        return found

    def same_object(self, one: Fact, other: Fact, relation: Relation | None) -> bool:
        """Whether two facts of one subject and relation name the same object."""
        return self.likeness(one, other, relation).same

    def likeness(self, one: Fact, other: Fact, relation: Relation | None) -> Likeness:
        """Whether two facts of one subject and relation name the same object, and why."""
        first, second = self.key(one.object), self.key(other.object)
        if first == second:
            return Likeness("equal")
        if first.replace(" ", "") == second.replace(" ", ""):
            return Likeness("spacing")
        kind = relation.object_type if relation is not None else ""
        if kind == "person":
            dated = bool(one.valid_from and other.valid_from)
            return person_likeness(
                first,
                second,
                self.spelling,
                more_words=not dated or one.valid_from == other.valid_from,
                same_start=dated and one.valid_from == other.valid_from,
            )
        if kind in COMPANY_TYPES and _without(first, LEGAL_FORMS) == _without(second, LEGAL_FORMS) != "":
            return Likeness("legal form")
        return Likeness("fillers") if self._only_fillers_apart(first, second, one, relation) else Likeness("")

    def _only_fillers_apart(self, first: str, second: str, fact: Fact, relation: Relation | None) -> bool:
        """Whether one text is the other plus words that name nothing else ("city of Paris", "Paris, France")."""
        short, long = sorted((first.split(), second.split()), key=len)
        if not short or len(short) == len(long) or not f" {' '.join(long)} ".count(f" {' '.join(short)} "):
            return False
        harmless = FILLERS.union(self.key(fact.subject).split(), normalise(fact.subject).split())
        if relation is not None:
            harmless = harmless.union(normalise(relation.label).split(), normalise(relation.object_type).split())
        rest = list(long)
        for word in short:
            rest.remove(word)
        return harmless.issuperset(rest)


def _without(name: str, words: frozenset[str]) -> str:
    """A name without some words and without its blanks."""
    return "".join(word for word in name.split() if word not in words)


def same_person(one: str, other: str, alike: float = 0.8, *, more_words: bool = True) -> bool:
    """Whether two names can be spellings of one person's name; see `person_likeness`."""
    return person_likeness(one, other, alike, more_words=more_words).same


def person_likeness(
    one: str, other: str, alike: float = 0.8, *, more_words: bool = True, same_start: bool = False
) -> Likeness:
    """Whether two names can be spellings of one person's name.

    Titles are left out. Every word of the shorter name must have its own word in the longer one that is equal, its
    initial, or alike by `alike`. What the longer name has beyond that may be initials where the shorter has none
    ("Donald J. Trump"), and with `more_words` whole words or a generation ("John Quincy Adams" and "John Adams Jr."
    are not John Adams unless something else says so). Two different generations are two people.

    Args:
        one: a name.
        other: another.
        alike: least similarity of two words, 0 to 1.
        more_words: whether one name may have further words.
        same_start: whether both are known to have begun on one day in one office; then words may agree by sound or by
            their beginning, and one long word can be a whole name.
    """
    first, second = _name_words(one), _name_words(other)
    if first.generation != second.generation and (not more_words or (first.generation and second.generation)):
        return Likeness("")
    short, long = sorted((first.words, second.words), key=lambda words: (len(words), words))
    alone = same_start and len(short) == 1 and len(short[0]) >= _MIN_ALONE
    if not short or (len(short) == 1 and len(long) > 1 and not alone):
        return Likeness("")
    pairs, free = _matched(short, long, alike, same_start)
    if len(pairs) < len(short):
        return Likeness("")
    initials = [word for word in free if len(word) == 1]
    if len(free) > len(initials) and not more_words:
        return Likeness("")
    if initials and any(len(word) == 1 for word in short):
        return Likeness("")
    return _why(pairs, free, alike)


_Pair = tuple[str, str, Rule, float]


def _matched(
    short: Sequence[str], long: Sequence[str], alike: float, same_start: bool
) -> tuple[list[_Pair], list[str]]:
    """Each word of the shorter name with its own word of the longer one; equal words are taken first."""
    free, found, waiting = list(long), list[_Pair](), list[str]()
    for word in short:
        if word in free:
            free.remove(word)
            found.append((word, word, "equal", 1.0))
        else:
            waiting.append(word)
    for word in waiting:
        rated = [(_alike(word, each, alike, same_start), each) for each in free]
        (rule, similarity), best = max(rated, key=lambda each: each[0][1], default=(("", 0.0), ""))
        if rule:
            free.remove(best)
            found.append((word, best, rule, similarity))
    return found, free


def _why(pairs: Sequence[_Pair], free: Sequence[str], alike: float) -> Likeness:
    """The rule that carried a match: the weakest of its pairs, else what one name has beyond the other."""
    compared = [pair for pair in pairs if pair[2] not in ("equal", "initials")]
    if compared:
        one, other, rule, similarity = min(compared, key=lambda pair: pair[3])
        return Likeness(rule, similarity, alike, (one, other))
    if any(len(word) > 1 for word in free):
        return Likeness("more words")
    return Likeness("initials" if free or any(pair[2] == "initials" for pair in pairs) else "titles")


def _alike(one: str, other: str, least: float, same_start: bool) -> tuple[Rule, float]:
    """By which rule two different words stand for each other, and how alike they are."""
    from rapidfuzz.distance import OSA

    if min(len(one), len(other)) == 1:
        return ("initials", least) if one[0] == other[0] else ("", 0.0)
    similarity = OSA.normalized_similarity(one, other)
    if min(len(one), len(other)) >= _MIN_WORD and similarity >= least:
        return "spelling", similarity
    if same_start and _sounds_like(one, other):
        return "sound", least
    return "", similarity


def _sounds_like(one: str, other: str) -> bool:
    """Whether two words agree by the consonants that one hears, or one is the other with an ending."""
    heard = _heard(one)
    if len(heard) >= _MIN_HEARD and heard == _heard(other):
        return True
    short, long = sorted((one, other), key=len)
    return len(short) >= _MIN_WORD and long.startswith(short)


@lru_cache(maxsize=1 << 14)
def _heard(word: str) -> str:
    """A word's consonants, with those made one that transliterations exchange."""
    return _UNHEARD.sub("", word.replace("ph", "f").replace("kh", "h").translate(_HEARD))


@dataclass(frozen=True)
class _Person:
    words: tuple[str, ...]
    generation: frozenset[str]


@lru_cache(maxsize=1 << 14)
def _name_words(name: str) -> _Person:
    parts = [part for part in _NAME_PARTS.split(normalise(name)) if part]
    words = tuple(part for part in parts if part not in TITLES and part not in GENERATIONS)
    return _Person(words, frozenset(part for part in parts[1:] if part in GENERATIONS))
