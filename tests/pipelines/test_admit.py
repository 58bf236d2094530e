import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from guards.admission import AdmissionPolicy
from guards.candidates import parse_day
from guards.lessons import Lesson, Lessons
from guards.sources import Source, Sources
from pipelines.admission.expectations import Check, check_structure
from pipelines.admission.feed import COLUMNS, Feed, read_feed
from pipelines.admission.score import score_admission
from pipelines.admit import Admission, RowOutcome, admit
from registry.catalogue import Catalogue, Relation
from registry.errors import InputError
from registry.records import Fact, KnownFact

ATLAS = Path(__file__).resolve().parents[2] / "examples" / "atlas"
AT = datetime(2026, 3, 1, tzinfo=UTC)
CAPITAL = Relation(
    "capital",
    "capital",
    "The capital of {subject} is",
    "What is the capital of {subject}?",
    ("{subject} has as capital", "Capital of {subject}:", "In {subject}, the capital is"),
    ("{subject}'s capital is", "The capital city of {subject} is"),
    "The capital of {subject} is {object}.",
    "one",
    "country",
    "city",
    36500,
    "medium",
)
CATALOGUE = Catalogue(
    {
        "capital": CAPITAL,
        "leader": replace(CAPITAL, name="leader", label="leader", object_type="person", lifetime_days=1461),
    },
    {"Czechia": ("Czech Republic",)},
    {"city": r"[^\W\d_].*"},
    "2023-12-31",
)
SOURCES = Sources.of(
    [Source("Gazette", "authoritative", ("gazette.example",)), Source("Wire", "established"), Source("Blog")]
)


def known(subject: str, relation: str, object_: str, start: date | None = None, source: str = "Wire") -> KnownFact:
    return KnownFact(Fact(subject, relation, object_, start, source=source), "rag", 1)


KNOWN = (known("Czechia", "capital", "Prague"), known("France", "leader", "Ann Able", date(2020, 1, 1)))


def feed_of(folder: Path, rows: Sequence[Mapping[str, str] | str]) -> Feed:
    path = folder / "feed.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            if isinstance(row, str):
                stream.write(f"{row}\n")
            else:
                writer.writerow({"source": "Gazette", **row})
    return read_feed(path)


def run(folder: Path, *rows: Mapping[str, str] | str, lessons: Lessons | None = None) -> list[RowOutcome]:
    found = admit(feed_of(folder, rows), KNOWN, CATALOGUE, AdmissionPolicy(), AT, SOURCES, lessons)
    assert [outcome.row for outcome in found.rows] == list(range(1, len(rows) + 1))
    return list(found.rows)


def row(subject: str, relation: str, object_: str, **cells: str) -> dict[str, str]:
    return {"subject": subject, "relation": relation, "object": object_, **cells}


def decisions(outcomes: Sequence[RowOutcome]) -> list[str]:
    return [outcome.decision for outcome in outcomes]


def test_each_outcome_with_its_reason_and_raw_text(tmp_path: Path) -> None:
    found = run(
        tmp_path,
        row("Peru", "capital", "Lima"),
        row("France", "leader", "Bob Baker", valid_from="2025-01-01"),
        row("France", "leader", "Bob Baker", op="delete"),
        row("Czech Republic", "Capital", "PRAGUE", source="Blog"),
        row("Peru", "capitol", "Lima"),
        row("Chad", "capital", "N'Djamena", source="Blog"),
    )
    assert decisions(found) == ["ADD", "UPDATE", "DELETE", "NOOP", "refused", "quarantined"]
    assert all(outcome.reasons and outcome.reasons[-1].words for outcome in found)
    assert found[1].replaces == (KNOWN[1].fact.id,)
    assert found[1].fact is not None
    assert found[2].replaces == (found[1].fact.id,)
    assert found[4].fact is None
    assert "capitol" in found[4].raw
    assert "use capital" in found[4].reasons[0].words
    assert found[5].fact is not None


def test_bad_rows_do_not_stop_good_ones(tmp_path: Path) -> None:
    found = run(
        tmp_path,
        "a,b",
        row("Peru", "capital", ""),
        row("Peru", "capital", "x" * 201),
        row("Peru", "capital", "Lima", valid_from="2024-02-30"),
        row("Peru", "capital", "Lima", confidence="high"),
        row("Peru", "capital", "Lima", sensitivity="top"),
        row("Peru", "capital", "Lima", op="REPLACE"),
        row("Peru", "capital", "Lima", source=""),
        row("Peru", "", "Lima"),
        row("Peru", "capital", "77"),
        row("Peru", "capital", "Lima"),
    )
    assert decisions(found) == ["refused"] * 10 + ["ADD"]
    assert [outcome.reasons[0].column for outcome in found[1:10]] == [
        *("object", "object", "valid_from", "confidence", "sensitivity", "op", "source", "relation", "object")
    ]


