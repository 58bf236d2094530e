"""Chains of deltas: few copies, and every bit back."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from editors.base import FactEffect
from editors.delta import WeightDelta, deltas_on, parameters_digest
from editors.factors import LayerDelta
from editors.layouts import layout_of
from editors.originals import SPACING

Build = Callable[..., WeightDelta]


@pytest.fixture(params=["tiny_llama", "tiny_gpt2"])
def loaded(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


@pytest.fixture
def build(loaded: Any) -> Iterator[Build]:
    """Makes a delta for the model as it is; the model comes out as it went in."""
    before = {name: value.clone() for name, value in loaded.model.state_dict().items()}

    def made(seed: int, blocks: tuple[int, ...] = (0, 2)) -> WeightDelta:
        layout, generator = layout_of(loaded.model), torch.Generator().manual_seed(seed)
        layers = []
        for block in blocks:
            shape = layout.down_weight(loaded.model, block).shape
            left = torch.randn(shape[0], 2, dtype=torch.float64, generator=generator)
            basis = 0.1 * torch.randn(2, shape[1], dtype=torch.float64, generator=generator)
            transposed = layout.orientation == "conv1d"
            name = layout.down_name(block)
            layers.append(LayerDelta.solved(name, transposed, "ridge", left, basis, basis @ basis.t()))
        names = [layer.parameter for layer in layers]
        effects = tuple(FactEffect(name, "written", "by hand") for name in "ab")
        base = parameters_digest(loaded.model, names)
        return WeightDelta("memit", "ridge", (("a",), ("b",)), tuple(layers), base, effects)

    yield made
    assert all(torch.equal(value, before[name]) for name, value in loaded.model.state_dict().items())
    assert deltas_on(loaded.model) == ()


def stacked(model: Any, build: Build, count: int) -> list[WeightDelta]:
    chain = []
    for seed in range(count):
        chain.append(build(seed))
        chain[-1].apply(model)
    return chain


def copies(delta: WeightDelta, model: Any) -> int:
    return len(delta._saved[model].copies)


def test_a_long_chain_keeps_few_copies_and_comes_off_bit_for_bit(loaded: Any, build: Build) -> None:
    model = loaded.model
    chain = stacked(model, build, 2 * SPACING + 3)
    assert [place for place, delta in enumerate(chain) if copies(delta, model)] == [0, SPACING, 2 * SPACING]
    for delta in reversed(chain):
        delta.revert(model)
        assert parameters_digest(model, delta.parameters) == delta.base_digest


def test_a_chain_that_was_taken_off_in_part_goes_on(loaded: Any, build: Build) -> None:
    model = loaded.model
    first, second = stacked(model, build, 2)
    second.revert(model)
    third = build(7)
    third.apply(model)
    assert [copies(delta, model) for delta in (first, third)] == [2, 0]
    third.revert(model)
    second.apply(model)
    second.revert(model)
    first.revert(model)


def test_what_something_else_changed_in_between_is_copied(loaded: Any, build: Build) -> None:
    model = loaded.model
    first = build(0)
    first.apply(model)
    parameter = model.get_parameter(first.parameters[0])
    left_by_first = parameter.detach().clone()
    parameter.data[0, 0] += 1
    changed = parameter.detach().clone()
    second = build(1)
    second.apply(model)
    assert copies(second, model) == 2
    second.revert(model)
    assert torch.equal(parameter, changed), "made again from the first delta it would be another weight"
    parameter.data.copy_(left_by_first)
    first.revert(model)


def test_deltas_of_other_blocks_do_not_stand_on_each_other(loaded: Any, build: Build) -> None:
    model = loaded.model
    one = build(0, (0,))
    one.apply(model)
    both = build(1, (0, 2))
    both.apply(model)
    again = build(2, (0, 2))
    again.apply(model)
    assert [copies(delta, model) for delta in (one, both, again)] == [1, 2, 0]
    for delta in (again, both, one):
        delta.revert(model)


def test_a_delta_that_is_on_for_a_block_of_code_keeps_a_copy(loaded: Any, build: Build) -> None:
    """It comes off again and again, and what the block did to the weights is undone too."""
    model = loaded.model
    (first,) = stacked(model, build, 1)
    second = build(1)
    with second.applied(model):
        assert copies(second, model) == 2
        model.get_parameter(second.parameters[0]).data.zero_()
    assert parameters_digest(model, second.parameters) == second.base_digest
    first.revert(model)
