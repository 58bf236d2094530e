"""The probe on hidden states: it finds an object that stands in the states, and none that does not."""

import numpy as np
import pytest

from guards.decoding import Array, Found, combined_p, decode

FACTS, OBJECTS, WIDTH, LAYERS = 80, 40, 60, 3


def world(seed: int, signal: float) -> tuple[list[Array], Array, list[int], Array]:
    """States of facts in which the objects stand, and the map from objects to states."""
    draw = np.random.default_rng(seed)
    objects = draw.normal(size=(OBJECTS, 16))
    own = [place % OBJECTS for place in range(FACTS)]
    into = draw.normal(size=(16, WIDTH))
    states = [signal * objects[own] @ into + draw.normal(size=(FACTS, WIDTH)) for _ in range(LAYERS)]
    return states, objects, own, into


def test_an_object_that_stands_in_the_state_is_found() -> None:
    states, objects, own, into = world(0, 1.0)
    asked = [objects[7] @ into + np.random.default_rng(layer).normal(size=WIDTH) for layer in range(LAYERS)]
    found = decode(states, objects, own, asked, 7)
    assert found.rank <= 2
    assert found.known > 0.8


def test_an_object_that_does_not_stand_there_is_not_found() -> None:
    """The control: over many states that say nothing, ranks are as good as drawn."""
    states, objects, own, into = world(1, 1.0)
    draw = np.random.default_rng(5)
    p = [decode(states, objects, own, [draw.normal(size=WIDTH)] * LAYERS, one).p for one in range(OBJECTS)]
    assert 0.4 < np.mean(p) < 0.6
    other = [objects[3] @ into] * LAYERS
    assert decode(states, objects, own, other, 7).rank > 2, "the state says another object"


def test_a_probe_that_finds_nothing_says_so_of_known_facts() -> None:
    states, objects, own, _ = world(2, 0.0)
    assert decode(states, objects, own, [one[0] for one in states], 0).known < 0.35


def test_too_few_facts_are_refused_and_several_facts_add_up() -> None:
    states, objects, own, _ = world(3, 1.0)
    with pytest.raises(ValueError, match="at least 20"):
        decode([one[:5] for one in states], objects, own[:5], [one[0] for one in states], 0)
    assert combined_p([Found(5, 100, 1.0)] * 4) < 0.01 < combined_p([Found(5, 100, 1.0)])
    assert combined_p([]) == 1.0
