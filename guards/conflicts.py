"""What a statement does to what is known: nothing, add, change, end, or contradict.

Known facts are compared by canonical names, so another spelling, an alias or a title is not a change. Nothing is
overwritten: a change names the ids of the facts that it ends (`replaces`), and these stay readable with their end. The
vocabulary is Mem0's (ADD, UPDATE, DELETE, NOOP against the nearest known facts); superseding is append-only.

    known: A since t0                       statement: B since t1, relation with one object at a time
    t1 >  t0, the relation can change   ->  UPDATE, a change: A is no longer true (A may come back later: A-B-A)
    t1 <  t0, B ended before t0         ->  ADD, a closed fact of the past
    t1 <  t0                            ->  older: what is known is newer
    t1 =  t0, or undated, or a relation that never changes  ->  contradiction: one of the two was never true

A source may revise what it said itself. Where the statement and A are of one source, and it was observed after A was:

    t1 = t0, or a relation that never changes     ->  UPDATE, a correction: A was never true
    t1 < t0, and B was known before A             ->  UPDATE, a correction: A is taken back, B has held on
    t1 < t0, and B was not known before           ->  contradiction: a person has to say which
    undated                                       ->  UPDATE, a change from the day of observation
    observed before A was                         ->  older: the source has said A since
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from guards.known import KnownIndex
from registry.catalogue import Relation
from registry.records import Fact
from registry.text import normalise

Effect = Literal["ADD", "UPDATE", "DELETE", "NOOP", "older", "contradiction"]
Nature = Literal["", "change", "correction"]
"""What an UPDATE says of the fact that it ends: that it is no longer true, or that it was never true."""


@dataclass(frozen=True)
class Change:
    """What a statement does to what is known.

    Attributes:
        effect: see the module's table.
        words: why, for a person.
        replaces: ids of the known facts that it ends.
        known: the known fact that decided, None when there was none.
        nature: of an UPDATE; empty for every other effect.
    """

    effect: Effect
    words: str
    replaces: tuple[str, ...] = ()
    known: Fact | None = None
    nature: Nature = ""


@dataclass(frozen=True)
class Arrival:
    """How a statement came.

    Attributes:
        observed: day on which its source said it; None where the feed does not tell.
        repeats: canonical objects that its source also gives in the same feed, for the same subject and relation, on
            the same day or later: these it has not taken back.
        revises: whether a source may revise what it said itself.
    """

    observed: date | None = None
    repeats: frozenset[str] = frozenset()
    revises: bool = True


def decide(
    fact: Fact,
    operation: str,
    index: KnownIndex,
    relation: Relation | None,
    today: date,
    as_of: date | None = None,
    arrival: Arrival | None = None,
) -> Change:
    """What `fact` does to what `index` knows.

    Args:
        fact: the statement.
        operation: what the feed asks for; only "DELETE" weighs.
        index: what is known at that point.
        relation: the catalogue's, None for one of the row's own, which takes one object at a time and can change.
        today: the day of admission.
        as_of: the day on which undated known facts were true.
        arrival: how the statement came.
    """
    came = arrival or Arrival()
    ever = index.same(fact, relation)
    same = [each for each in ever if index.is_open(each, today)]
    several = relation is not None and relation.cardinality == "many"
    if several and not same and operation != "DELETE":
        return Change("ADD", "a further object; the relation takes several")
    held = same if several else [each for each in index.about(fact) if index.is_open(each, today)]
    if operation == "DELETE":
        return _ending(fact, held, same, ever)
    if same:
        return _again(fact, same, today, index.likeness(same[0], fact, relation).told)
    past = next((each for each in ever if _covers(each, fact, index.ended_on(each))), None)
    if past is not None:
        back = _taken_back(fact, held, index, came)
        return back or Change("NOOP", f"is known already, as past: {past.object}", known=past)
    if not held:
        return Change("ADD", "nothing is known for this subject and relation")
    change = _revision(fact, held, ever, relation, index, today, came) or _against(fact, held, relation, as_of)
    if change.effect != "ADD":
        return change
    overlapped = tuple(each.id for each in index.about(fact) if each not in held and _holds_at_start(each, fact))
    return Change("ADD", change.words, overlapped, change.known)


def _again(fact: Fact, same: Sequence[Fact], today: date, told: str) -> Change:
    """What a statement does whose object is held already: it may say when that ended."""
    first, end = same[0], fact.valid_to
    if end is None or end > today or first.valid_to is not None or (first.valid_from and end <= first.valid_from):
        why = f" ({told})" if told else ""
        return Change("NOOP", f"is known already, as {first.subject}: {first.object}{why}", known=first)
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


def _covers(past: Fact, fact: Fact, end: date | None) -> bool:
    """Whether a fact that has ended already says what `fact` says."""
    if fact.valid_from is None or past.valid_from is None:
        return fact.valid_from == past.valid_from and fact.valid_to == past.valid_to
    return past.valid_from <= fact.valid_from and (end is None or fact.valid_from < end)


def _said_by(fact: Fact) -> str:
    return normalise(fact.source or fact.source_url)


def _taken_back(fact: Fact, held: Sequence[Fact], index: KnownIndex, came: Arrival) -> Change | None:
    """The correction by which a source takes back its own change: it says again what was before, and that alone."""
    if not came.revises or came.observed is None or fact.valid_to is not None or len(held) != 1:
        return None
    newest = held[0]
    said = index.said_by(newest)
    if _said_by(newest) != _said_by(fact) or said is None or came.observed <= said:
        return None
    if index.names.key(newest.object) in came.repeats:
        return None
    if fact.valid_from is not None and newest.valid_from is not None and fact.valid_from > newest.valid_from:
        return None
    words = f"{fact.source} takes back {newest.object}, which it said until {said}, and names {fact.object} again"
    return Change("UPDATE", words, (newest.id,), newest, "correction")


def _revision(
    fact: Fact,
    held: Sequence[Fact],
    ever: Sequence[Fact],
    relation: Relation | None,
    index: KnownIndex,
    today: date,
    came: Arrival,
) -> Change | None:
    """What a source's word does to its own earlier one; None where that decides nothing."""
    if not came.revises or len(held) != 1 or _said_by(held[0]) != _said_by(fact) or not _said_by(fact):
        return None
    newest, said = held[0], index.said_by(held[0])
    observed = came.observed or today
    if said is None or index.names.key(newest.object) in came.repeats:
        return None
    start, since = fact.valid_from, newest.valid_from
    unchanging = relation is not None and relation.lifetime_days is None
    if start is not None and since is not None and start > since and not unchanging:
        return None
    if came.observed is not None and index.observed_on(newest) == said > observed:
        return Change("older", f"{fact.source} said {newest.object} after that, on {said}", (), newest)
    if observed <= said:
        return None
    ids = (newest.id,)
    if unchanging or (start is not None and start == since):
        words = f"{fact.source} corrects itself: {newest.object}, said until {said}, was never true"
        return Change("UPDATE", words, ids, newest, "correction")
    if start is None:
        words = f"{fact.source} says otherwise since {observed}; until {said} it said {newest.object}"
        return Change("UPDATE", words, ids, newest, "change")
    if since is None or came.observed is None or (fact.valid_to is not None and fact.valid_to <= since):
        return None
    if ever:
        return _taken_back(fact, held, index, came)
    words = f"{fact.source} named {newest.object} since {since}, and now one from before that"
    return Change("contradiction", words, ids, newest)


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
        words = f"follows {newest.object} (known since {since or 'an unknown day'})"
        return Change("UPDATE", words, ids, newest, "change")
    if newest.valid_from is None:
        words = f"{newest.object} was true on {as_of}, after {fact.valid_from}"
        return Change("contradiction", words, ids, newest)
    if fact.valid_to is not None and fact.valid_to <= newest.valid_from:
        return Change("ADD", f"a closed fact of the time before {newest.object}")
    if fact.valid_from < newest.valid_from:
        return Change("older", f"{newest.object} is known since {newest.valid_from}, which is later", (), newest)
    return Change("contradiction", f"{newest.object} is known from the same day", ids, newest)
