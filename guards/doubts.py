"""What makes a sound and well-backed change doubtful all the same: patterns that errors of real feeds have.

Each guard looks at one change in the light of what is known, and escalates (a person decides) or passes.

    elsewhere    the new object belongs to another subject since the same day, in a relation of which nearly every
                 object has one subject: one row has been taken for the other
    subject      nothing is known of the subject, and its name is a slip away from one that is known
    joined       the new object's name holds the whole name of the one that it follows
    returning    an undated statement brings back what its source had ended not long ago
    slip         the new object is the held one with two neighbouring letters swapped
    office       words say that the person is not in the office: elect, designate, vice, deputy

Words for the office are looked for in the object and in a column `title`, where the feed has one.
"""

from dataclasses import dataclass
from datetime import date

from guards.admission import AdmissionPolicy, finding
from guards.base import Guard, Verdict
from guards.candidates import Candidate
from guards.conflicts import Change
from guards.known import KnownIndex
from guards.names import TITLES
from registry.records import Fact

ACTS = ("ADD", "UPDATE")
_NEAR = 0.6
_NOT_YET = frozenset({"elect", "designate", "nominee"})
_BESIDE = frozenset({"vice", "deputy"})


@dataclass(frozen=True)
class Arriving:
    """A change with what it rests on.

    Attributes:
        fact: the statement.
        case: the row that it came in.
        change: what it would do.
        index: what is known at that point.
        today: the day of admission.
        exclusive: relations of which nearly every object belongs to one subject.
    """

    fact: Fact
    case: Candidate
    change: Change
    index: KnownIndex
    today: date
    exclusive: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ElsewhereGuard:
    """Who began somewhere did not begin elsewhere on the same day, where objects are not shared."""

    name: str = "elsewhere"

    def judge(self, case: Arriving) -> Verdict:
        """Escalate an object that another subject has since the same day, unless both shared an object before."""
        fact, index = case.fact, case.index
        if case.change.effect not in ACTS or fact.relation not in case.exclusive:
            return Verdict(self.name, "pass", "objects of the relation may belong to several subjects")
        started = fact.valid_from
        holders = [each for each in index.holders(fact, case.today) if started and each.valid_from == started]
        if not holders:
            return Verdict(self.name, "pass", "no other subject has the object since the same day")
        own = {index.names.key(each.object) for each in index.about(fact)}
        for holder in holders:
            shared = {index.names.key(each.object) for each in index.about(holder)} & own
            if shared - {index.names.key(fact.object)}:
                return Verdict(self.name, "pass", f"shared an object with {holder.subject} before")
        subjects = ", ".join(each.subject for each in holders[:3])
        problem = f"belongs to {subjects} since the same day"
        return finding(self.name, "escalate", "object", fact.object, problem, "confirm that both have it")


@dataclass(frozen=True)
class SubjectGuard:
    """A new subject is not a slip of the pen for a known one."""

    least: float = 0.9
    nearest: int = 3
    name: str = "subject"

    def judge(self, case: Arriving) -> Verdict:
        """Escalate an ADD about an unknown subject that is a swap of letters from a known one, or alike by `least`."""
        fact, index = case.fact, case.index
        if case.change.effect != "ADD" or index.about(fact):
            return Verdict(self.name, "pass", "the subject is known")
        own = index.key(fact)[0]
        first = next(
            (
                near
                for near in index.nearest(fact, self.nearest, min(self.least, _NEAR))
                if near.similarity >= self.least or swapped(own, index.key(near.fact)[0])
            ),
            None,
        )
        if first is None:
            return Verdict(self.name, "pass", "no known subject is called alike")
        problem = f"is alike {first.fact.subject} by {first.similarity:.2f} (a swap, or {self.least:.2f}, is a slip)"
        remedy = "write it so, or have a person say that it is another"
        return finding(self.name, "escalate", "subject", fact.subject, problem, remedy)


