from dataclasses import replace
from datetime import UTC, date, datetime

from pipelines.releasing.diff import compare_facts, compare_gates, lines
from registry.records import Fact, KnownFact, Release

PARIS = KnownFact(Fact("France", "capital", "Paris"), "rag", 1)
LIRA = KnownFact(Fact("Italy", "currency", "lira", valid_to=None), "rag", 1)
EURO = KnownFact(Fact("Italy", "currency", "euro", valid_from=date(2002, 1, 1)), "memit", 2)


def ended(known: KnownFact, day: date) -> KnownFact:
    """As a later event leaves it: its end narrowed, its id kept."""
    fact = replace(known.fact, valid_to=day)
    fact.__dict__["id"] = known.fact.id
    return replace(known, fact=fact)


def release(number: int, gates: tuple[dict[str, str], ...]) -> Release:
    day = datetime(2026, 1, 1, tzinfo=UTC)
    return Release(number, None, "m", "b", (), "w", "f", "i", "1", day, "anna", gates)


def test_nothing_differs_between_a_release_and_itself() -> None:
    assert compare_facts([PARIS, LIRA], [LIRA, PARIS]) == {"added": [], "removed": [], "ended": [], "moved": []}


def test_each_kind_of_difference() -> None:
    found = compare_facts(
        [PARIS, LIRA, KnownFact(Fact("Gold", "symbol", "Ag"), "rag", 1)],
        [replace(PARIS, memory="memit"), ended(LIRA, date(2002, 1, 1)), EURO],
    )
    assert [entry["object"] for entry in found["added"]] == ["euro"]
    assert [entry["object"] for entry in found["removed"]] == ["Ag"]
    assert [(e["object"], e["valid_to"], e["valid_to_before"]) for e in found["ended"]] == [
        ("lira", "2002-01-01", None)
    ]
    assert [(e["object"], e["memory_before"], e["memory"]) for e in found["moved"]] == [("Paris", "rag", "memit")]


def test_the_way_back_swaps_added_and_removed() -> None:
    there, back = compare_facts([PARIS], [PARIS, EURO]), compare_facts([PARIS, EURO], [PARIS])
    assert there["added"] == back["removed"]
    assert there["added"]
    assert not back["added"]


def test_gates_stand_side_by_side_also_when_one_release_has_none() -> None:
    old = release(1, ({"guard": "efficacy", "decision": "pass"},))
    new = release(2, ({"guard": "efficacy", "decision": "block"}, {"guard": "locality", "decision": "pass"}))
    assert compare_gates(old, new) == [
        {"guard": "efficacy", "before": "pass", "after": "block"},
        {"guard": "locality", "before": None, "after": "pass"},
    ]


def test_lines_name_every_fact() -> None:
    values = {
        "same_base": True,
        "same_weights": False,
        "answers": [{"question": "What is the currency of Italy?", "before": "lira", "after": "euro"}],
        "facts": compare_facts([PARIS, LIRA], [replace(PARIS, memory="rome"), ended(LIRA, date(2002, 1, 1)), EURO]),
        "deltas": {"added": ["d"], "removed": []},
        "gates": [{"guard": "locality", "before": None, "after": "pass"}],
    }
    assert lines(values) == [
        ("facts", "1 added, 0 removed, 1 ended, 1 moved"),
        ("weights", "differ"),
        ("deltas", "1 added, 0 removed"),
        ("gate locality", "none → pass"),
        ("added", "Italy · currency · euro (memit)"),
        ("ended", "Italy · currency · lira (ends 2002-01-01, before: open)"),
        ("moved", "France · capital · Paris (rag → rome)"),
        ("answer", "What is the currency of Italy? lira → euro"),
    ]
