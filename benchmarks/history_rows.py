"""The three histories as rows of feeds, each with what its own later revisions say about it.

A row is what a source said on a day. Whether it was wrong is read from what the history itself did to it later; no
guard is asked. Two successive statements about one office name one person when both have the same day of office and
half of their letters; the exceptions were looked at by hand and are listed by day, file and office.

    leaders     wrong: a statement followed by another person with the same day of office within a year (the first never
                held it), or by one who was stated before it with an older day (the change is taken back); unclear: one
                followed by a person never stated before, from an older day (the office was read otherwise); wrong day:
                the person stays and the day of office is corrected, which is counted apart.
    countries   one row per value that comes or goes. What the history ends with is right: a row that moves a value away
                from that and is undone later is wrong. A single-valued field is wrong where a value neither stays, nor
                is a spelling of what stays, nor stood two years.
    S&P 500     a member that goes and comes (or comes and goes) within 60 days was wrong, its name and sector with it;
                a sector that returns to what it was was wrong in between, unless it is what the history ends with. A
                name that returns is unclear: those are abbreviations ("Genl Mills"), a drift and not an error.

Changes of spelling are not wrong anywhere.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

from rapidfuzz import fuzz

from benchmarks.history_lists import countries, members
from benchmarks.history_said import FILES, Gold, History, Said
from registry.text import normalise

WITHIN = 365
CHIEF, HEAD = "chief_of_state", "head_of_government"
OTHER_PERSON = frozenset({("2022-08-18", "middle-east/ae.json", CHIEF)})
"""A statement with the day of office of the one before and a name like it, which names another person all the same."""
LIKE = 50.0
"""Share of letters (percent, rapidfuzz, words sorted) under which two names of one day of office are two people."""
SAME_PERSON = frozenset(
    {
        *(("2020-11-24", "africa/ga.json", office) for office in (CHIEF, HEAD)),
        *(("2020-11-24", "middle-east/le.json", HEAD), ("2021-12-16", "europe/kv.json", CHIEF)),
        *(("2021-12-30", "africa/et.json", HEAD), ("2021-09-23", "middle-east/is.json", CHIEF)),
        *(("2022-03-31", "middle-east/ae.json", CHIEF), ("2023-11-30", "africa/mp.json", CHIEF)),
    }
)
"""Statements with another day of office than the one before, which name the same person."""
BY_HAND = frozenset(
    {
        *((day, "middle-east/tu.json", CHIEF) for day in ("2020-11-24", "2023-06-08")),
        ("2023-06-24", "australia-oceania/fp.json", HEAD),
    }
)
"""Wrong by sight (a vice president as head of state, two names in one), though no later revision says so."""


def read_history(name: str, data: Path) -> History:
    """One of the histories, in the order in which it was observed."""
    lines = (data / FILES[name]).read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines if line.strip()]
    made = {"leaders": _leaders, "countries": countries, "sp500": members}[name](records)
    rows = sorted(made.rows, key=lambda row: (row.observed, row.place))
    return replace(made, rows=tuple(replace(row, place=place) for place, row in enumerate(rows)))


def _leaders(records: Sequence[dict[str, Any]]) -> History:
    offices: dict[tuple[str, str], list[Said]] = defaultdict(list)
    for place, one in enumerate(records):
        mark = (one["observed"], one["code"], one["role"])
        row = Said(
            *("leaders", place, date.fromisoformat(one["observed"]), one["country"], one["role"], one["person"]),
            start=one["since"] or "",
            title=one["title"],
            mark=mark,
        )
        offices[(one["code"], one["role"])].append(row)
    rows = [row for office in offices.values() for row in _judged_office(office)]
    whole = re.compile(r"\d{4}-\d{2}-\d{2}")
    return History(
        "leaders", tuple(replace(row, start=row.start if whole.fullmatch(row.start) else "") for row in rows)
    )


def same_person(one: Said, following: Said) -> bool:
    """Whether two successive statements about one office name one person, by the day of office."""
    if following.mark in OTHER_PERSON:
        return False
    if following.mark in SAME_PERSON or normalise(one.object) == normalise(following.object):
        return True
    like = fuzz.token_sort_ratio(normalise(one.object), normalise(following.object)) >= LIKE
    return bool(one.start) and one.start == following.start and like


def _judged_office(office: Sequence[Said]) -> Iterator[Said]:
    """The statements about one office with their gold."""
    golds: list[tuple[Gold, str]] = [("good", "")] * len(office)
    for place, (one, following) in enumerate(pairwise(office)):
        if same_person(one, following):
            if one.start and following.start and one.start != following.start:
                golds[place] = ("wrong day", f"the day became {following.start}")
            continue
        if not one.start or not following.start or following.start > one.start:
            continue
        if following.start == one.start:
            if (following.observed - one.observed).days <= WITHIN:
                golds[place] = ("wrong", f"{following.object} has held it since the same day")
            else:
                golds[place + 1] = ("wrong day", "the day is that of the one before")
        elif any(normalise(each.object) == normalise(following.object) for each in office[:place]):
            golds[place] = ("wrong", f"taken back for {following.object}")
        elif golds[place][0] == "good":
            golds[place] = golds[place + 1] = ("unclear", "the office was read otherwise")
    for row, (gold, why) in zip(office, golds, strict=True):
        yield replace(row, gold="by hand" if row.mark in BY_HAND and gold == "good" else gold, why=why)
