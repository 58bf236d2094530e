"""Whether the object (and the subject) is of the type that its relation asks for.

Two looks: the catalogue's pattern for the type, and membership. A name that is known as a member of other types only
(a currency) is not taken as a member of this one (a capital), as long as no name is known as both: cities and countries
share names, cities and currencies do not. Names of up to three letters are codes, which are used again and again, and
tell nothing. What a row ends is not looked at: a value of the wrong type must be able to go.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations

from guards.admission import finding
from guards.base import Verdict
from guards.candidates import Candidate
from guards.names import Names
from registry.catalogue import Catalogue
from registry.records import Fact


@dataclass(frozen=True)
class Membership:
    """Which types each known name belongs to.

    Attributes:
        kinds: types by canonical name.
        sizes: how many known names each type has.
        shared: pairs of types that have a name in common.
    """

    kinds: dict[str, frozenset[str]] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    shared: frozenset[frozenset[str]] = frozenset()

    @classmethod
    def of(cls, known: Iterable[Fact], trusted: Iterable[Fact], catalogue: Catalogue, names: Names) -> "Membership":
        """Learn the types of names.

        Args:
            known: facts that are known; they say which types share names.
            trusted: statements of authoritative sources, which only tell of names that no known fact holds.
            catalogue: gives each relation its types.
            names: canonical forms.
        """
        kinds = _kinds(known, catalogue, names)
        sizes: dict[str, int] = defaultdict(int)
        shared: set[frozenset[str]] = set()
        for types in kinds.values():
            for kind in types:
                sizes[kind] += 1
            shared.update(frozenset(pair) for pair in combinations(sorted(types), 2))
        told = {name: types for name, types in _kinds(trusted, catalogue, names).items() if name not in kinds}
        every = {name: frozenset(types) for name, types in (told | kinds).items()}
        return cls(every, dict(sizes), frozenset(shared))

    def of_another_type(self, name: str, wanted: str, least: int) -> frozenset[str]:
        """The other types that a canonical name belongs to, when these exclude `wanted`; else nothing."""
        found = self.kinds.get(name, frozenset())
        if not found or wanted in found or self.sizes.get(wanted, 0) < least:
            return frozenset()
        if any(self.sizes.get(kind, 0) < least or frozenset((kind, wanted)) in self.shared for kind in found):
            return frozenset()
        return found


def _kinds(facts: Iterable[Fact], catalogue: Catalogue, names: Names) -> dict[str, set[str]]:
    kinds: dict[str, set[str]] = defaultdict(set)
    for fact in facts:
        relation = catalogue.relations.get(fact.relation)
        if relation is not None:
            kinds[names.key(fact.subject)].add(relation.subject_type)
            kinds[names.key(fact.object)].add(relation.object_type)
    return dict(kinds)


@dataclass(frozen=True)
class TypeGuard:
    """The object and the subject can be of the types that the relation asks for."""

    catalogue: Catalogue
    names: Names
    membership: Membership
    min_members: int = 5
    shortest: int = 4
    name: str = "type"

    @cached_property
    def _patterns(self) -> dict[str, re.Pattern[str]]:
        return {kind: re.compile(pattern) for kind, pattern in self.catalogue.types.items()}

    def judge(self, case: Candidate) -> Verdict:
        """Block an object or a subject that does not match its type's pattern or belongs to another type only."""
        if case.relation is None:
            return Verdict(self.name, "pass", "the row's own relation asks for no type")
        subject, target = ("subject", case.relation.subject_type), ("object", case.relation.object_type)
        for column, wanted in (subject,) if case.operation == "DELETE" else (target, subject):
            text = case.cell(column)
            pattern = self._patterns.get(wanted)
            if text and pattern is not None and not pattern.fullmatch(text):
                problem = f"does not look like a {wanted} ({pattern.pattern})"
                return finding(self.name, "block", column, text, problem, f"name a {wanted}")
            others = self.membership.of_another_type(self.names.key(text), wanted, self.min_members)
            if others and len(text) >= self.shortest:
                problem = f"is known as {' and '.join(sorted(others))}, not as {wanted}"
                return finding(self.name, "block", column, text, problem, f"name a {wanted}")
        return Verdict(self.name, "pass", "the types fit")
