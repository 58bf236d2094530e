"""The rows of the countries and of the S&P 500 with their gold; the rules are told in history_rows.py."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from benchmarks.history_said import Gold, History, Said, one_name

STOOD, BLIP = 730, 60
COLLISION = "SHN"
"""The code that two territories share until July 2014: of each day's two values the one that stays is right."""
ONE_VALUE = {"capital": "capital", "common": "common_name", "official": "official_name", "region": "region"}
MANY_VALUES = {"currencies": "currency", "languages": "language", "borders": "border"}


def countries(records: Sequence[dict[str, Any]]) -> History:
    """One row per value that comes or goes; what the first change found was known before."""
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


def members(records: Sequence[dict[str, Any]]) -> History:
    """Membership, name and sector of each symbol; what the first change found was known before."""
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
    false = {(row.subject, row.observed) for row in judged if row.relation == "member_of" and row.gold == "wrong"}
    whole = (
        replace(row, gold="wrong", why="of a member that was undone")
        if (row.subject, row.observed) in false and not row.op
        else row
        for row in judged
    )
    return History("sp500", tuple(whole), tuple(known))


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
