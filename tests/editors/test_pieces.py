"""Which tokens go on with the word before them."""

import pytest

from editors.pieces import TURN, Pieces

GOING_ON = {"ium": True, "2": True, "'s": True, "\u00e4": True, "\u306e": True}
APART = {" and": False, "-": False, "\u2013on": False, ",": False, "\n": False, "": False, TURN: False, ", 2": False}


@pytest.mark.parametrize(("text", "going_on"), [*GOING_ON.items(), *APART.items()])
def test_a_letter_or_a_digit_goes_on_with_a_word(text: str, going_on: bool) -> None:
    pieces = Pieces([text.encode(), b"x"])
    assert pieces.going_on().tolist() == [going_on, True]


def test_part_of_a_letter_does_not_go_on() -> None:
    """Its bytes may become punctuation as well."""
    assert Pieces([b"\xe2\x80"]).going_on().tolist() == [False]