@dataclass(frozen=True)
class JoinedGuard:
    """A person's name is one name."""

    more: int = 2
    name: str = "joined"

    def judge(self, case: Arriving) -> Verdict:
        """Escalate a successor whose name is the held one's with `more` words or more, from another day on."""
        known, relation = case.change.known, case.case.relation
        if case.change.effect != "UPDATE" or known is None or relation is None or relation.object_type != "person":
            return Verdict(self.name, "pass", "no person follows another")
        held = [word for word in case.index.names.key(known.object).split() if word not in TITLES]
        new = [word for word in case.index.names.key(case.fact.object).split() if word not in TITLES]
        if len(held) < 2 or not set(held) <= set(new) or len(new) - len(held) < self.more:
            return Verdict(self.name, "pass", "the names do not hold each other")
        problem = f"holds the whole name of {known.object}, whom it follows"
        return finding(self.name, "escalate", "object", case.fact.object, problem, "write one person's name")


@dataclass(frozen=True)
class ReturningGuard:
    """What a source has ended does not come back at once without a date."""

    share: float = 0.02
    name: str = "returning"

    def judge(self, case: Arriving) -> Verdict:
        """Escalate an undated object that the same source ended less than `share` of the expected lifetime ago."""
        fact, index, relation = case.fact, case.index, case.case.relation
        if case.change.effect not in ACTS or fact.valid_from is not None or relation is None:
            return Verdict(self.name, "pass", "the row says since when")
        most = (relation.lifetime_days or 0) * self.share
        day = case.case.days.get("observed_at") or case.today
        for each in index.same(fact, relation):
            ended = index.ended_on(each)
            if ended is not None and not index.is_open(each, case.today) and (day - ended).days <= most:
                problem = f"was ended on {ended} and is back after {(day - ended).days} days without a date"
                remedy = f"give valid_from, or have a person confirm it (from {most:.0f} days on it passes)"
                return finding(self.name, "escalate", "object", fact.object, problem, remedy)
        return Verdict(self.name, "pass", "the object was not ended lately")


@dataclass(frozen=True)
class SlipGuard:
    """A new object is not the held one with two letters swapped."""

    name: str = "slip"

    def judge(self, case: Arriving) -> Verdict:
        """Escalate an object that is one swap of neighbouring letters away from one that holds for the subject."""
        if case.change.effect not in ACTS:
            return Verdict(self.name, "pass", "nothing is added")
        new = case.index.names.key(case.fact.object)
        for each in case.index.about(case.fact):
            if case.index.is_open(each, case.today) and swapped(new, case.index.names.key(each.object)):
                problem = f"is {each.object} with two letters swapped"
                return finding(self.name, "escalate", "object", case.fact.object, problem, "say which is meant")
        return Verdict(self.name, "pass", "no known object is a swap away")


@dataclass(frozen=True)
class OfficeGuard:
    """Who is elect, designate, vice or deputy is not in the office."""

    name: str = "office"

    def judge(self, case: Arriving) -> Verdict:
        """Escalate a person whose name or title says that the office is not theirs."""
        relation = case.case.relation
        if case.change.effect not in ACTS or relation is None or relation.object_type != "person":
            return Verdict(self.name, "pass", "no person is named")
        label = set(relation.label.casefold().split())
        for column, words in (("object", _NOT_YET), ("title", _NOT_YET | _BESIDE)):
            text = case.case.cell(column)
            found = (words - label).intersection(text.casefold().replace("-", " ").split())
            if found:
                problem = f"says {' and '.join(sorted(found))}, where the {relation.label} is asked for"
                return finding(self.name, "escalate", column, text, problem, "name who is in the office")
        return Verdict(self.name, "pass", "nothing says that the office is another's")


def swapped(one: str, other: str) -> bool:
    """Whether two texts differ by one swap of neighbouring letters."""
    if len(one) != len(other) or one == other:
        return False
    apart = [place for place, (left, right) in enumerate(zip(one, other, strict=True)) if left != right]
    if len(apart) != 2 or apart[1] != apart[0] + 1:
        return False
    return one[apart[0]] == other[apart[1]] and one[apart[1]] == other[apart[0]]


def doubts_of(policy: AdmissionPolicy) -> tuple[Guard[Arriving], ...]:
    """The guards that look at a change, without those that are skipped."""
    guards: tuple[Guard[Arriving], ...] = (
        ElsewhereGuard(),
        SubjectGuard(policy.slip),
        JoinedGuard(),
        ReturningGuard(policy.returning),
        SlipGuard(),
        OfficeGuard(),
    )
    return tuple(guard for guard in guards if guard.name not in policy.skipped)
