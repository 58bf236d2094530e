"""The three histories as rows of feeds, each with what its own later revisions say about it.

A row is what a source said on a day. Whether it was wrong is read from what the history itself did to it later; no
guard is asked. `same` below is the only judgement on names, and it rests on the day of office, not on letters:

    leaders     two successive statements about one office name one person when both have the same day of office; the
                exceptions were looked at by hand and are listed by day, file and office.
    wrong       a statement is followed by another person with the same day of office within a year (the first never
                held it), or by one who was stated before it with an older day (the change is taken back).
    unclear     it is followed by one never stated before, from an older day: the office was read otherwise.
    wrong day   the person stays and the day of office is corrected; counted apart.

    countries   one row per value that comes or goes. What the history ends with is right: a row that moves a value away
                from that and is undone later is wrong. A single-valued field is wrong where a value neither stays, nor
                is a spelling of what stays, nor stood two years.
    S&P 500     a member that goes and comes (or comes and goes) within 60 days was wrong; a sector that returns to what
                it was was wrong in between, unless it is what the history ends with. A name that returns is unclear:
                those are abbreviations ("Genl Mills"), a drift of the schema and not an error.

Changes of spelling are not wrong anywhere.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

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
STOOD, BLIP, WITHIN = 730, 60, 365
ONE_NAME = 95.0
"""Share of letters (percent, rapidfuzz) from which two texts are one name for the gold."""
COLLISION = "SHN"
"""The code that two territories share until July 2014: of each day's two values the one that stays is right."""
ONE_VALUE = {"capital": "capital", "common": "common_name", "official": "official_name", "region": "region"}
MANY_VALUES = {"currencies": "currency", "languages": "language", "borders": "border"}
ALIASES = {"Kyiv": ("Kiev",)}

CHIEF, HEAD = "chief_of_state", "head_of_government"
OTHER_PERSON = frozenset(
    {
        ("2022-08-18", "middle-east/ae.json", CHIEF),
        ("2023-12-21", "africa/wz.json", HEAD),
        ("2020-11-24", "europe/lo.json", CHIEF),
        ("2021-05-23", "middle-east/le.json", HEAD),
        ("2022-07-28", "europe/sz.json", HEAD),
    }
)
"""Statements with the day of office of the one before, which name another person all the same."""
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


def read_history(name: str, data: Path) -> History:
    """One of the histories, in the order in which it was observed."""
    lines = (data / FILES[name]).read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines if line.strip()]
    made = {"leaders": _leaders, "countries": _countries, "sp500": _members}[name](records)
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
    return bool(one.start) and one.start == following.start


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


def _countries(records: Sequence[dict[str, Any]]) -> History:
    rows: list[Said] = []
    before: dict[tuple[str, str], list[str]] = {}
    for one in records:
        day, subject, name = date.fromisoformat(one["date"]), one["cca3"], one["field"]
        relation = ONE_VALUE.get(name) or MANY_VALUES[name]
        old, new = _values(one["old"]), _values(one["new"])
        before.setdefault((subject, relation), old)
        gone, come = [each for each in old if each not in new], [each for each in new if each not in old]
        if name in ONE_VALUE and come:
            gone = []
        for op, values in (("DELETE", gone), ("", come)):
            rows += [
                Said("countries", len(rows) + n, day, subject, relation, each, op) for n, each in enumerate(values)
            ]
    first = min(row.observed for row in rows)
    known = [
        Said("countries", 0, first, subject, relation, each)
        for (subject, relation), values in before.items()
        for each in values
        if each
    ]
    many = set(MANY_VALUES.values())
    groups: dict[tuple[str, ...], list[Said]] = defaultdict(list)
    for row in rows:
        groups[(row.subject, row.relation, row.object if row.relation in many else "")].append(row)
    judged = [each for group in groups.values() for each in _judged_values(group, group[0].relation in many)]
    return History("countries", tuple(judged), tuple(known))


