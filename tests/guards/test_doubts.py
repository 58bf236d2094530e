from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from guards.admission import AdmissionPolicy
from guards.candidates import CandidateReader
from guards.conflicts import decide
from guards.doubts import Arriving, doubts_of, swapped
from guards.known import KnownIndex
from guards.names import Names
from registry.catalogue import Catalogue, Relation
from registry.records import Fact


def relation(name: str, kind: str, lifetime: int | None = 1461) -> Relation:
    cloze = [f"{{subject}} has as {name} {end}" for end in ("the", "only", "now", "one", "still", "again")]
    question, told = f"Who is {name} of {{subject}}?", f"{name} of {{subject}}: {{object}}."
    return Relation(
        name, name, cloze[0], question, tuple(cloze[1:4]), tuple(cloze[4:]), told, "one", "land", kind, lifetime, "low"
    )


ONE = relation("leader", "person")

TODAY = date(2026, 3, 1)
CODE = replace(ONE, name="code", label="code", object_type="code", cardinality="many", lifetime_days=3650)
CATALOGUE = Catalogue({"leader": ONE, "code": CODE})
NAMES = Names(CATALOGUE)
DAY, LATER = date(2020, 1, 1), date(2024, 5, 12)


def doubted(index: KnownIndex, subject: str, relation: str, object_: str, start: str = "", **cells: str) -> set[str]:
    row = {"subject": subject, "relation": relation, "object": object_, "valid_from": start, "source": "S", **cells}
    case = CandidateReader.of(CATALOGUE, datetime(2026, 3, 1, tzinfo=UTC)).read(1, row)
    fact = case.fact()
    change = decide(fact, case.operation, index, case.relation, TODAY)
    arriving = Arriving(fact, case, change, index, TODAY, index.exclusive(["leader"], TODAY, 3, 0.5))
    found = [guard.judge(arriving) for guard in doubts_of(AdmissionPolicy())]
    assert all(verdict.decision in ("pass", "escalate") for verdict in found)
    return {verdict.guard for verdict in found if verdict.decision == "escalate"}


def index_of(*facts: Fact) -> KnownIndex:
    index = KnownIndex(NAMES)
    for fact in facts:
        index.add(fact)
    return index


OTHERS = tuple(Fact(f"Land {name}", "leader", f"Leader {name}", DAY) for name in ("Alpha", "Beta", "Gamma"))


def test_one_who_began_elsewhere_on_the_same_day_is_doubted() -> None:
    index = index_of(*OTHERS, Fact("Congo", "leader", "Ann Able", LATER), Fact("Zaire", "leader", "Bob Baker", DAY))
    assert doubted(index, "Zaire", "leader", "Ann Able", "2024-05-12") == {"elsewhere"}
    assert doubted(index, "Zaire", "leader", "Ann Able", "2024-05-13") == set()
    assert doubted(index, "Zaire", "leader", "Cy Coe", "2024-05-12") == set()


def test_lands_that_shared_a_leader_may_share_the_next_and_relations_that_share_are_not_asked() -> None:
    shared = [Fact(land, "leader", "Old Queen", DAY) for land in ("Congo", "Zaire")]
    index = index_of(*OTHERS, *shared, Fact("Congo", "leader", "New King", LATER))
    assert doubted(index, "Zaire", "leader", "New King", "2024-05-12") == set()
    several = [Fact(f"Isle {number}", "leader", "Old Queen", DAY) for number in range(9)]
    index = index_of(*OTHERS, *several, Fact("Congo", "leader", "Ann Able", LATER))
    assert doubted(index, "Zaire", "leader", "Ann Able", "2024-05-12") == set()


def test_a_new_subject_a_slip_away_from_a_known_one_is_doubted() -> None:
    index = index_of(Fact("Switzerland", "leader", "Ann Able", DAY))
    assert doubted(index, "Swizterland", "leader", "Bob Baker", "2024-05-12") == {"subject"}
    assert doubted(index, "Swaziland", "leader", "Bob Baker", "2024-05-12") == set()
    assert doubted(index, "Switzer-land", "leader", "Bob Baker", "2024-05-12") == {"subject"}


def test_a_swap_is_a_slip_in_a_short_name_too_and_another_letter_is_not() -> None:
    index = index_of(Fact("Ireland", "leader", "Ann Able", DAY))
    assert doubted(index, "Irelnad", "leader", "Bob Baker", "2024-05-12") == {"subject"}
    assert doubted(index, "Iceland", "leader", "Bob Baker", "2024-05-12") == set()


def test_two_names_in_one_are_doubted() -> None:
    index = index_of(Fact("Atoll", "leader", "Edouard Fritch", DAY))
    assert doubted(index, "Atoll", "leader", "Moetai Brotherson Edouard Fritch", "2024-05-12") == {"joined"}
    assert doubted(index, "Atoll", "leader", "Moetai Brotherson", "2024-05-12") == set()


def test_an_undated_object_that_was_ended_lately_is_doubted_and_a_dated_one_is_not() -> None:
    coin = Fact("Atoll", "code", "SBD")
    index = index_of(coin)
    index.end([coin.id], date(2025, 12, 1))
    assert doubted(index, "Atoll", "code", "SBD", observed_at="2026-02-01") == {"returning"}
    assert doubted(index, "Atoll", "code", "SBD", "2026-01-01") == set()
    index.end([coin.id], date(2020, 12, 1))
    assert doubted(index, "Atoll", "code", "SBD", observed_at="2026-02-01") == set()


def test_two_swapped_letters_are_doubted() -> None:
    index = index_of(Fact("Atoll", "code", "SBD"))
    assert doubted(index, "Atoll", "code", "SDB") == {"slip"}
    assert doubted(index, "Atoll", "code", "SBC") == set()


@pytest.mark.parametrize(
    ("object_", "title", "found"),
    [
        ("Elect Adama Barrow", "", {"office"}),
        ("Adama Barrow", "President-elect", {"office"}),
        ("Adama Barrow", "Vice President", {"office"}),
        ("Vice President Adama Barrow", "Prime Minister", set()),
        ("Adama Barrow", "President", set()),
    ],
)
def test_who_is_not_in_the_office_is_doubted(object_: str, title: str, found: set[str]) -> None:
    index = index_of(Fact("Atoll", "leader", "Ann Able", DAY))
    assert doubted(index, "Atoll", "leader", object_, "2024-05-12", title=title) == found


def test_a_skipped_guard_is_not_asked() -> None:
    names = {guard.name for guard in doubts_of(AdmissionPolicy(skipped=("slip",)))}
    assert names == {"elsewhere", "subject", "joined", "returning", "office"}


def test_a_swap_is_one_of_neighbours() -> None:
    assert swapped("sbd", "sdb")
    assert not any(swapped("abcd", other) for other in ("abcd", "cbad", "abdd", "badc", "abc"))
