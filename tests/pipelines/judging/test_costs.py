"""Which facts are taken out, and how many: by margins that the test makes up."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from scipy.special import expit

from guards.observations import Observation
from pipelines.judging import costs
from pipelines.judging.costs import Costs


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


def leaving(made: Costs, broken: int, *, sparing: bool = True) -> list[str]:
    return [one.fact_id for one in made.leaving(seen_of(made.margins), at_most(broken), sparing=sparing)]


def test_the_fact_without_which_most_comes_back_goes_first() -> None:
    made = costs_of([[2.0, 0.0, 0.0], [0.0, 0.0, 2.0], [0.0, 0.0, 2.0], [0.0, 0.1, 0.0]])
    found = made.leaving(seen_of(made.margins), at_most(0))
    assert [(one.fact_id, one.back) for one in found] == [("f2", 2), ("f0", 1)]
    assert found[0].fewer == pytest.approx(2 * (expit(1 / costs.SPREAD) - expit(-1 / costs.SPREAD)))
    assert leaving(made, 1) == ["f2"]


def test_an_answer_that_is_nearly_wrong_has_a_say() -> None:
    """Each of two facts breaks one answer; one of them brings many others near to it."""
    rows = [[2.0, 0.0], [0.0, 2.0]] + [[0.0, 0.9]] * 6
    assert leaving(costs_of(rows), 1) == ["f1"]
    assert leaving(costs_of([row[::-1] for row in rows]), 1) == ["f0"]


def test_facts_that_break_one_answer_together_are_weighed_together() -> None:
    assert leaving(costs_of([[0.9, 0.8, 0.0], [0.9, 0.0, 0.1]]), 0) == ["f0"]


def test_a_fact_that_helps_stays_though_the_gate_is_not_expected_to_pass() -> None:
    made = costs_of([[2.0, 0.0, -0.5, 1.5]] * 3)
    found = made.leaving(seen_of(made.margins), lambda seen: "never good enough", sparing=False)
    assert [one.fact_id for one in found] == ["f0", "f3"], "f1 does nothing, and without f2 margins are less"


def test_a_fact_that_was_chosen_first_and_need_not_go_stays() -> None:
    """f1 takes a little from many answers, f0 alone breaks one; without f0 the gate passes."""
    made = costs_of([[2.0, 0.0]] + [[0.0, 0.9]] * 8)
    assert leaving(made, 0, sparing=False) == ["f1", "f0"]
    (found,) = made.leaving(seen_of(made.margins), at_most(0))
    assert (found.fact_id, found.back) == ("f0", 1)
    assert found.fewer == pytest.approx(expit(1 / costs.SPREAD) - expit(-1 / costs.SPREAD))


@pytest.mark.parametrize("own", [1.0, -9.0])
def test_where_the_gate_is_not_expected_to_pass_as_many_answers_come_back_with_fewer_facts(own: float) -> None:
    """f0 and f2 bring one back each, f1 makes up for nothing; where nothing comes back, the costliest goes alone."""
    made = costs_of([[2.0, 0.0, 0.0], [0.0, 0.0, 1.9], *[[0.0, 0.5, 0.0]] * 8], own)
    found = made.leaving(seen_of(made.margins), lambda seen: "never good enough")
    assert [(one.fact_id, one.back) for one in found] == ([("f0", 1), ("f2", 1)] if own > 0 else [("f1", 0)])


def test_an_answer_that_is_wrong_whatever_its_margin_says_does_not_cost_every_fact() -> None:
    """Something after the answer makes it another one: what gives its margin most goes, and the others stay."""
    made = costs_of([[0.1, 0.2, 0.0], [0.1, 0.0, 0.1]])
    seen = seen_of(made.margins)
    wrong = [Observation("drawdown", "u0", "u0 is", True, False, "", ""), seen[1]]
    (found,) = made.leaving(wrong, at_most(0))
    assert (found.fact_id, found.back) == ("f1", 1)
    assert made.leaving(seen, at_most(0))[0].back == 0, "nothing comes back of what was not wrong"


def test_one_fact_goes_at_least() -> None:
    made = costs_of([[0.0, 0.0]] * 3, own=-1.0)
    assert [one.fact_id for one in made.leaving(seen_of(made.margins), at_most(0))] == ["f0"]


def test_an_answer_that_is_right_whatever_its_margin_says_stays_so() -> None:
    """Another name of the same object has a margin below 0 and is right; only a margin that turns tells anything."""
    made = costs_of([[2.0, 0.0], [2.0, 0.0]])
    seen = [Observation("drawdown", "u0", "u0 is", True, True, "", ""), seen_of(made.margins)[1]]
    asked: list[list[bool]] = []

    def gate(expected: Sequence[Observation]) -> str | None:
        asked.append([item.after for item in expected])
        return None

    made.leaving(seen, gate)
    assert asked
    assert all(expected == [True, True] for expected in asked)