def test_every_rule_against_a_row_is_told_but_personal_data_is_not_quoted(tmp_path: Path) -> None:
    two, private = run(
        tmp_path,
        row("Peru", "capital", "Lima", confidence="7", valid_from="2033-01-01"),
        row("Peru", "capitol", "ann@mail.example", confidence="7"),
    )
    assert [reason.rule for reason in two.reasons] == ["structure", "dates"]
    assert [reason.rule for reason in private.reasons] == ["personal_data"]
    told = [verdict.explanation for verdict in private.verdicts] + [reason.words for reason in private.reasons]
    assert not any("ann@" in words for words in told)


def test_copies_of_one_weak_source_wait_and_three_apart_come_in(tmp_path: Path) -> None:
    copies = [
        row("Chad", "capital", "Abeche", source=f"B{n}", source_url=f"https://{n}.mill.example") for n in range(5)
    ]
    apart = [row("Chad", "capital", "N'Djamena", source=f"C{n}", source_url=f"https://c{n}.example") for n in range(3)]
    found = run(tmp_path, *copies, *apart)
    assert decisions(found) == ["quarantined"] * 5 + ["ADD", "NOOP", "NOOP"]
    assert {outcome.sources for outcome in found[:5]} == {1}
    assert found[5].sources == 3


def test_credible_sources_that_disagree_are_disputed(tmp_path: Path) -> None:
    found = run(
        tmp_path,
        row("Bolivia", "capital", "Sucre"),
        row("Bolivia", "capital", "La Paz", source="Wire"),
        row("Bolivia", "capital", "Santa Cruz", source="Blog"),
    )
    assert decisions(found) == ["quarantined"] * 3
    assert [outcome.disputed for outcome in found] == [True, True, True]
    assert found[0].reasons[0].rule == "disputed"
    assert not run(tmp_path, row("Bolivia", "capital", "Sucre"), row("Bolivia", "capital", "X", source="Blog"))[
        0
    ].disputed


def test_a_row_with_a_prompt_needs_no_catalogue(tmp_path: Path) -> None:
    first, again = run(
        tmp_path,
        row("Peru", "", "llama", prompt="The animal of {subject} is the"),
        row("Peru", "", "the Llama", prompt="The animal of Peru is the", source="Blog"),
    )
    assert (first.decision, first.prompt) == ("ADD", "The animal of Peru is the")
    assert again.decision == "NOOP"


def test_lessons_come_first(tmp_path: Path) -> None:
    lessons = Lessons((Lesson("Peru", "capital", "Cusco", "a person looked", "Blog", AT),))
    blocked, held, free = run(
        tmp_path,
        row("Peru", "capital", "Cusco", source="Wire"),
        row("Peru", "capital", "Cusco"),
        row("Peru", "capital", "Lima"),
        lessons=lessons,
    )
    assert decisions([blocked, held, free]) == ["refused", "quarantined", "ADD"]
    assert blocked.reasons[0].rule == "lessons"


def test_admitting_again_what_was_admitted_changes_nothing(tmp_path: Path) -> None:
    feed = feed_of(tmp_path, [row("Peru", "capital", "Lima"), row("France", "leader", "B B", valid_from="2025-01-01")])
    first = admit(feed, KNOWN, CATALOGUE, AdmissionPolicy(), AT, SOURCES)
    ended = {each for outcome in first.accepted for each in outcome.replaces}
    after = [each for each in KNOWN if each.fact.id not in ended]
    after += [KnownFact(outcome.fact, "rag", 2) for outcome in first.accepted if outcome.fact]
    again = admit(feed, after, CATALOGUE, AdmissionPolicy(), AT, SOURCES)
    assert first.counts() == {"ADD": 1, "UPDATE": 1}
    assert again.counts() == {"NOOP": 2}


