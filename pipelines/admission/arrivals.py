"""How the rows of a feed came: when each was said, what its source says beside it, and what its source took back.

A source that says one thing and later in the same feed another from the same day on or before it has taken the first
back: it is not published, however short the time between both was.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from guards.candidates import Candidate
from guards.conflicts import Arrival
from guards.known import KnownIndex
from registry.records import Fact
from registry.text import normalise


@dataclass(frozen=True)
class Arrivals:
    """How the sound rows of a feed came.

    Attributes:
        by_row: by number; a row that stands alone is as `Arrival` makes it.
        withdrawn: rows that their own source took back in the same feed, with the row that did.
    """

    by_row: Mapping[int, Arrival] = field(default_factory=dict)
    withdrawn: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Row:
    row: int
    fact: Fact
    case: Candidate
    observed: date | None

    @property
    def ends(self) -> bool:
        return self.case.operation == "DELETE"


def origin_of(fact: Fact) -> str:
    """Who says a fact, in normal form."""
    return normalise(fact.source or fact.source_url)


def arrivals_of(
    facts: Mapping[int, Fact],
    cases: Mapping[int, Candidate],
    index: KnownIndex,
    today: date,
    *,
    revises: bool = True,
    withdraws: bool = True,
) -> Arrivals:
    """How each row came, in the light of the other rows of its source about the same subject and relation.

    Args:
        facts: the sound rows as facts, by number.
        cases: the rows as they were read.
        index: what is known before the feed.
        today: the day of admission.
        revises: whether a source may revise what it said before.
        withdraws: whether it may take back what it said in the same feed.
    """
    groups: dict[tuple[str, str, str], list[_Row]] = defaultdict(list)
    for row, fact in facts.items():
        case = cases[row]
        key = (*index.key(fact), origin_of(fact))
        groups[key].append(_Row(row, fact, case, case.days.get("observed_at")))
    by_row: dict[int, Arrival] = {}
    withdrawn: dict[int, int] = {}
    for rows in groups.values():
        if len(rows) == 1:
            by_row[rows[0].row] = Arrival(rows[0].observed, frozenset(), revises)
            continue
        if withdraws:
            withdrawn.update(_withdrawn(rows, index, today))
        stay = [each for each in rows if each.row not in withdrawn and not each.ends]
        for each in rows:
            by_row[each.row] = Arrival(each.observed, _repeats(each, stay, index), revises)
    return Arrivals(by_row, withdrawn)


def _repeats(own: _Row, others: Sequence[_Row], index: KnownIndex) -> frozenset[str]:
    """Objects that the source names on the same day or later."""
    return frozenset(
        index.names.key(each.fact.object)
        for each in others
        if each.row != own.row and (own.observed is None or each.observed is None or each.observed >= own.observed)
    )


def _withdrawn(rows: Sequence[_Row], index: KnownIndex, today: date) -> dict[int, int]:
    """Rows that a later one of the same source takes back."""
    dated = sorted((each for each in rows if each.observed is not None), key=lambda each: each.observed or today)
    found = {}
    for place, early in enumerate(dated):
        later = (each for each in dated[place + 1 :] if each.observed != early.observed)
        taker = next((each for each in later if _takes_back(each, early, index, today)), None)
        if taker is not None:
            found[early.row] = taker.row
    return found


def _takes_back(late: _Row, early: _Row, index: KnownIndex, today: date) -> bool:
    """Whether a later row says that an earlier one of the same source never was."""
    relation = early.case.relation
    same = index.names.same_object(early.fact, late.fact, relation)
    if relation is not None and relation.cardinality == "many":
        return same and early.ends != late.ends and early.fact.valid_from == late.fact.valid_from
    if same or early.ends or late.ends or late.fact.valid_to is not None:
        return False
    before = [each for each in index.about(early.fact) if index.is_open(each, today)]
    if any(index.names.same_object(each, early.fact, relation) for each in before):
        return False
    start, since = late.fact.valid_from, early.fact.valid_from
    if start is not None and since is not None:
        return start <= since
    undated = replace(late.fact, valid_from=None)
    return start is None and any(index.names.same_object(each, undated, relation) for each in before)
