"""A source that revises what it said itself: corrections apart from changes, late and out-of-order arrivals."""

from datetime import date

import pytest

from guards.conflicts import Arrival, Change, decide
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


ONE, CITY = relation("leader", "person"), relation("capital", "city")
FIXED = relation("symbol", "symbol", None)
NAMES, TODAY = Names(Catalogue({"leader": ONE})), date(2026, 3, 1)

OLD, NEW = date(2020, 1, 1), date(2023, 4, 2)


def index_of(*facts: tuple[Fact, date, tuple[str, ...]]) -> KnownIndex:
    index = KnownIndex(NAMES)
    for fact, said, replaces in facts:
        index.add(fact, replaces, said)
    return index


def said(object_: str, start: date | None = None, source: str = "S", relation: str = "leader") -> Fact:
    return Fact("Atlantis", relation, object_, start, source=source)


def change(
    fact: Fact, index: KnownIndex, observed: date | None, relation: Relation = ONE, repeats: tuple[str, ...] = ()
) -> Change:
    return decide(fact, "", index, relation, TODAY, None, Arrival(observed, frozenset(repeats)))


ANN, BOB = said("Ann Able", OLD), said("Bob Baker", NEW)
TAKEN = index_of((ANN, date(2020, 2, 1), ()), (BOB, date(2023, 4, 6), (ANN.id,)))


def test_a_source_that_names_the_one_before_again_takes_its_change_back() -> None:
    found = change(ANN, TAKEN, date(2023, 4, 27))
    assert (found.effect, found.nature, found.replaces) == ("UPDATE", "correction", (BOB.id,))


def test_what_was_before_is_only_past_where_nothing_is_taken_back() -> None:
    assert change(ANN, TAKEN, None).effect == "NOOP"
    assert change(ANN, TAKEN, date(2023, 4, 6)).effect == "NOOP"
    assert change(ANN, TAKEN, date(2023, 4, 27), repeats=("bob baker",)).effect == "NOOP"
    assert change(said("Ann Able", OLD, "Other"), TAKEN, date(2023, 4, 27)).effect == "NOOP"


def test_a_later_return_is_a_change_and_not_a_correction() -> None:
    found = change(said("Ann Able", date(2025, 1, 1)), TAKEN, date(2025, 1, 9))
    assert (found.effect, found.nature) == ("UPDATE", "change")


def test_another_object_from_the_same_day_corrects_the_own_word_and_contradicts_anothers() -> None:
    index = index_of((BOB, date(2023, 4, 6), ()))
    own, other = said("Cy Coe", NEW), said("Cy Coe", NEW, "Other")
    assert change(own, index, date(2023, 5, 1)).nature == "correction"
    assert change(own, index, date(2023, 4, 6)).effect == "contradiction"
    assert change(other, index, date(2023, 5, 1)).effect == "contradiction"


def test_an_older_start_of_one_who_was_never_named_asks_for_a_person() -> None:
    index = index_of((BOB, date(2023, 4, 6), ()))
    assert change(said("Cy Coe", OLD), index, date(2023, 5, 1)).effect == "contradiction"
    assert change(said("Cy Coe", OLD, "Other"), index, date(2023, 5, 1)).effect == "older"


@pytest.mark.parametrize(
    ("observed", "effect"),
    [(date(2014, 1, 9), "UPDATE"), (date(2014, 1, 2), "contradiction"), (date(2013, 1, 1), "older")],
)
def test_undated_words_of_one_source_follow_each_other_by_the_day_of_observation(observed: date, effect: str) -> None:
    index = index_of((said("Ottowa", relation="capital"), date(2014, 1, 2), ()))
    assert change(said("Ottawa", relation="capital"), index, observed, CITY).effect == effect


def test_a_source_corrects_what_never_changes() -> None:
    index = index_of((said("Ag", relation="symbol"), date(2014, 1, 2), ()))
    found = change(said("Au", relation="symbol"), index, date(2014, 3, 1), FIXED)
    assert (found.effect, found.nature) == ("UPDATE", "correction")
    assert change(said("Au", NEW, "Other", "symbol"), index, date(2023, 5, 1), FIXED).effect == "contradiction"


def test_revisions_can_be_left_to_a_person() -> None:
    index = index_of((BOB, date(2023, 4, 6), ()))
    arrival = Arrival(date(2023, 5, 1), frozenset(), revises=False)
    assert decide(said("Cy Coe", NEW), "", index, ONE, TODAY, None, arrival).effect == "contradiction"


def test_the_nearest_facts_are_the_subjects_own_else_those_of_names_alike() -> None:
    index = index_of((ANN, OLD, ()), (BOB, NEW, (ANN.id,)), (Fact("Atlantis 2", "leader", "Z"), NEW, ()))
    assert [near.fact.object for near in index.nearest(ANN, 2, 0.8)] == ["Bob Baker", "Ann Able"]
    slip = index.nearest(Fact("Atlantsi", "leader", "X"), 3, 0.8)
    assert {near.fact.subject for near in slip} == {"Atlantis"}
    assert slip[0].similarity == pytest.approx(1 - 1 / 8)
    assert index.nearest(Fact("Lemuria", "leader", "X"), 3, 0.8) == []
