"""Errors of known kinds planted into the good rows of the leader timeline after the split.

A planted row takes the place of a good one, so that without any rule each would be published. The kind `plausible` is a
negative control: another real leader with a sound date, from the one trusted source; nothing in the row or in what is
known speaks against it, and no rule can find it.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from random import Random

from benchmarks.history_said import History, Said

PER_KIND = 20
Plant = Callable[[Said, Said, str], Said]
"""Makes the wrong row of a good one, another good row, and the name of who held the office before."""


def swapped(text: str) -> str:
    """A text with two neighbouring letters of its middle swapped."""
    place = next(
        (n for n in range(len(text) // 2, len(text) - 1) if text[n] != text[n + 1] and text[n : n + 2].isalpha()), 0
    )
    return f"{text[:place]}{text[place + 1]}{text[place]}{text[place + 2 :]}"


KINDS: Mapping[str, Plant] = {
    "subject misspelt": lambda row, other, held: replace(row, subject=swapped(row.subject)),
    "neighbour's row": lambda row, other, held: replace(row, object=other.object, start=other.start),
    "two names in one": lambda row, other, held: replace(row, object=f"{row.object} {held}"),
    "elect": lambda row, other, held: replace(row, object=f"President-elect {row.object}"),
    "deputy": lambda row, other, held: replace(row, title="Deputy Prime Minister"),
    "a country as a person": lambda row, other, held: replace(row, object=other.subject),
    "in the future": lambda row, other, held: replace(row, start=(row.observed + timedelta(days=90)).isoformat()),
    "no day of the calendar": lambda row, other, held: replace(row, start=f"{row.start[:4]}-02-30"),
    "nobody": lambda row, other, held: replace(row, object=""),
    "page in the name": lambda row, other, held: replace(row, object=f"<b>{row.object}</b>"),
    "taken back in days": lambda row, other, held: replace(row, object=other.object),
    "plausible": lambda row, other, held: replace(row, object=other.object),
}


def planted(history: History, seed: int) -> tuple[History, dict[int, str]]:
    """The history with wrong rows in the place of good ones, and the kind of each by the row's place."""
    draw = Random(seed)
    held, last = dict[int, str](), dict[tuple[str, str], str]()
    for row in history.rows:
        held[row.place] = last.get((row.subject, row.relation), "")
        last[(row.subject, row.relation)] = row.object
    fitting = [
        row
        for row in history.rows
        if not row.chosen_on and row.gold == "good" and row.start and held[row.place] not in ("", row.object)
    ]
    drawn = draw.sample(fitting, min(len(fitting), PER_KIND * len(KINDS)))
    kinds, made = dict[int, str](), dict[int, list[Said]]()
    for place, row in enumerate(drawn):
        kind = list(KINDS)[place % len(KINDS)]
        wrong = KINDS[kind](row, _other(row, fitting, draw), held[row.place])
        kinds[row.place] = kind
        made[row.place] = [replace(wrong, gold="wrong", why=kind)]
        if kind == "taken back in days":
            made[row.place].append(row)
    rows: list[Said] = []
    numbers = dict[int, str]()
    for row in history.rows:
        for number, each in enumerate(made.get(row.place, [row])):
            if row.place in kinds and number == 0:
                numbers[len(rows)] = kinds[row.place]
            early = kinds.get(row.place) == "taken back in days" and number == 0
            day = max(each.observed.replace(day=1), each.observed - timedelta(days=2)) if early else each.observed
            rows.append(replace(each, place=len(rows), observed=day))
    return History(history.name, tuple(rows), history.before), numbers


def _other(row: Said, fitting: list[Said], draw: Random) -> Said:
    """A row about another country, said before this one; of any day where there is none."""
    others = [each for each in fitting if each.subject != row.subject and each.relation == row.relation]
    earlier = [each for each in others if each.observed <= row.observed]
    return draw.choice(earlier or others)
