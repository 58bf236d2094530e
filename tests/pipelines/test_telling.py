from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pipelines.commands.telling import SPELT_OUT, demo_rows, release_rows, update_rows, update_title
from pipelines.demo import DatedAnswer, DemoResult
from pipelines.outcome import RowResult, UpdateResult
from registry.records import Release

SHARE: dict[str, Any] = {"right": 9, "n": 10, "share": 0.9, "low": 0.6, "high": 0.98}
NOTHING: dict[str, Any] = {"right": 0, "n": 0, "share": None, "low": None, "high": None}
UPDATE = UpdateResult(
    "published",
    "news.csv",
    "d" * 64,
    release=2,
    decisions={"ADD": 9, "refused": 1},
    memories={"memit": 8, "rag": 1},
    rows=(RowResult(3, "refused", "x", "y", "z", ("no source", "a date in the future")),),
    freshness_before={**SHARE, "reader_agreement": None},
    freshness_after={**SHARE, "reader_agreement": 0.95, "by_memory": {"memit": {"right": 8, "n": 8}}},
    locality=NOTHING,
    gates=({"guard": "efficacy", "decision": "pass", "explanation": "8 of 8"},),
    moved=({"fact_id": "f", "reason": "not answered from the weights"},),
    seconds={"guard": 12.3},
    peak_rss_mb=1234.5,
    notes=("a note",),
)
SCORE = {"right": 9, "rows": 10, "good_recall": 1.0, "good_rows": 9, "falsehoods": 1, "falsehoods_accepted": []}
ROLLBACK = {"to": 1, "equal": True, "answers_asked": 20, "answers_as_before": True, "seconds": 1.25}
DATED = (DatedAnswer("Who?", "2024-12-11", "Ding Liren", "organiser", "rag", True),)


def test_a_run_is_told_in_words() -> None:
    rows = update_rows(UPDATE)
    assert (
        "answered after",
        "0.900 [0.600, 0.980] of 10; memit 8 of 8; the model's own words hold the fact: 0.950",
    ) in rows
    assert ("gate efficacy", "pass: 8 of 8") in rows
    assert ("row 3", "refused: no source; a date in the future") in rows
    assert ("note", "a note") in rows
    assert update_title(UPDATE) == "news.csv: r2: published, and the champion now"


def test_what_was_not_measured_is_left_out() -> None:
    assert "untouched facts" not in dict(update_rows(UPDATE))
    assert "untouched facts" in dict(update_rows(replace(UPDATE, locality=SHARE)))


def test_many_refused_rows_are_counted() -> None:
    many = replace(UPDATE, rows=UPDATE.rows * (SPELT_OUT + 5))
    assert dict(update_rows(many))["further rows"].startswith("5 were not accepted either")


def test_the_demo_is_told_in_the_order_of_the_loop() -> None:
    rows = demo_rows(DemoResult(UPDATE, SCORE, DATED, ROLLBACK, "r2.html", {"ask": 1.0}, 2000.0))
    names = [name for name, _ in rows]
    wanted = [
        "rows of the feed",
        "admission",
        "accepted facts live in",
        "answered after",
        "as of 2024-12-11",
        "rollback",
    ]
    assert [name for name in names if name in wanted] == wanted
    told = dict(rows)
    assert told["rollback"] == "to r1: the weights' digest equals the recorded one; 20 answers all as before; 1.2 s"
    assert told["admission"].endswith("falsehoods let in: 0 of 1")
    assert told["report"] == "r2.html"


def test_a_rollback_that_differs_cannot_be_overlooked() -> None:
    bad = {**ROLLBACK, "equal": False, "answers_as_before": False}
    told = dict(demo_rows(DemoResult(UPDATE, SCORE, DATED, bad, "r2.html")))
    assert "DIFFERS" in told["rollback"]
    assert "NOT all as before" in told["rollback"]


def test_a_release_is_told_with_its_gates_and_shares() -> None:
    day = datetime(2026, 1, 1, tzinfo=UTC)
    summary = {"feed": "news.csv", "freshness_after": SHARE, "locality": NOTHING, "samples": ["long"]}
    told = dict(release_rows(Release(2, 1, "m", "b", (), "w", "f", "i", "2", day, "anna", UPDATE.gates, summary)))
    assert told["gate efficacy"] == "pass: 8 of 8"
    assert told["answered after"] == "0.900 [0.600, 0.980] of 10"
    assert not {"untouched facts", "samples", "summary", "gates"} & set(told)
