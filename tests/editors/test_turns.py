"""Whose turn it is in a step: everyone in each round, nobody who sits out."""

import random

import pytest

from editors.turns import Turns


def test_each_round_holds_every_item_once_in_an_order_of_its_own() -> None:
    turns = Turns(7, 3, seed=5)
    seen = [item for _ in range(14) for item in turns.next()]
    rounds = [seen[start : start + 7] for start in range(0, 42, 7)]
    assert all(sorted(one) == list(range(7)) for one in rounds)
    assert len({tuple(one) for one in rounds}) > 1
    choice = random.Random(5)
    assert rounds[:2] == [choice.sample(range(7), 7), choice.sample(range(7), 7)]


@pytest.mark.parametrize(("count", "batch", "length"), [(0, 4, 0), (2, 4, 2), (4, 4, 4), (9, 4, 4)])
def test_a_step_sees_a_batch_or_all_that_there_are(count: int, batch: int, length: int) -> None:
    assert len(Turns(count, batch, seed=0).next()) == length


def test_those_that_sit_out_are_passed_over_and_the_order_stays() -> None:
    among = {0, 2, 4, 6, 8}
    some, everyone = Turns(10, 3, seed=1), Turns(10, 10, seed=1)
    taken = [item for _ in range(10) for item in some.next(among)]
    assert taken == [item for _ in range(6) for item in everyone.next() if item in among][:30]
    assert Turns(10, 3, seed=1).next({7, 5}) == [5, 7]
    assert Turns(10, 3, seed=1).next(set()) == []
