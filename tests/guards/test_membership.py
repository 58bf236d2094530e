from datetime import UTC, datetime

from guards.candidates import CandidateReader
from guards.membership import Membership, TypeGuard
from guards.names import Names
from registry.catalogue import Catalogue, Relation
from registry.records import Fact


def relation(name: str, subject_type: str, object_type: str) -> Relation:
    cloze = tuple(f"{start} {name} of {{subject}} is" for start in ("The", "A", "One", "Some", "This"))
    question, statement = f"What {name} has {{subject}}?", f"{{subject}}: {name}: {{object}}."
    return Relation(
        name, name, cloze[0], question, cloze[:3], cloze[3:], statement, "one", subject_type, object_type, None, "low"
    )


CATALOGUE = Catalogue(
    {
        "capital": relation("capital", "country", "city"),
        "currency": relation("currency", "country", "currency"),
        "symbol": relation("symbol", "element", "symbol"),
    },
    types={"symbol": "[A-Z][a-z]?"},
)
NAMES = Names(CATALOGUE)
KNOWN = [
    *(Fact(f"Land {each}", "capital", f"Town {each}") for each in "abcdef"),
    *(Fact(f"Land {each}", "currency", f"Coin {each}") for each in "abcdef"),
]


def decision(relation_: str, object_: str, subject: str = "Land a", *more: Fact, trusted: tuple[Fact, ...] = ()) -> str:
    membership = Membership.of([*KNOWN, *more], trusted, CATALOGUE, NAMES)
    cells = {"subject": subject, "relation": relation_, "object": object_}
    row = CandidateReader.of(CATALOGUE, datetime(2026, 1, 1, tzinfo=UTC)).read(1, cells)
    return TypeGuard(CATALOGUE, NAMES, membership).judge(row).decision


def test_a_name_known_as_another_type_only_is_blocked() -> None:
    assert decision("capital", "coin B") == "block"
    assert decision("capital", "Town b") == "pass"
    assert decision("capital", "Unheard-of") == "pass"
    assert decision("capital", "Town a", "Coin a") == "block"


def test_types_that_share_a_name_do_not_speak_against_each_other() -> None:
    assert decision("capital", "Land b") == "block"
    assert decision("capital", "Land b", "Land a", Fact("Singapore", "capital", "Singapore")) == "pass"


def test_a_type_with_few_known_names_says_nothing() -> None:
    assert decision("capital", "Gold", "Land a", Fact("Gold", "symbol", "Au")) == "pass"


def test_authoritative_rows_tell_new_names_but_cannot_change_what_known_ones_are() -> None:
    new = Fact("Land a", "currency", "Crown")
    assert decision("capital", "Crown") == "pass"
    assert decision("capital", "Crown", trusted=(new,)) == "block"
    assert decision("capital", "Coin b", trusted=(Fact("Land a", "capital", "Coin b"),)) == "block"


def test_the_pattern_of_a_type_is_for_the_whole_text() -> None:
    assert decision("symbol", "Au", "Gold") == "pass"
    assert decision("symbol", "Aurum", "Gold") == "block"
