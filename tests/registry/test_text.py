import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.text import (
    answer_of,
    holds_answer,
    is_settled,
    natural_stop,
    normalise,
    shortest_answer,
    starts_with_answer,
)

WORDS = st.lists(
    st.sampled_from(["Paris", "paris", "the", "New", "York", "Yorkshire", "U.S.", "a", "-", "Côte"]), max_size=4
)


@pytest.mark.parametrize(
    ("text", "plain"),
    [("The Côte d'Ivoire", "cote divoire"), ("U.S.", "us"), ("Guinea-Bissau", "guinea bissau"), ("  a  Rand ", "rand")],
)
def test_normalise(text: str, plain: str) -> None:
    assert normalise(text) == plain


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (" Rome.\n\nThe Roman Empire", "Rome"),
        (" St. John's. It is", "St. John's"),
        (" U.S. dollar", "U.S. dollar"),
        (" J. K. Rowling. She", "J. K. Rowling"),
        (" Paris", "Paris"),
        ("\nRome\nItaly", "Rome"),
    ],
)
def test_the_answer_ends_where_it_ends_by_itself(text: str, answer: str) -> None:
    assert answer_of(text) == answer


def test_a_text_that_goes_on_has_no_stop() -> None:
    assert natural_stop(" the city of Rome, which is") is None


def test_whole_words_only() -> None:
    assert starts_with_answer("Paris, France", ["Paris"])
    assert not starts_with_answer("Parisian", ["Paris"])
    assert not starts_with_answer("The city of Paris", ["Paris"])
    assert holds_answer("The city of Paris", ["Paris"])
    assert not holds_answer("Parisian", ["Paris"])
    assert not starts_with_answer("anything", [""])


@pytest.mark.parametrize(
    ("text", "settled"),
    [("Paris is", True), ("London", True), ("Paris", False), ("Par", False), ("", False), ("the", False), ("T", False)],
)
def test_settled(text: str, settled: bool) -> None:
    assert is_settled(text, ["Paris"]) is settled


@pytest.mark.parametrize(
    ("text", "answers", "shortest"),
    [
        ("Sofia, which is", ("Sofia",), "Sofia"),
        ("the Côte d'Ivoire and", ("Ivory Coast", "Cote d'Ivoire"), "the Côte d'Ivoire"),
        ("New York City", ("New York City", "New York"), "New York"),
        ("Yorkshire", ("York",), "Yorkshire"),
    ],
)
def test_the_shortest_answer_ends_with_a_word(text: str, answers: tuple[str, ...], shortest: str) -> None:
    assert shortest_answer(text, answers) == shortest


@given(WORDS, WORDS, WORDS, st.sampled_from(["", " "]))
def test_what_is_settled_stays_as_it_is(answer: list[str], said: list[str], more: list[str], glue: str) -> None:
    text = " ".join(said)
    if is_settled(text, [" ".join(answer)]):
        longer = f"{text}{glue}{' '.join(more)}"
        assert starts_with_answer(longer, [" ".join(answer)]) == starts_with_answer(text, [" ".join(answer)])
