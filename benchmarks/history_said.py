"""One row of a history: what a source said on a day, and what the history says of it later."""

from dataclasses import dataclass
from datetime import date
from typing import Literal

from rapidfuzz import fuzz

from registry.text import normalise

Gold = Literal["good", "wrong", "unclear", "wrong day", "by hand"]
HISTORIES = ("leaders", "countries", "sp500")
FILES = {
    "leaders": "temporal/leader_timeline_to_2023.jsonl",
    "countries": "temporal/country_changes_to_2019.jsonl",
    "sp500": "temporal/sp500_changes_to_2022.jsonl",
}
SOURCES = {"leaders": "Factbook", "countries": "Countries list", "sp500": "Index list"}
CHOOSE_BEFORE = {"leaders": date(2021, 1, 1), "countries": date(2016, 1, 1), "sp500": date(2017, 1, 1)}
"""Rows observed before that day may be chosen on; figures are of those from it on."""
ALIASES = {"Kyiv": ("Kiev",)}
"""Names that are one, by what they are written like elsewhere."""
ONE_NAME = 95.0
"""Share of letters (percent, rapidfuzz) from which two texts are one name for the gold."""


@dataclass(frozen=True)
class Said:
    """One row: what a source said on a day.

    Attributes:
        history: one of `HISTORIES`.
        place: position in the history.
        observed: the day.
        subject: as the source has it.
        relation: of the bench's catalogue.
        object: what is said; empty where the source left it so.
        op: "DELETE" where a value goes, else empty.
        start: first day on which it holds, ISO; empty where the source names no whole day.
        title: the office as the source names it; leaders only.
        gold: what the history says of it later.
        why: that in words.
        mark: of a leader's statement: day, file and office, by which exceptions are listed.
    """

    history: str
    place: int
    observed: date
    subject: str
    relation: str
    object: str
    op: str = ""
    start: str = ""
    title: str = ""
    gold: Gold = "good"
    why: str = ""
    mark: tuple[str, str, str] = ("", "", "")

    @property
    def chosen_on(self) -> bool:
        """Whether the row lies before the split."""
        return self.observed < CHOOSE_BEFORE[self.history]


@dataclass(frozen=True)
class History:
    """A history with what was known before its first row."""

    name: str
    rows: tuple[Said, ...]
    before: tuple[Said, ...] = ()


def one_name(one: str, other: str) -> bool:
    """Whether two texts are one name by their letters, or listed as aliases; the gold's own judgement."""
    first, second = ("".join(normalise(each).split()) for each in (one, other))
    if any({one, other} <= {name, *others} for name, others in ALIASES.items()):
        return True
    if not first or not second:
        return False
    return first.startswith(second) or second.startswith(first) or fuzz.ratio(first, second) >= ONE_NAME
