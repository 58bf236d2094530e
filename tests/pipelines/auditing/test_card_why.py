"""Why a name of the card has no figure, and what is carried over from an older release of the same weights."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from guards.base import Verdict
from guards.card import FAMILIES, PANELS
from pipelines.auditing.asked import Asked
from pipelines.auditing.card import card_of
from pipelines.auditing.card_parts import Recorded
from pipelines.auditing.card_why import reasons
from pipelines.settings import Settings
from registry.records import Release

AT = datetime(2026, 1, 2, tzinfo=UTC)
SCORE = {"name": "drawdown", "value": 1.0, "low": 0.94, "high": 1.0, "n": 60, "threshold": 0.88}
GATE = {"guard": "drawdown", "decision": "pass", "explanation": "60 of 60 still right", "scores": [SCORE]}
INDEX = {**GATE, "guard": "retrieval", "scores": [{**SCORE, "name": "retrieval"}]}
CHAT = {"right": 20, "n": 23, "share": 20 / 23, "low": 0.68, "high": 0.95}
CHANGES = {"right": 1, "n": 1, "share": 1.0, "low": 0.2, "high": 1.0}


def release(
    number: int, weights: str, gates: tuple[Any, ...] = (), deltas: tuple[str, ...] = ("d",), **more: Any
) -> Release:
    parent = number - 1 or None
    return Release(number, parent, "tiny", "b", deltas, weights, "s" * 40, "i", "1", AT, "t", gates=gates, summary=more)


def found(now: Release, *older: Release, asked: Asked | None = None, p4: Any = None) -> Recorded:
    fresh = {"long_memory": {"p1": {}, "p2": {}, "p4": p4 or {}}, "timeliness": None}
    given = asked or Asked(batches={"index": {1: 3, 2: 1}, "weights": {2: 4}}, problem="")
    leaks = (Verdict("verbatim_extraction", "pass", "no fact of the release is protected"),)
    return Recorded(now, Settings.load(), None, (0, 0), (), "none", fresh, leaks, AT.isoformat(), given, older)


WROTE = release(2, "w2", (GATE, INDEX), chat=CHAT, freshness_after=CHANGES)
FIRST = release(1, "base", deltas=())


def missing(card: Any) -> dict[str, str]:
    sections = [*card["metric_families"].values(), *card["e_mars"].values()]
    return {one["name"]: one["why"] for section in sections for one in section["not_measured"]}


def test_every_name_has_a_reason_of_its_own() -> None:
    names = {name for part in (FAMILIES, PANELS) for listed in part.values() for name in listed}
    for one in (found(FIRST), found(release(3, "w3"), WROTE, FIRST), found(release(3, "w2"), WROTE, asked=Asked())):
        why = reasons(one)
        assert names - set(why) == set()
        assert not any(words in ("", "not measured") for words in why.values())
        assert set(missing(card_of(one)).values()) <= set(why.values())


def test_what_asks_the_weights_alone_is_carried_over_with_them_and_not_with_others() -> None:
    same = card_of(found(release(4, "w2"), release(3, "w2", (INDEX,)), WROTE, FIRST))
    carried = {one["name"]: one for one in same["metric_families"]["maintainability"]["figures"]}
    assert carried["drawdown"]["about"] == "pass against 0.88; measured of release 2, whose weights these are"
    (chat,) = same["metric_families"]["accuracy"]["figures"]
    assert (chat["name"], chat["n"]) == ("chat form", 23)
    assert same["metric_families"]["retrieval"]["figures"] == [], "the index is another one"
    other = missing(card_of(found(release(4, "w4"), release(3, "w2", (INDEX,)), WROTE, FIRST)))
    assert "those of release 2 asked other weights than these" in other["drawdown"]
    assert "other weights than these" in other["chat form"]
    own = card_of(found(release(4, "w2", ({**GATE, "decision": "block"},)), WROTE))
    (drawdown,) = own["metric_families"]["maintainability"]["figures"]
    assert drawdown["about"] == "block against 0.88", "its own gate goes before"


@pytest.mark.parametrize(
    ("one", "name", "words"),
    [
        (found(FIRST), "edit success", "no fact of release 1 lives in its weights"),
        (found(release(3, "w2"), WROTE), "edit success", "`dmmgov audit run` rebuilds it"),
        (found(FIRST), "exact match of changed facts", "a first release has nothing before it"),
        (found(release(3, "w2"), WROTE), "exact match of changed facts", "release 2 did last"),
        (found(release(3, "w2"), WROTE), "slope per 100 edits", "one batch only is in the weights (release 2)"),
        (found(release(3, "w2"), WROTE), "half-life in edits", "one batch only is in the weights (release 2)"),
        (found(release(3, "w2"), WROTE), "verbatim extraction", "no fact of the release is protected"),
        (found(release(3, "w2"), WROTE), "AURC", "no question could be drawn"),
        (found(release(3, "w2"), WROTE, asked=Asked(problem="the index is gone")), "Brier", "the index is gone"),
        (found(release(3, "w2"), WROTE, asked=Asked(problem="the index is gone")), "nDCG@10", "the index is gone"),
    ],
)
def test_a_reason_says_what_is_lacking(one: Recorded, name: str, words: str) -> None:
    assert words in missing(card_of(one))[name]


def test_a_half_life_that_was_not_reached_says_how_far_it_was_followed() -> None:
    panel = {"half_life": "not reached within 40 later edits (0 of 9 lost)", "half_life_edits": None}
    two = Asked(batches={"index": {}, "weights": {2: 4, 3: 5}}, problem="")
    why = reasons(found(release(3, "w3"), WROTE, asked=two, p4=panel))["half-life in edits"]
    assert why == "in the weights: not reached within 40 later edits (0 of 9 lost)"
    assert "was not loaded" in reasons(found(replace(WROTE, number=3), WROTE, asked=two))["half-life in edits"]
