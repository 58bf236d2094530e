from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guards.conflicts import decide
from guards.known import KnownIndex
from guards.names import Names, person_likeness
from registry.catalogue import Catalogue, Relation
from registry.records import Fact, KnownFact


def relation(name: str, kind: str, lifetime: int | None = 1461) -> Relation:
    cloze = [f"{{subject}} has as {name} {end}" for end in ("the", "only", "now", "one", "still", "again")]
    question, told = f"Who is {name} of {{subject}}?", f"{name} of {{subject}}: {{object}}."
    return Relation(
        name, name, cloze[0], question, tuple(cloze[1:4]), tuple(cloze[4:]), told, "one", "land", kind, lifetime, "low"
    )


ONE, CITY = relation("leader", "person"), relation("capital", "city")
NAMES = Names(Catalogue({"leader": ONE}))

COMPANY = replace(ONE, name="company", label="company", object_type="company")


@pytest.mark.parametrize(
    ("one", "other", "rule"),
    [
        ("President Joe Biden", "Joe Biden", "titles"),
        ("Archbishop Pietro Parolin", "Cardinal Pietro Parolin", "titles"),
        ("Donald J. Trump", "Donald Trump", "initials"),
        ("Isaias Afworki", "Isaias Afwerki", "spelling"),
        ("Azail Assoumani", "Azali Assoumani", "spelling"),
    ],
)
def test_the_rule_is_told_with_its_figure(one: str, other: str, rule: str) -> None:
    found = person_likeness(one, other, 0.8, more_words=False)
    assert (found.same, found.rule) == (True, rule)
    assert (f"{found.threshold:.2f} needed" in found.told) == (rule == "spelling")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Roman Golovchenko", "Raman Halowchenka"),
        ("Gulub Donev", "Galab Donev"),
        ("Abdul Hamid Dbeibeh", "Abdul Hamid Dubaybah"),
        ("Ukhnaa Khurelsukh", "Ukhnaagiin Khurelsukh"),
        ("Hasina", "Hasina Wazed"),
    ],
)
def test_transliterations_are_one_person_only_where_the_day_is_the_same(one: str, other: str) -> None:
    assert person_likeness(one, other, same_start=True).same
    assert not person_likeness(one, other, more_words=False).same


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Muhammad bin Rashid Al-Nuhayan", "Muhammad bin Zayid Al-Nuhayan"),
        ("Ambrose Mandvulo Dlamini", "Russell Mmiso Dlamini"),
        ("Alain Berset", "Ignazio Cassis"),
    ],
)
def test_two_people_who_are_said_to_have_begun_on_one_day_stay_two(one: str, other: str) -> None:
    assert not person_likeness(one, other, same_start=True).same


def test_a_longer_word_is_not_the_shorter_one_with_a_beginning() -> None:
    assert not person_likeness("Li Qiang", "Li Keqiang", more_words=False).same


def test_companies_differ_by_more_than_their_legal_form() -> None:
    def same(one: str, other: str) -> bool:
        return NAMES.same_object(Fact("X", "company", one), Fact("X", "company", other), COMPANY)

    assert same("Cintas Corp", "Cintas Corporation")
    assert same("Macy's Inc.", "Macy's")
    assert same("Travelers Cos", "The Travelers Companies Inc.")
    assert not same("Google Inc", "Alphabet Inc")
    assert not same("Inc", "Corp")
    assert not NAMES.same_object(Fact("X", "capital", "Cintas Corp"), Fact("X", "capital", "Cintas"), CITY)


def test_a_verdict_says_which_words_were_held_against_which_threshold() -> None:
    known = KnownFact(Fact("Atlantis", "leader", "Isaias Afworki", date(2020, 1, 1)), "rag", 1)
    row = Fact("Atlantis", "leader", "Isaias Afwerki", date(2020, 1, 1))
    found = decide(row, "", KnownIndex(NAMES, [known]), ONE, date(2026, 1, 1))
    assert found.effect == "NOOP"
    assert "'afwerki' and 'afworki' are alike by 0.86, 0.80 needed" in found.words


@given(st.text(max_size=30), st.text("abc hgw", max_size=14))
def test_likeness_is_symmetric_and_never_raises(one: str, other: str) -> None:
    for same_start in (False, True):
        found = person_likeness(one, other, same_start=same_start)
        assert found.same == person_likeness(other, one, same_start=same_start).same
        assert 0.0 <= found.similarity <= 1.0
