"""What is known, filed so that a statement finds what it touches: by subject and relation, by object, by name.

Filing grows while a feed is admitted, so that rows see those before them. Nothing is ever taken out: a fact that was
ended stays filed, with its end or its mark.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from guards.names import Likeness, Names
from registry.catalogue import Relation
from registry.records import Fact, KnownFact

MAX_SPELLINGS = 64
"""Where more objects are filed for one subject and relation, spellings are not compared."""
MAX_BLOCK = 200
"""So many subjects that begin or end alike are compared with a new one; where there are more, none is."""
_EDGE = 3


@dataclass(frozen=True)
class Near:
    """A known fact near a statement.

    Attributes:
        fact: the known one.
        similarity: of the subjects' names, 0 to 1 (1 - optimal string alignment distance / longer length).
    """

    fact: Fact
    similarity: float


class KnownIndex:
    """Known facts by subject and relation."""

    def __init__(self, names: Names, known: Iterable[KnownFact] = ()) -> None:
        """Index `known`."""
        self.names = names
        self._facts: dict[tuple[str, str], list[Fact]] = defaultdict(list)
        self._exact: dict[tuple[str, str, str], list[Fact]] = defaultdict(list)
        self._holders: dict[tuple[str, str], list[Fact]] = defaultdict(list)
        self._edges: dict[tuple[str, str, str], dict[str, str]] = defaultdict(dict)
        self._letters: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)
        self._ended: dict[str, date | None] = {}
        self._said: dict[str, date] = {}
        for each in known:
            self.add(each.fact)

    def key(self, fact: Fact) -> tuple[str, str]:
        """Where a fact is filed: canonical subject and relation."""
        return self.names.key(fact.subject), fact.relation

    def add(self, fact: Fact, replaces: Sequence[str] = (), said: date | None = None) -> None:
        """File a fact; the facts that it replaces hold no longer.

        Args:
            fact: what is known now.
            replaces: ids of the facts that it ends.
            said: day on which its source said it; the day on which it was recorded unless given.
        """
        key, target = self.key(fact), self.names.key(fact.object)
        if key not in self._facts:
            self._letters[(fact.relation, key[0].replace(" ", ""))][key[0]] = None
            for edge in _edges(key[0]):
                self._edges[(fact.relation, *edge)][key[0]] = _digits(key[0])
        self._facts[key].append(fact)
        self._exact[(*key, target)].append(fact)
        self._holders[(fact.relation, target)].append(fact)
        self._ended.pop(fact.id, None)
        if said is not None:
            self._said[fact.id] = said
        self.end(replaces, fact.valid_from or said)

    def end(self, ids: Sequence[str], on: date | None = None) -> None:
        """Mark facts as ended, `on` a day where it is known."""
        self._ended.update(dict.fromkeys(ids, on))

    def repeated(self, fact: Fact, said: date | None) -> None:
        """Note that a known fact was said again on a day."""
        before = self._said.get(fact.id)
        if said is not None and (before is None or before < said):
            self._said[fact.id] = said

    def about(self, fact: Fact) -> list[Fact]:
        """All facts filed for the subject and relation of `fact`, the open ones and the ended ones."""
        return self._facts.get(self.key(fact), [])

    def same(self, fact: Fact, relation: Relation | None) -> list[Fact]:
        """Of these, the ones that name the same object: by canonical name, else by likeness."""
        exact = self._exact.get((*self.key(fact), self.names.key(fact.object)), [])
        about = self.about(fact)
        if exact or len(about) > MAX_SPELLINGS:
            return exact
        return [each for each in about if self.names.same_object(each, fact, relation)]

    def likeness(self, one: Fact, other: Fact, relation: Relation | None) -> Likeness:
        """Why two facts of one subject and relation name the same object, or do not."""
        return self.names.likeness(one, other, relation)

    def is_open(self, fact: Fact, today: date) -> bool:
        """Whether a filed fact still holds today."""
        return fact.id not in self._ended and (fact.valid_to is None or fact.valid_to > today)

    def ended_on(self, fact: Fact) -> date | None:
        """The day on which a filed fact ended, None where it is open or nobody said when."""
        return self._ended.get(fact.id) or fact.valid_to

    def observed_on(self, fact: Fact) -> date | None:
        """The last day on which a filed fact is known to have been said; None where only its recording is known."""
        return self._said.get(fact.id)

    def said_by(self, fact: Fact) -> date | None:
        """The day by which a filed fact had been said; None where nothing tells."""
        recorded = fact.recorded_at.date() if fact.recorded_at else None
        return self._said.get(fact.id) or recorded

    def holders(self, fact: Fact, today: date) -> list[Fact]:
        """Open facts of the same relation with the same object (by canonical name) and another subject."""
        own = self.key(fact)[0]
        filed = self._holders.get((fact.relation, self.names.key(fact.object)), [])
        return [each for each in filed if self.is_open(each, today) and self.key(each)[0] != own]

    def exclusive(self, relations: Iterable[str], today: date, least: int, share: float) -> frozenset[str]:
        """Relations of which nearly every object belongs to one subject at a time, as far as is known.

        Args:
            relations: names of the relations to look at.
            today: day on which facts must hold.
            least: facts that a relation must have before it is judged.
            share: of its facts whose object must belong to one subject only.
        """
        wanted = set(relations)
        sizes: dict[str, list[int]] = defaultdict(list)
        for (relation, _), facts in self._holders.items():
            if relation in wanted:
                sizes[relation].append(len({self.key(each)[0] for each in facts if self.is_open(each, today)}))
        return frozenset(
            name
            for name, found in sizes.items()
            if sum(found) >= least and sum(size == 1 for size in found) >= share * sum(found)
        )

    def nearest(self, fact: Fact, most: int, least: float) -> list[Near]:
        """The `most` known facts of the same relation that are nearest to a statement.

        Those of its own subject come first, newest first. Where there are none, the facts of subjects whose names have
        the same letters, or begin or end alike and are alike by `least` (rapidfuzz), nearest first; names that differ
        in a number are not alike.
        """
        about = self.about(fact)
        if about:
            newest = sorted(about, key=lambda each: each.valid_from or date.min, reverse=True)
            return [Near(each, 1.0) for each in newest[:most]]
        from rapidfuzz import process
        from rapidfuzz.distance import OSA

        own, relation = self.key(fact)
        written = self._letters.get((relation, own.replace(" ", "")), {})
        if written:
            return [Near(each, 1.0) for name in written for each in self._facts[(name, relation)]][:most]
        blocks = (self._edges.get((relation, *edge), {}) for edge in _edges(own))
        digits = _digits(own)
        alike = {
            name for block in blocks if len(block) <= MAX_BLOCK for name, number in block.items() if number == digits
        }
        if not alike:
            return []
        found = process.extract(own, sorted(alike), scorer=OSA.normalized_similarity, limit=most, score_cutoff=least)
        return [Near(each, score) for name, score, _ in found for each in self._facts[(name, relation)]][:most]


def _edges(name: str) -> tuple[tuple[str, str], ...]:
    """The beginning and the end of a name, by which it is found; none for names too short to tell a slip by."""
    return (("begins", name[:_EDGE]), ("ends", name[-_EDGE:])) if len(name) > 2 * _EDGE else ()


def _digits(name: str) -> str:
    return "".join(letter for letter in name if letter.isdigit())