def _values(value: Any) -> list[str]:
    """The values of a field as texts; an absent one is the empty text."""
    if not isinstance(value, list):
        return [value] if value else []
    return ["" if each is None else str(each) for each in dict.fromkeys(map(str, value)) if each != "None"] or (
        [""] if value else []
    )


def _judged_values(group: Sequence[Said], many: bool) -> Iterator[Said]:
    """The rows about one value (of a field with many), or about one field (of one value), with their gold."""
    last = group[-1]
    for place, row in enumerate(group):
        if not row.object:
            yield replace(row, gold="unclear" if row.op else "wrong", why="says nothing")
        elif not many and any(each.observed == row.observed and each.object != row.object for each in group):
            both = sum(each.observed == row.observed for each in group) == 2 and row.subject == COLLISION
            final = one_name(row.object, last.object) or not both
            yield replace(row, gold="unclear" if not both else "good" if final else "wrong", why="one code, two values")
        elif many:
            undone = row.op != last.op and row is not last
            yield replace(row, gold="wrong" if undone else "good", why="undone later" if undone else "")
        elif row.op or one_name(row.object, last.object) or _stood(row, group[place + 1 :]) >= STOOD:
            yield row
        else:
            yield replace(row, gold="wrong", why=f"became {last.object}")


def _stood(row: Said, later: Iterable[Said]) -> int:
    """For how many days a value stood until another came."""
    ends = next((each.observed for each in later if each.object != row.object), None)
    return (ends - row.observed).days if ends else STOOD


def one_name(one: str, other: str) -> bool:
    """Whether two texts are one name by their letters, or listed as aliases; the gold's own judgement."""
    first, second = ("".join(normalise(each).split()) for each in (one, other))
    if any({one, other} <= {name, *others} for name, others in ALIASES.items()):
        return True
    if not first or not second:
        return False
    return first.startswith(second) or second.startswith(first) or fuzz.ratio(first, second) >= ONE_NAME


def _members(records: Sequence[dict[str, Any]]) -> History:
    rows: list[Said] = []
    before: dict[tuple[str, str], str] = {}

    def add(one: dict[str, Any], relation: str, value: str | None, op: str = "") -> None:
        if value is not None:
            day = date.fromisoformat(one["date"])
            rows.append(Said("sp500", len(rows), day, one["symbol"], relation, value.strip(), op))

    for one in records:
        if one["event"] == "changed":
            relation = "company_name" if one["field"] == "name" else "sector"
            before.setdefault((one["symbol"], relation), one["old"] or "")
            before.setdefault((one["symbol"], "member_of"), "S&P 500")
            add(one, relation, one["new"])
            continue
        gone = one["event"] == "removed"
        before.setdefault((one["symbol"], "member_of"), "S&P 500" if gone else "")
        add(one, "member_of", "S&P 500", "DELETE" if gone else "")
        for field, relation in (("name", "company_name"), ("sector", "sector")) if not gone else ():
            before.setdefault((one["symbol"], relation), "")
            add(one, relation, one[field])
    first = min(row.observed for row in rows)
    known = [Said("sp500", 0, first, *key, value) for key, value in before.items() if value]
    groups: dict[tuple[str, str], list[Said]] = defaultdict(list)
    for row in rows:
        groups[(row.subject, row.relation)].append(row)
    judged = [each for key, group in groups.items() for each in _judged_member(group, before[key])]
    return History("sp500", tuple(judged), tuple(known))


def _judged_member(group: Sequence[Said], before: str) -> Iterator[Said]:
    """The rows about one symbol and relation with their gold."""
    for place, row in enumerate(group):
        following = group[place + 1] if place + 1 < len(group) else None
        held = group[place - 1].object if place else before
        gold: Gold = "good" if row.object else "wrong"
        if following is not None and row.relation == "member_of":
            if row.op != following.op and (following.observed - row.observed).days <= BLIP:
                gold = "wrong"
        elif following is not None and following.object == held and not one_name(row.object, held):
            gold = "unclear" if row.relation == "company_name" or row.object == group[-1].object else "wrong"
        yield replace(row, gold=gold, why="" if gold == "good" else "undone")