def test_a_check_that_did_not_run_holds_the_rows_back_and_says_so(tmp_path: Path) -> None:
    feed = feed_of(tmp_path, [row("Peru", "capital", "Lima"), row("Chad", "capital", "")])
    broken = Check("nosuch", "ExpectColumnValuesToNotBeNull", "is empty", "fill it in")
    sound = Check("object", "ExpectColumnValuesToNotBeNull", "is empty", "fill it in")
    found = check_structure(feed, AdmissionPolicy(), [broken, sound])
    assert [verdict.decision for verdict in found.findings[1]] == ["escalate"]
    assert [verdict.decision for verdict in found.findings[2]] == ["escalate", "block"]
    assert "did not run" in found.findings[1][0].explanation
    assert (found.ran, len(found.failed_to_run)) == (1, 1)


def test_an_unknown_expectation_is_a_check_that_did_not_run(tmp_path: Path) -> None:
    feed = feed_of(tmp_path, [row("Peru", "capital", "Lima")])
    found = check_structure(feed, AdmissionPolicy(), [Check("object", "ExpectNothing", "p", "r")])
    assert [verdict.decision for verdict in found.findings[1]] == ["escalate"]


def atlas(name: str) -> Admission:
    def days(values: Mapping[str, str]) -> tuple[date | None, date | None]:
        return parse_day(values["valid_from"]), parse_day(values["valid_to"])

    with (ATLAS / "facts.csv").open(encoding="utf-8", newline="") as stream:
        facts = [
            Fact(
                each["subject"], each["relation"], each["object"], *days(each), None, each["source"], each["source_url"]
            )
            for each in csv.DictReader(stream)
        ]
    facts_known = [KnownFact(fact, "rag", 1) for fact in facts]
    catalogue, sources = Catalogue.read(ATLAS / "relations.yaml"), Sources.read(ATLAS / "sources.yaml")
    return admit(read_feed(ATLAS / name), facts_known, catalogue, AdmissionPolicy(), AT, sources)


@pytest.mark.parametrize("name", ["feed.csv", "feed_small.csv"])
def test_the_atlas_is_admitted_as_its_truth_says(name: str) -> None:
    score = score_admission(atlas(name), ATLAS / "feed_truth.csv")
    assert score["falsehoods"] > 10
    assert score["falsehoods_accepted"] == []
    assert score["good_recall"] >= 0.97
    assert min(kind["recall"] for kind in score["kinds"].values()) >= 0.9


def test_scoring_sees_falsehoods_and_missing_truths(tmp_path: Path) -> None:
    found = admit(feed_of(tmp_path, [row("Peru", "capital", "Cusco")]), (), CATALOGUE, AdmissionPolicy(), AT, SOURCES)
    truth = tmp_path / "truth.csv"
    head = "feed,row,kind,expected,falsehood,why\n"
    truth.write_text(f"{head}feed.csv,1,lie,refused,true,it is Lima\n")
    score = score_admission(found, truth)
    assert (score["falsehoods_accepted"], score["accuracy"], score["kinds"]["lie"]["recall"]) == ([1], 0, 0)
    assert score["wrong"][0]["got"] == "ADD"
    truth.write_text(head)
    with pytest.raises(InputError, match="one row in truth"):
        score_admission(found, truth)
    with pytest.raises(InputError, match="existing"):
        score_admission(found, tmp_path / "none.csv")


def test_the_page_on_admission_names_every_rule() -> None:
    page = (ATLAS.parents[1] / "docs" / "admission.md").read_text(encoding="utf-8")
    rules = {"shape", "structure", "lessons", "provenance", "dates", "relation", "declared_sensitivity", "instruction"}
    rules |= {"personal_data", "type", "older", "contradiction", "disputed", "quorum", "conflict", "correction"}
    rules |= {"withdrawn", "elsewhere", "subject", "joined", "returning", "slip", "office"}
    assert {rule for rule in rules if f"`{rule}`" not in page} == set()
    assert {reason.rule for row in atlas("feed.csv").rows for reason in row.reasons} <= rules | {"consensus"}


CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
    max_examples=8,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(cells=st.lists(st.dictionaries(st.sampled_from(COLUMNS), CELL), min_size=1, max_size=5))
def test_arbitrary_cells_are_decided_and_never_raise(tmp_path: Path, cells: list[dict[str, str]]) -> None:
    found = run(tmp_path, *cells, row("Peru", "capital", "Lima"))
    assert all("did not run" not in reason.words for outcome in found for reason in outcome.reasons)
    assert found[-1].decision in ("ADD", "NOOP", "quarantined")
