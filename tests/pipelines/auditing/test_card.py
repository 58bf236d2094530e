"""The card of a release, from what a home holds: what is claimed, what is told, and what is said not to be measured."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from dashboards.card import render
from guards.base import Score, Verdict
from pipelines.auditing.card import card_of
from pipelines.auditing.card_parts import Recorded
from pipelines.judging.freshness import FactAnswer, Freshness, paired
from pipelines.settings import Settings
from registry.errors import InputError
from registry.records import LedgerEntry, Release

AT = datetime(2026, 1, 2, tzinfo=UTC)
SHARE = {"right": 40, "n": 42, "share": 40 / 42, "low": 0.842, "high": 0.987}
NONE = {"right": 0, "n": 42, "share": 0.0, "low": 0.0, "high": 0.084}
GATE = {
    "guard": "drawdown",
    "decision": "pass",
    "explanation": "60 of 60 still right",
    "scores": [{"name": "drawdown", "value": 1.0, "low": 0.94, "high": 1.0, "n": 60, "threshold": 0.88}],
    "evidence": [("holm_p", "0.004"), ("drop_seen_with_power_.8", "0.071")],
}
TOLD = {
    "guard": "two_hop",
    "decision": "pass",
    "explanation": "informs only: 1 of 4 drawn through one more fact",
    "scores": [{"name": "two_hop", "value": 0.25, "low": 0.05, "high": 0.7, "n": 4, "threshold": None}],
}
SUMMARY = {
    "freshness_before": NONE,
    "freshness_after": {**SHARE, "paired": {"gained": 40, "lost": 0, "p": 1e-9}},
    "seconds": {"guard": 2.0, "write": 3.0},
    "peak_rss_mb": 900.0,
    "family": "f" * 64,
}
RELEASE = Release(2, 1, "tiny", "b", (), "w", "s" * 40, "i", "1", AT, "tester", gates=(GATE, TOLD), summary=SUMMARY)
FAMILY = {"digest": "f" * 64, "family": {"correction": "Holm", "alpha": 0.05}}
CUTOFF = Verdict("cutoff", "pass", "41 of the 41 that count are right", (Score("counts", 1.0, 0.91, 1.0, 41, 0.5),))
P2 = {"coverage": {"value": 1.0, "low": 0.99, "high": 1.0, "n": 400}, "supported": None, "step_order": None}
FOUND = Recorded(
    RELEASE,
    Settings.load(),
    LedgerEntry(7, "declared", "tester", AT, FAMILY, "leaf"),
    (1, 0),
    ("atlas",),
    "facts that began 2025",
    {"long_memory": {"p1": {}, "p2": P2, "p4": {"half_life_edits": None}}, "timeliness": None},
    (CUTOFF,),
    AT.isoformat(),
)


def names(section: Any) -> set[str]:
    return {one["name"] for one in section["figures"]}


def test_updating_is_claimed_with_its_control_and_the_paired_test() -> None:
    card = card_of(FOUND)
    (claim,) = card["claims"]
    assert card["claim_type"] == "updating"
    assert (claim["figure"]["value"], claim["control"]["figure"]["value"]) == (pytest.approx(40 / 42), 0.0)
    assert claim["test"]["gained"] == 40
    assert "ledger entry 7" in card["family"]["declared"]


@pytest.mark.parametrize(
    ("summary", "verdicts"),
    [
        ({**SUMMARY, "freshness_after": SHARE}, (CUTOFF,)),
        (SUMMARY, (replace(CUTOFF, decision="escalate"),)),
        (SUMMARY, (replace(CUTOFF, decision="block"),)),
        (SUMMARY, ()),
        ({**SUMMARY, "freshness_before": {**NONE, "n": 41}}, (CUTOFF,)),
    ],
)
def test_without_pairs_or_evidence_that_counts_nothing_is_claimed(summary: Any, verdicts: Any) -> None:
    card = card_of(replace(FOUND, release=replace(RELEASE, summary=summary), leakage=verdicts))
    assert (card["claims"], card["claim_type"]) == ([], "none")
    assert "No claim of updating" in card["limitations_and_robustness"][0]
    assert "makes no claim" in render(card)


def test_what_was_measured_is_told_and_the_rest_is_named() -> None:
    card = card_of(FOUND)
    families, panels = card["metric_families"], card["e_mars"]
    assert {"drawdown", "two hops", "rollback"} == names(families["maintainability"])
    assert names(families["efficiency"]) == {"seconds per run", "peak memory"}
    assert names(panels["P2"]) == {"replay coverage"}
    assert {one["name"] for one in families["groundedness"]["not_measured"]} == {
        "citation coverage",
        "unsupported claim rate",
    }
    assert card["leakage_overlap_auditing"]["impact_fraction"]["train_test"] == {
        "not_measured": "the audit did not compare train and test"
    }
    assert [one["informs"] for one in card["gates"]] == [False, True]
    assert any("a loss of 0.071" in one for one in card["limitations_and_robustness"])
    assert not any(one["measured"] for one in card["regimes"].values())


def test_the_settings_that_were_asked_share_their_slice() -> None:
    right = {"count": 8, "n": 9, "interval": {"value": 8 / 9, "low": 0.56, "high": 0.98, "n": 9}}
    scores = [
        {"setting": name, "slice": which, "n": 9, "right": right, "outcomes": {"out_of_date": right}}
        for name in ("parametric", "online")
        for which in ("answerable", "unanswerable")
    ]
    card = card_of(replace(FOUND, freshness={**FOUND.freshness, "timeliness": {"scores": scores}}))
    assert card["regimes"]["PO"]["shared_slice_with"] == ["Online"]
    assert card["regimes"]["Offline"]["measured"] is False
    assert {"FreshHit", "correct refusal", "out of date"} <= names(card["e_mars"]["P3"])


def test_the_models_own_certainty_stands_beside_that_of_retrieval_where_it_was_asked() -> None:
    sure = {"value": 0.2, "low": 0.1, "high": 0.3, "n": 40}
    stated = {"parametric": {"answerable": {"brier": sure, "aurc": sure}, "unanswerable": {"brier": sure}}}
    card = card_of(replace(FOUND, freshness={**FOUND.freshness, "timeliness": {"calibration": stated}}))
    selective = card["metric_families"]["timeliness_and_selective"]
    assert [(one["name"], one["about"].split(";")[0]) for one in selective["figures"]] == [
        ("Brier", "answerable"),
        ("AURC", "answerable"),
        ("Brier", "unanswerable"),
    ]
    assert all("certainty of its words, parametric" in one["about"] for one in selective["figures"])
    assert names(card["e_mars"]["P3"]) == {"AURC"}


def test_a_release_without_a_declared_family_says_so_and_a_bad_figure_is_refused() -> None:
    assert card_of(replace(FOUND, declared=None))["family"]["digest"] == "none"
    score = {"name": "drawdown", "value": 1.0, "low": 1.2, "high": 1.3, "n": 60, "threshold": 0.88}
    bad = {**GATE, "scores": [score]}
    with pytest.raises(InputError, match="lies outside"):
        card_of(replace(FOUND, release=replace(RELEASE, gates=(bad,))))


def test_the_page_shows_the_same_values_and_escapes_what_it_is_given() -> None:
    card = card_of(replace(FOUND, release=replace(RELEASE, model="<script>x</script>")))
    page = render(card)
    assert "<script>" not in page
    assert "What changed is answered as it is now" in page
    assert "Not measured:" in page
    assert "informs" in page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")


def test_pairs_are_facts_that_were_asked_about_in_both_states() -> None:
    def state(**right: bool) -> Freshness:
        return Freshness(tuple(FactAnswer(key, "rag", "", value, None) for key, value in right.items()))

    found = paired(state(a=False, b=True, c=True), state(a=True, b=True, c=False, d=True))
    assert found == {"gained": 1, "lost": 1, "p": 1.0}
    assert paired(state(), state(a=True)) == {}
