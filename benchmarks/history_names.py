"""Entity resolution on the real names of leaders: two people taken for one, and one taken for two.

Pairs: successive statements about one office with different texts (`history_rows.same_person` says which name one
person, by the day of office), and pairs of names that are certainly two people: other holders of the same office, and a
drawn sample of holders of offices in different countries. The threshold is chosen on pairs before the split: the middle
of those that merge no two people there, because a merge hides a change of office, and a split is at worst a correction.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from random import Random
from typing import Any

from benchmarks.history_rows import same_person
from benchmarks.history_said import History, Said
from guards.names import person_likeness
from guards.stats import wilson
from registry.text import normalise

THRESHOLDS = (0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
DRAWN = 60_000
CAME_BACK = frozenset((day, "middle-east/is.json", "head_of_government") for day in ("2023-01-26", "2023-05-04"))
"""Statements about one who held the office before, under another spelling."""
Pair = tuple[Said, Said]


@dataclass(frozen=True)
class Pairs:
    """Pairs of names: of one person, of two people who follow each other, of two people otherwise."""

    same: tuple[Pair, ...]
    successors: tuple[Pair, ...]
    others: tuple[Pair, ...]
    abroad: tuple[Pair, ...]


def offices(rows: Iterable[Said]) -> dict[tuple[str, str], list[Said]]:
    """The statements about each office, in their order."""
    found: dict[tuple[str, str], list[Said]] = {}
    for row in rows:
        found.setdefault((row.subject, row.relation), []).append(row)
    return found


def pairs_of(history: History, chosen_on: bool, seed: int) -> Pairs:
    """The pairs whose later statement lies before the split, or after it."""
    same, successors, others = dict[tuple[str, str], Pair](), dict[tuple[str, str], Pair](), list[Pair]()
    persons: list[list[Said]] = []
    for office in offices(history.rows).values():
        persons.append([office[0]])
        for one, following in pairwise(office):
            told = same_person(one, following)
            if not told:
                persons.append([])
            persons[-1].append(following)
            if following.chosen_on == chosen_on and normalise(one.object) != normalise(following.object):
                (same if told else successors)[(one.object, following.object)] = (one, following)
        found = {normalise(each.object): each for each in office}
        others += [pair for pair in combinations(found.values(), 2) if pair[1].chosen_on == chosen_on]
    one_person = {
        frozenset((normalise(one.object), normalise(other.object)))
        for person in persons
        for one, other in combinations(person, 2)
    }
    apart = [
        pair
        for pair in others
        if frozenset(normalise(each.object) for each in pair) not in one_person
        and pair[1].mark not in CAME_BACK
        and not (pair[0].start and pair[0].start == pair[1].start)
    ]
    return Pairs(tuple(same.values()), tuple(successors.values()), tuple(apart), _abroad(history, chosen_on, seed))


def _abroad(history: History, chosen_on: bool, seed: int) -> tuple[Pair, ...]:
    """Drawn pairs of holders in different countries, without those who hold offices in several."""
    lands: dict[str, set[str]] = {}
    rows: dict[str, Said] = {}
    for row in history.rows:
        lands.setdefault(normalise(row.object), set()).add(row.subject)
        if row.chosen_on == chosen_on:
            rows[normalise(row.object)] = row
    single = [name for name in sorted(rows) if len(lands[name]) == 1]
    draw, pairs = Random(seed), dict[tuple[str, str], Pair]()
    while len(pairs) < min(DRAWN, len(single) * (len(single) - 1) // 4):
        one, other = draw.sample(single, 2)
        if rows[one].subject != rows[other].subject:
            pairs[min(one, other), max(one, other)] = (rows[one], rows[other])
    return tuple(pairs.values())


def merged(pair: Pair, threshold: float, *, in_one_office: bool = True) -> bool:
    """Whether two names are taken for one person, with what is known of the days of office."""
    one, other = pair
    dated = bool(one.start and other.start)
    same_start = in_one_office and dated and one.start == other.start
    more_words = in_one_office and (same_start or not dated)
    return person_likeness(one.object, other.object, threshold, more_words=more_words, same_start=same_start).same


def names_part(history: History, seed: int) -> dict[str, Any]:
    """The threshold chosen before the split, and the errors after it."""
    choose, report = pairs_of(history, True, seed), pairs_of(history, False, seed)
    grid = [{"threshold": each, **_counts(choose, each)} for each in THRESHOLDS]
    least = min(one["false_merges"] for one in grid)
    sound = [one["threshold"] for one in grid if one["false_merges"] == least]
    middle = (sound[0] + sound[-1]) / 2
    threshold = min(sound, key=lambda each: abs(each - middle))
    return {
        "grid_before_the_split": grid,
        "threshold": threshold,
        "before": _errors(choose, threshold),
        "after": _errors(report, threshold),
    }


def _counts(pairs: Pairs, threshold: float) -> dict[str, float]:
    merges = sum(merged(pair, threshold) for pair in (*pairs.successors, *pairs.others))
    return {
        "false_splits": sum(not merged(pair, threshold) for pair in pairs.same),
        "false_merges": merges + sum(merged(pair, threshold, in_one_office=False) for pair in pairs.abroad),
    }


def _errors(pairs: Pairs, threshold: float) -> dict[str, Any]:
    """Shares of errors with their intervals."""

    def share(found: Sequence[bool]) -> dict[str, float]:
        return vars(wilson(sum(found), len(found)))

    return {
        "false_splits": share([not merged(pair, threshold) for pair in pairs.same]),
        "false_merges_successors": share([merged(pair, threshold) for pair in pairs.successors]),
        "false_merges_same_office": share([merged(pair, threshold) for pair in pairs.others]),
        "false_merges_abroad": share([merged(pair, threshold, in_one_office=False) for pair in pairs.abroad]),
    }
