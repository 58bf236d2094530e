"""The day that a question asks for."""

from datetime import date

import pytest

from pipelines.answering.when import find_when

TODAY = date(2024, 6, 15)


@pytest.mark.parametrize(
    ("question", "day", "rest"),
    [
        ("Who led France in 2021?", date(2021, 12, 31), "Who led France?"),
        ("Who led France in 2024?", TODAY, "Who led France?"),
        ("Who led France at the start of 2021?", date(2021, 1, 1), "Who led France?"),
        ("Who led France at the end of 2024?", date(2024, 12, 31), "Who led France?"),
        ("As of March 2023, who led France?", date(2023, 3, 31), "who led France?"),
        ("Who led France in June 2024?", TODAY, "Who led France?"),
        ("Who led France on 5 March 2024?", date(2024, 3, 5), "Who led France?"),
        ("Who led France on March 5th, 2024?", date(2024, 3, 5), "Who led France?"),
        ("Who led France as of 2024-03-05?", date(2024, 3, 5), "Who led France?"),
        ("Who led France before 2020?", date(2019, 12, 31), "Who led France?"),
        ("Who leads France today?", TODAY, "Who leads France?"),
        ("Who currently leads France?", TODAY, "Who leads France?"),
        ("Who leads France?", TODAY, "Who leads France?"),
        ("Who wrote 1984?", TODAY, "Who wrote 1984?"),
    ],
)
def test_times(question: str, day: date, rest: str) -> None:
    found = find_when(question, TODAY)
    assert (found.day, found.rest) == (day, rest)


def test_only_a_time_of_its_own_is_explicit() -> None:
    assert find_when("Who led France in 2021?", TODAY).explicit
    assert not find_when("Who leads France today?", TODAY).explicit


def test_no_day_of_the_calendar() -> None:
    assert find_when("Who led France on 2023-02-31?", TODAY).day is None
    assert find_when("Who led France on 31 April 2023?", TODAY).day is None
