from collections.abc import Mapping
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guards.admission import (
    AdmissionPolicy,
    DeclaredSensitivityGuard,
    ProvenanceGuard,
    Reason,
    RelationGuard,
    TimeGuard,
    against,
    finding,
    judge_all,
    shown,
)
from guards.base import Verdict
from guards.candidates import Candidate, CandidateReader, parse_day
from registry.catalogue import Catalogue, Relation

AT = datetime(2026, 3, 1, tzinfo=UTC)


def relation(name: str, label: str) -> Relation:
    cloze = tuple(f"{start} {label} of {{subject}} is" for start in ("The", "A", "One", "Some", "This", "That"))
    return Relation(
        name,
        label,
        f"The {label} of {{subject}} is",
        f"What is the {label} of {{subject}}?",
        cloze[1:4],
        cloze[4:],
        f"The {label} of {{subject}} is {{object}}.",
        "one",
        "country",
        "city",
        3650,
        "low",
    )


CATALOGUE = Catalogue({"head_of_state": relation("head_of_state", "head of state")})


def candidate(**cells: str) -> Candidate:
    row = {"subject": "France", "relation": "head_of_state", "object": "A", "source": "S"} | cells
    return CandidateReader.of(CATALOGUE, AT).read(1, row)


def test_a_row_without_source_is_blocked_and_one_with_a_link_only_is_not() -> None:
    assert ProvenanceGuard().judge(candidate(source=" ")).decision == "block"
    assert ProvenanceGuard().judge(candidate(source="", source_url="https://a.example")).decision == "pass"


@pytest.mark.parametrize(
    ("cells", "column"),
    [
        ({"valid_from": "2024-02-30"}, "valid_from"),
        ({"valid_to": "soon"}, "valid_to"),
        ({"observed_at": "2024"}, "observed_at"),
        ({"valid_from": "2026-03-02"}, "valid_from"),
        ({"observed_at": "2026-03-02"}, "observed_at"),
        ({"valid_from": "2024-05-01", "valid_to": "2024-05-01"}, "valid_to"),
    ],
)
def test_bad_dates_are_blocked_with_their_column(cells: Mapping[str, str], column: str) -> None:
    verdict = TimeGuard().judge(candidate(**cells))
    assert verdict.decision == "block"
    assert Reason.of(verdict).column == column
    assert cells[column] in verdict.explanation


def test_dates_in_order_pass_up_to_the_day_of_admission() -> None:
    row = candidate(valid_from="2024-05-01", valid_to="2024-05-02", observed_at="2026-03-01")
    assert TimeGuard().judge(row).decision == "pass"
    assert TimeGuard().judge(candidate(valid_from="2026-03-01")).decision == "pass"


def test_relations_are_found_by_name_and_label_and_the_unknown_is_blocked_with_the_nearest() -> None:
    guard = RelationGuard(CATALOGUE, 500)
    for text in ("head_of_state", "Head of State", "head-of-state"):
        assert candidate(relation=text).name == "head_of_state"
        assert guard.judge(candidate(relation=text)).decision == "pass"
    verdict = guard.judge(candidate(relation="head_of_stat"))
    assert verdict.decision == "block"
    assert "use head_of_state" in verdict.explanation


def test_a_prompt_replaces_the_catalogue_and_must_hold_the_subject() -> None:
    guard = RelationGuard(CATALOGUE, 40)
    row = candidate(relation="", prompt="The bird of {subject} is the")
    assert guard.judge(row).decision == "pass"
    assert row.prompt == "The bird of France is the"
    assert row.relation is None
    assert row.name == candidate(relation="", prompt="The bird of France is the").name
    assert guard.judge(candidate(relation="", prompt="The bird of Spain is the")).decision == "block"
    assert guard.judge(candidate(relation="", prompt="The bird of France " * 4)).decision == "block"


def test_declared_sensitivity() -> None:
    guard = DeclaredSensitivityGuard(("personal", "secret"))
    assert guard.judge(candidate(sensitivity="personal")).decision == "block"
    assert guard.judge(candidate(sensitivity="internal")).decision == "pass"


def test_a_guard_that_fails_escalates_and_does_not_stop_the_others() -> None:
    class Broken:
        name = "broken"

        def judge(self, case: Candidate) -> Verdict:
            raise RuntimeError("no such table")

    verdicts = judge_all((Broken(), ProvenanceGuard()), candidate())
    assert [verdict.decision for verdict in verdicts] == ["escalate", "pass"]
    assert "did not run" in verdicts[0].explanation


def test_one_block_weighs_more_than_an_escalation() -> None:
    passed = Verdict("g", "pass", "")
    held, blocked = finding("g", "escalate", "", "", "p", "r"), finding("g", "block", "", "", "p", "r")
    assert against([passed]) == "pass"
    assert against([passed, held]) == "escalate"
    assert against([held, blocked, passed]) == "block"


def test_a_sound_row_becomes_a_fact() -> None:
    fact = candidate(valid_from="2024-05-01", confidence="0.5", source_url="https://a.example").fact()
    assert (fact.valid_from, fact.confidence, fact.recorded_at) == (date(2024, 5, 1), 0.5, AT)


def test_days_with_midnight_are_days() -> None:
    assert parse_day("2024-05-01 00:00:00") == date(2024, 5, 1)
    assert parse_day(" ") is None
    with pytest.raises(ValueError, match="not YYYY-MM-DD"):
        parse_day("20240501")


@given(st.dictionaries(st.sampled_from(["subject", "relation", "object", "valid_from", "prompt"]), st.text()))
def test_arbitrary_cells_never_raise(cells: dict[str, str]) -> None:
    row = CandidateReader.of(CATALOGUE, AT).read(1, cells)
    guards = (ProvenanceGuard(), TimeGuard(), RelationGuard(CATALOGUE, 100), DeclaredSensitivityGuard(("secret",)))
    assert all("did not run" not in verdict.explanation for verdict in judge_all(guards, row))


@given(st.text())
def test_shown_values_are_printable_and_short(text: str) -> None:
    assert shown(text).isprintable()
    assert len(shown("a" * 1000)) == 61


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ({"quorum": 0}, "1 at least"),
        ({"high_risk_votes": 0}, "1 at least"),
        ({"listed": -1}, "0 to the quorum of 3, got -1"),
        ({"listed": 4}, "0 to the quorum of 3, got 4"),
    ],
)
def test_a_policy_under_which_nobody_need_vouch_or_nobody_can_is_refused(numbers: dict[str, int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        AdmissionPolicy(**numbers)  # type: ignore[arg-type]


def test_a_policy_may_ask_that_the_whole_quorum_is_listed() -> None:
    assert AdmissionPolicy(quorum=1, listed=1).listed == 1
