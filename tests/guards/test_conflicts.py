from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guards.conflicts import Change, decide
from guards.known import KnownIndex
from guards.names import Names, same_person
from registry.catalogue import Catalogue, Relation
from registry.records import Fact, KnownFact

TODAY = date(2026, 3, 1)
ONE = Relation(
    "leader",
    "leader",
    "{subject} is led by",
    "Who leads {subject}?",
    ("{subject} has as leader", "Leader of {subject}:", "At the head of {subject} stands"),
    ("In {subject} rules", "The leader of {subject} is"),
    "{subject} is led by {object}.",
    "one",
    "country",
    "person",
    1461,
    "low",
)
MANY = replace(ONE, name="language", label="language", cardinality="many", object_type="language")
FIXED = replace(ONE, name="symbol", label="symbol", object_type="symbol", lifetime_days=None)
CITY = replace(ONE, name="capital", label="capital", object_type="city")
NAMES = Names(Catalogue({"leader": ONE}, {"Czechia": ("Czech Republic",), "Indian rupee": ("rupee",)}))


def known(object_: str, start: date | None = None, end: date | None = None, relation: str = "leader") -> KnownFact:
    return KnownFact(Fact("Atlantis", relation, object_, start, end), "rag", 1)


def row(object_: str, start: date | None = None, end: date | None = None, relation: str = "leader") -> Fact:
    return Fact("atlantis", relation, object_, start, end, source="S")


def change(
    fact: Fact, *facts: KnownFact, relation: Relation = ONE, operation: str = "", as_of: date | None = None
) -> Change:
    return decide(fact, operation, KnownIndex(NAMES, facts), relation, TODAY, as_of)


def test_nothing_known_is_an_add() -> None:
    assert change(row("Ann Able", date(2025, 1, 1))).effect == "ADD"


def test_a_later_start_is_an_update_that_ends_the_known_fact() -> None:
    before = known("Ann Able", date(2020, 1, 1))
    found = change(row("Bob Baker", date(2025, 1, 1)), before)
    assert found.effect == "UPDATE"
    assert found.replaces == (before.fact.id,)


def test_an_earlier_start_is_older_unless_it_ended_before() -> None:
    before = known("Bob Baker", date(2025, 1, 1))
    assert change(row("Ann Able", date(2020, 1, 1)), before).effect == "older"
    assert change(row("Ann Able", date(2020, 1, 1), date(2025, 1, 1)), before).effect == "ADD"


def test_a_late_arrival_ends_what_held_when_it_began() -> None:
    first, last = known("Ann Able", date(2018, 1, 1), date(2025, 1, 1)), known("Cy Coe", date(2025, 1, 1))
    found = change(row("Bob Baker", date(2022, 1, 1), date(2025, 1, 1)), first, last)
    assert (found.effect, found.replaces) == ("ADD", (first.fact.id,))


def test_the_same_day_undated_or_unchanging_is_a_contradiction() -> None:
    before = known("Ann Able", date(2020, 1, 1))
    assert change(row("Bob Baker", date(2020, 1, 1)), before).effect == "contradiction"
    assert change(row("Bob Baker"), before).effect == "contradiction"
    au = known("Au", relation="symbol")
    assert change(row("Ag", date(2025, 1, 1), relation="symbol"), au, relation=FIXED).effect == "contradiction"


def test_an_undated_known_fact_held_on_the_day_of_the_catalogue() -> None:
    before = known("Ann Able")
    assert change(row("Bob Baker", date(2024, 1, 1)), before, as_of=date(2023, 12, 31)).effect == "UPDATE"
    assert change(row("Bob Baker", date(2022, 1, 1)), before, as_of=date(2023, 12, 31)).effect == "contradiction"


def test_a_return_to_an_earlier_object_is_an_update() -> None:
    first, second = known("Ann Able", date(2015, 1, 1), date(2020, 1, 1)), known("Bob Baker", date(2020, 1, 1))
    found = change(row("Ann Able", date(2025, 1, 1)), first, second)
    assert (found.effect, found.replaces) == ("UPDATE", (second.fact.id,))
    assert change(row("Ann Able", date(2015, 1, 1)), first, second).effect == "NOOP"


