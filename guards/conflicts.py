"""What a statement does to what is known: nothing, add, change, end, or contradict.

Known facts are compared by canonical names, so another spelling, an alias or a title is not a change. Nothing is
overwritten: a change names the ids of the facts that it ends (`replaces`), and these stay readable with their end.

    known: A since t0                       statement: B since t1, relation with one object at a time
    t1 >  t0, the relation can change   ->  UPDATE, ends A (A may come back later: A-B-A)
    t1 <  t0, B ended before t0         ->  ADD, a closed fact of the past
    t1 <  t0                            ->  older: what is known is newer
    t1 =  t0, or undated, or a relation that never changes  ->  contradiction: one of the two was never true
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from difflib import SequenceMatcher
from typing import Literal

from registry.catalogue import Catalogue, Relation
from registry.records import Fact, KnownFact
from registry.text import normalise

Effect = Literal["ADD", "UPDATE", "DELETE", "NOOP", "older", "contradiction"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


TITLES = _words(
    "mr mrs ms miss dr prof professor sir dame lord lady president chancellor prime minister premier king queen prince "
    "princess emperor empress pope sultan emir amir sheikh sheik shaykh general gen colonel col captain admiral hon "
    "honourable honorable excellency his her he hrh hm majesty highness chairman chairwoman acting interim former "
    "governor senator saint st the of"
)
"""Words that name an office rather than a person."""
GENERATIONS = _words("jr sr junior senior ii iii iv v vi vii viii ix x xi xii xiii xiv xv xvi")
FILLERS = _words("the of city town capital republic kingdom state is in and a an called named now officially")
"""Words that may stand beside a name without naming something else."""

MAX_SPELLINGS = 64

_NAME_PARTS = re.compile(r"[\s\-]+")


@dataclass(frozen=True)
class Change:
    """What a statement does to what is known.

    Attributes:
        effect: see the module's table.
        words: why, for a person.
        replaces: ids of the known facts that it ends.
        known: the known fact that decided, None when there was none.
    """

    effect: Effect
    words: str
    replaces: tuple[str, ...] = ()
    known: Fact | None = None


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
        first, second = self.key(one.object), self.key(other.object)
        if first == second:
            return True
        if relation is not None and relation.object_type == "person":
            same_start = not (one.valid_from and other.valid_from) or one.valid_from == other.valid_from
            return same_person(first, second, self.spelling, more_words=same_start)
        return self._only_fillers_apart(first, second, one, relation)

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


def same_person(one: str, other: str, alike: float = 0.8, *, more_words: bool = True) -> bool:
    """Whether two names can be spellings of one person's name.

    Titles are left out. Every word of the shorter name must have its own word in the longer one that is equal, its
    initial, or alike by `alike` (difflib's ratio). What the longer name has beyond that may be initials where the
    shorter has none ("Donald J. Trump"), and with `more_words` whole words or a generation ("John Quincy Adams" and
    "John Adams Jr." are not John Adams unless something else says so). Two different generations are two people.
    """
    first, second = _name_words(one), _name_words(other)
    generations_differ = first.generation != second.generation
    if generations_differ and (not more_words or (first.generation and second.generation)):
        return False
    short, long = sorted((first.words, second.words), key=lambda words: (len(words), words))
    if not short or (len(short) == 1 and len(long) > 1):
        return False
    free = list(long)
    for word in short:
        match = next((each for each in free if _alike(word, each, alike)), None)
        if match is None:
            return False
        free.remove(match)
    initials = [word for word in free if len(word) == 1]
    if len(free) > len(initials) and not more_words:
        return False
    return not (initials and any(len(word) == 1 for word in short))


@dataclass(frozen=True)
class _Person:
    words: tuple[str, ...]
    generation: frozenset[str]


def _name_words(name: str) -> _Person:
    parts = [part for part in _NAME_PARTS.split(normalise(name)) if part]
    words = tuple(part for part in parts if part not in TITLES and part not in GENERATIONS)
    return _Person(words, frozenset(part for part in parts[1:] if part in GENERATIONS))


def _alike(one: str, other: str, least: float) -> bool:
    """Equal, an initial of the other, or long enough words that differ by little."""
    if one == other:
        return True
    if min(len(one), len(other)) == 1:
        return one[0] == other[0]
    return min(len(one), len(other)) >= 4 and SequenceMatcher(None, one, other).ratio() >= least


class KnownIndex:
    """Known facts by subject and relation; grows while a feed is admitted, so that rows see those before them."""

    def __init__(self, names: Names, known: Iterable[KnownFact] = ()) -> None:
        """Index `known`."""
        self.names = names
        self._facts: dict[tuple[str, str], list[Fact]] = defaultdict(list)
        self._exact: dict[tuple[str, str, str], list[Fact]] = defaultdict(list)
        self._ended: set[str] = set()
        for each in known:
            self.add(each.fact)

    def key(self, fact: Fact) -> tuple[str, str]:
        """Where a fact is filed: canonical subject and relation."""
        return self.names.key(fact.subject), fact.relation

    def add(self, fact: Fact, replaces: Sequence[str] = ()) -> None:
        """File a fact; the facts that it replaces hold no longer."""
        key = self.key(fact)
        self._facts[key].append(fact)
        self._exact[(*key, self.names.key(fact.object))].append(fact)
        self.end(replaces)

    def end(self, ids: Sequence[str]) -> None:
        """Mark facts as ended."""
        self._ended.update(ids)

    def about(self, fact: Fact) -> list[Fact]:
        """All facts filed for the subject and relation of `fact`, the open ones and the ended ones."""
        return self._facts.get(self.key(fact), [])

    def same(self, fact: Fact, relation: Relation | None) -> list[Fact]:
        """Of these, the ones that name the same object: by canonical name, else by spelling.

        Where more than `MAX_SPELLINGS` objects are filed, spellings are not compared.
        """
        exact = self._exact.get((*self.key(fact), self.names.key(fact.object)), [])
        about = self.about(fact)
        if exact or len(about) > MAX_SPELLINGS:
            return exact
        return [each for each in about if self.names.same_object(each, fact, relation)]

    def is_open(self, fact: Fact, today: date) -> bool:
        """Whether a filed fact still holds today."""
        return fact.id not in self._ended and (fact.valid_to is None or fact.valid_to > today)


def decide(
    fact: Fact, operation: str, index: KnownIndex, relation: Relation | None, today: date, as_of: date | None = None
) -> Change:
    """What `fact` does to what `index` knows.

    Args:
        fact: the statement.
        operation: what the feed asks for; only "DELETE" weighs.
        index: what is known at that point.
        relation: the catalogue's, None for one of the row's own, which takes one object at a time and can change.
        today: the day of admission.
        as_of: the day on which undated known facts were true.
    """
    ever = index.same(fact, relation)
    same = [each for each in ever if index.is_open(each, today)]
    several = relation is not None and relation.cardinality == "many"
    if several and not same and operation != "DELETE":
        return Change("ADD", "a further object; the relation takes several")
    held = same if several else [each for each in index.about(fact) if index.is_open(each, today)]
    if operation == "DELETE":
        return _ending(fact, held, same, ever)
    if same:
        return _again(fact, same, today)
    past = next((each for each in ever if _covers(each, fact)), None)
    if past is not None:
        return Change("NOOP", f"is known already, as past: {past.object}", known=past)
    if not held:
        return Change("ADD", "nothing is known for this subject and relation")
    change = _against(fact, held, relation, as_of)
    if change.effect != "ADD":
        return change
    overlapped = tuple(each.id for each in index.about(fact) if each not in held and _holds_at_start(each, fact))
    return Change("ADD", change.words, overlapped, change.known)


def _again(fact: Fact, same: Sequence[Fact], today: date) -> Change:
    """What a statement does whose object is held already: it may say when that ended."""
    first, end = same[0], fact.valid_to
    if end is None or end > today or first.valid_to is not None or (first.valid_from and end <= first.valid_from):
        return Change("NOOP", f"is known already, as {first.subject}: {first.object}", known=first)
    words = f"ends what is known: {first.object} until {end}"
    return Change("DELETE", words, tuple(each.id for each in same), first)


def _ending(fact: Fact, held: Sequence[Fact], same: Sequence[Fact], ever: Sequence[Fact]) -> Change:
    """What a DELETE does: `same` of the facts that hold name its object, `ever` of all that are filed do."""
    if same:
        return Change("DELETE", f"ends what is known: {same[0].object}", tuple(each.id for each in same), same[0])
    if ever:
        return Change("NOOP", f"{ever[0].object} has ended already", known=ever[0])
    if held:
        words = f"shall end {fact.object}, but {held[0].object} is known"
        return Change("contradiction", words, known=held[0])
    return Change("NOOP", "nothing is known that could end")


def _holds_at_start(each: Fact, fact: Fact) -> bool:
    """Whether an ended fact of the past held on the day on which `fact` began, having begun before."""
    if each.valid_from is None or fact.valid_from is None or each.valid_from >= fact.valid_from:
        return False
    return each.holds_on(fact.valid_from)


def _covers(past: Fact, fact: Fact) -> bool:
    """Whether a fact that has ended already says what `fact` says."""
    if fact.valid_from is None or past.valid_from is None:
        return fact.valid_from == past.valid_from and fact.valid_to == past.valid_to
    return past.valid_from <= fact.valid_from and (past.valid_to is None or fact.valid_from < past.valid_to)


def _against(fact: Fact, held: Sequence[Fact], relation: Relation | None, as_of: date | None) -> Change:
    """What a statement does to other objects that are held for its subject and relation."""
    newest = max(held, key=lambda each: each.valid_from or as_of or date.min)
    since = newest.valid_from or as_of
    ids = tuple(each.id for each in held)
    if relation is not None and relation.lifetime_days is None:
        words = f"{newest.object} is known, and {relation.label} does not change"
        return Change("contradiction", words, ids, newest)
    if fact.valid_from is None:
        return Change("contradiction", f"{newest.object} is known, and the row does not say since when", ids, newest)
    if since is None or fact.valid_from > since:
        return Change("UPDATE", f"follows {newest.object} (known since {since or 'an unknown day'})", ids, newest)
    if newest.valid_from is None:
        words = f"{newest.object} was true on {as_of}, after {fact.valid_from}"
        return Change("contradiction", words, ids, newest)
    if fact.valid_to is not None and fact.valid_to <= newest.valid_from:
        return Change("ADD", f"a closed fact of the time before {newest.object}")
    if fact.valid_from < newest.valid_from:
        return Change("older", f"{newest.object} is known since {newest.valid_from}, which is later", (), newest)
    return Change("contradiction", f"{newest.object} is known from the same day", ids, newest)
