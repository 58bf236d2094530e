"""What the editors made of the requests, as it is told and as facts leave it."""

from dataclasses import replace
from typing import Any, cast

import pytest

from pipelines.write import Written, moved_to_index


class Delta:
    """A delta that holds facts, each in a column of its own."""

    def __init__(self, *fact_ids: str) -> None:
        self.fact_ids = fact_ids

    def without(self, gone: tuple[str, ...]) -> "Delta":
        return Delta(*(name for name in self.fact_ids if name not in gone))


WRITTEN = Written(
    cast(Any, Delta("a", "b", "c")),
    memory=dict.fromkeys("abc", "memit") | {"d": "rag"},
    moved={"d": "not answered"},
    eased={"a": 0.5, "b": 0.75},
)


@pytest.mark.parametrize(
    ("fact_id", "words"),
    [
        ("a", "stable; kept at 0.50 of its edit's length, so that another answer about its subject stays right"),
        ("c", "stable"),
        ("d", "not answered"),
    ],
)
def test_a_fact_tells_why_it_lives_where_it_does(fact_id: str, words: str) -> None:
    assert WRITTEN.why_there(fact_id, "stable") == words


@pytest.mark.parametrize(
    ("eased", "words"),
    [({"a": 0.5, "b": 0.75}, "2 of the facts in the weights: 0.50 to 0.75 of"), ({"a": 0.5}, "weights: 0.50 of")],
)
def test_how_many_edits_gave_something_back_is_noted(eased: dict[str, float], words: str) -> None:
    (note,) = replace(WRITTEN, eased=eased).notes
    assert words in note


def test_nothing_is_noted_where_no_edit_gave_anything_back() -> None:
    assert replace(WRITTEN, eased={}).notes == ()


def test_an_edit_that_gave_something_back_and_left_all_the_same_is_told_as_moved() -> None:
    left = moved_to_index(WRITTEN, {"a": "breaks a gate"})
    assert left.eased == {"b": 0.75}
    assert left.why_there("a", "stable") == "breaks a gate"