def test_a_further_object_is_an_add_where_there_may_be_many() -> None:
    assert change(row("Greek", relation="language"), known("Latin", relation="language"), relation=MANY).effect == "ADD"
    assert (
        change(row("latin", relation="language"), known("Latin", relation="language"), relation=MANY).effect == "NOOP"
    )


def test_delete_ends_the_object_it_names_and_no_other() -> None:
    before = known("Ann Able", date(2020, 1, 1))
    assert change(row("Ann Able"), before, operation="DELETE").replaces == (before.fact.id,)
    assert change(row("Bob Baker"), before, operation="DELETE").effect == "contradiction"
    assert change(row("Bob Baker"), operation="DELETE").effect == "NOOP"
    ended = known("Ann Able", date(2020, 1, 1), date(2021, 1, 1))
    assert change(row("Ann Able"), ended, operation="DELETE").effect == "NOOP"


def test_an_end_that_is_told_of_a_known_fact_ends_it() -> None:
    before = known("Ann Able", date(2020, 1, 1))
    found = change(row("Ann Able", date(2020, 1, 1), date(2025, 6, 1)), before)
    assert (found.effect, found.replaces) == ("DELETE", (before.fact.id,))
    assert change(row("Ann Able", date(2020, 1, 1), date(2027, 6, 1)), before).effect == "NOOP"


def test_other_words_for_the_known_object_are_no_change() -> None:
    prague = known("Prague", relation="capital")
    for words in ("PRAGUE", "city of Prague", "Prague, Atlantis", "the capital Prague", "Prágue"):
        assert change(row(words, relation="capital"), prague, relation=CITY).effect == "NOOP"
    for words in ("New Prague", "Prague Airport"):
        assert change(row(words, relation="capital"), prague, relation=CITY).effect == "contradiction"


def test_rows_see_those_before_them() -> None:
    index = KnownIndex(NAMES, [known("Ann Able", date(2020, 1, 1))])
    second = row("Bob Baker", date(2024, 1, 1))
    index.add(second, decide(second, "", index, ONE, TODAY).replaces)
    third = row("Cy Coe", date(2025, 1, 1))
    assert decide(third, "", index, ONE, TODAY).replaces == (second.id,)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Joe Biden", "President Joe Biden"),
        ("Donald Trump", "Donald J. Trump"),
        ("Volodymyr Zelensky", "Volodymyr Zelenskyy"),
        ("Macron, Emmanuel", "Emmanuel Macron"),
        ("Luiz Inácio Lula da Silva", "Luiz Inacio LULA DA SILVA"),
        ("King Charles III", "Charles III"),
    ],
)
def test_spellings_of_one_person(one: str, other: str) -> None:
    assert same_person(one, other, more_words=False)
    assert same_person(other, one, more_words=False)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Kim Jong-il", "Kim Jong-un"),
        ("George W. Bush", "George H. W. Bush"),
        ("Ferdinand Marcos", "Ferdinand Marcos Jr."),
        ("Felipe V", "Felipe VI"),
        ("John Adams", "John Quincy Adams"),
        ("Hun Sen", "Hun Manet"),
        ("Keith Mitchell", "Dickon Mitchell"),
        ("Nguyen Tan Dung", "Nguyen Xuan Phuc"),
        ("", "Ann Able"),
    ],
)
def test_two_people_stay_two(one: str, other: str) -> None:
    assert not same_person(one, other, more_words=False)
    assert not same_person(other, one, more_words=False)


@given(st.text(max_size=40), st.text(max_size=40) | st.text("ab c.-", max_size=12))
def test_arbitrary_names_never_raise(one: str, other: str) -> None:
    index = KnownIndex(NAMES, [known(other, date(2020, 1, 1))])
    assert decide(row(one, date(2025, 1, 1)), "", index, ONE, TODAY).effect in ("NOOP", "UPDATE")
    assert same_person(one, other) == same_person(other, one)
