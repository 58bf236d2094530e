"""Which facts are taken out, and how many: by margins that the test makes up."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from guards.observations import Observation
from pipelines.judging import costs
from pipelines.judging.costs import Costs

ASKED = 120


def seen_of(margins: torch.Tensor) -> list[Observation]:
    right = (margins >= 0).tolist()
    return [Observation("drawdown", f"u{n}", f"u{n} is", True, good, "", "") for n, good in enumerate(right)]


def costs_of(returned: Sequence[Sequence[float]], own: float = 1.0) -> Costs:
    """Every answer had `own` nats of margin before the columns took theirs."""
    found = torch.tensor(returned, dtype=torch.float64)
    columns = tuple(f"f{number}" for number in range(found.shape[1]))
    prompts = tuple(f"u{number} is" for number in range(len(found)))
    return Costs(columns, prompts, own - found.sum(dim=1), found)


def at_most(broken: int) -> Any:
    def gate(seen: Sequence[Observation]) -> str | None:
        wrong = sum(not item.after for item in seen)
        return f"{wrong} wrong" if wrong > broken else None

    return gate


def leaving(made: Costs, broken: int) -> list[str]:
    return [one.fact_id for one in made.leaving(seen_of(made.margins), at_most(broken))]


def test_the_fact_without_which_most_comes_back_goes_first() -> None:
    made = costs_of([[2.0, 0.0, 0.0], [0.0, 0.0, 2.0], [0.0, 0.0, 2.0], [0.0, 0.1, 0.0]])
    found = made.leaving(seen_of(made.margins), at_most(0))
    assert [(one.fact_id, one.back, one.nats) for one in found] == [("f2", 2, 4.0), ("f0", 1, 2.0)]
    assert leaving(made, 1) == ["f2"]


def test_an_answer_that_is_nearly_wrong_has_a_say() -> None:
    """Each of two facts breaks one answer; one of them brings many others near to it."""
    rows = [[2.0, 0.0], [0.0, 2.0]] + [[0.0, 0.9]] * 6
    assert leaving(costs_of(rows), 1) == ["f1"]
    assert leaving(costs_of([row[::-1] for row in rows]), 1) == ["f0"]


def test_facts_that_break_one_answer_together_are_weighed_together() -> None:
    assert leaving(costs_of([[0.9, 0.8, 0.0], [0.9, 0.0, 0.1]]), 0) == ["f0"]


@pytest.mark.parametrize(("enough", "most"), [(10**6, 10), (100, 18)])
def test_what_breaks_an_answer_each_is_not_seen_by_the_others(
    enough: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """20 facts each break one answer: each of 5 parts has 4 of them, which the others rank last, and 2 may stay."""
    monkeypatch.setattr(costs, "ENOUGH", enough)
    rows = [[2.0 * (answer == fact) for fact in range(20)] for answer in range(ASKED)]
    assert len(leaving(costs_of(rows), 10)) == most


def test_what_breaks_many_answers_is_seen_by_the_others() -> None:
    """Out of fold or not, the two facts that break everything are found by any part of it."""
    rows = [[2.0 * (answer % 2 == 0), 2.0 * (answer % 3 == 0), 0.0, 0.0] for answer in range(ASKED)]
    assert sorted(leaving(costs_of(rows), 0)) == ["f0", "f1"]


def test_a_gate_that_nothing_is_expected_to_pass_costs_half() -> None:
    made = costs_of([[2.0, 0.0, 0.0, 0.0]] * 3)
    assert len(made.leaving(seen_of(made.margins), lambda seen: "never good enough")) == 2


def test_an_answer_that_is_right_whatever_its_margin_says_stays_so() -> None:
    """Another name of the same object has a margin below 0 and is right; only a margin that turns tells anything."""
    made = costs_of([[2.0, 0.0], [2.0, 0.0]])
    seen = [Observation("drawdown", "u0", "u0 is", True, True, "", ""), seen_of(made.margins)[1]]
    asked: list[list[bool]] = []

    def gate(expected: Sequence[Observation]) -> str | None:
        asked.append([item.after for item in expected])
        return None

    made.leaving(seen, gate)
    assert asked == [[True, True]]
