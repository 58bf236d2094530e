"""A change of the stream carried through the norm that lies after an MLP, against a plain search."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch

from editors.keys import SubjectStream
from editors.layouts import layout_of
from editors.norms import HOLD, carried, gains, nearest, reach_of, slopes
from editors.rows import group_requests
from editors.targets import TargetConfig, fit_targets
from editors.trace import replaced

KINDS = ("gemma2", "gemma3_text", "olmo2")


def ellipsoid(gain: torch.Tensor, m: torch.Tensor) -> torch.Tensor:
    return gain[:, None] * m / m.square().mean(0).sqrt()


def drawn(seed: int, scale: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    source = torch.Generator().manual_seed(seed)
    gain = torch.rand(16, dtype=torch.float64, generator=source) * 3 + 0.1
    m, change = (torch.randn(16, 5, dtype=torch.float64, generator=source) for _ in range(2))
    return gain, m * 7, change * scale


@pytest.mark.parametrize("kind", KINDS)
def test_gains_are_what_the_norm_multiplies_by(kind: str, tiny_family: Callable[[str], Any]) -> None:
    model = tiny_family(kind).model
    norm: Any = layout_of(model).post_norm(model, 1)
    m = torch.randn(3, 64)
    torch.testing.assert_close(ellipsoid(gains(norm, m), m.t().double()).t(), norm(m).double(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_slopes_are_how_far_the_norm_moves_when_what_it_is_given_moves(
    kind: str, tiny_family: Callable[[str], Any]
) -> None:
    model = deepcopy(tiny_family(kind).model).to(torch.float64)
    norm: Any = layout_of(model).post_norm(model, 1)
    source = torch.Generator().manual_seed(4)
    weight, keys = (torch.randn(shape, dtype=torch.float64, generator=source) for shape in ((64, 32), (3, 32)))
    keys[1] /= 1000  # what it makes is about as short as the norm's epsilon
    m = keys @ weight.t()
    across = torch.randn(m.shape, dtype=torch.float64, generator=source)
    across -= m * (across * m).sum(-1, keepdim=True) / m.square().sum(-1, keepdim=True)
    step = 1e-3 * m.norm(dim=-1, keepdim=True) * across / across.norm(dim=-1, keepdim=True)
    moved = (norm(m + step) - norm(m - step)).norm(dim=-1) / (2 * gains(norm, m) * step).norm(dim=-1)
    found = slopes(norm, weight, keys)
    torch.testing.assert_close(moved, found, rtol=1e-4, atol=0)
    assert float(found[1] / found[0]) > 30, "what is made short is moved far"
    assert bool((slopes(None, weight, keys) == 1).all())


def test_targets_move_features_as_far_as_the_norm_lets_them(tiny_family: Callable[[str], Any], lab: Any) -> None:
    model, tokenizer = deepcopy(tiny_family("gemma3_text").model), tiny_family("gemma3_text").tokenizer
    layout = layout_of(model)
    norm: Any = layout.post_norm(model, 1)
    with torch.no_grad():
        norm.weight[:8] = -1.0  # Gemma's gain is 1 + weight
        norm.weight[8] = 500.0
        norm.weight[9] = 1.5
    reach = reach_of(layout, model, [1])
    assert reach is not None
    assert bool((reach[:8] == 0).all())
    assert float(reach[8]) == 3.0, "a massive gain is no reason for steps as long"
    assert float(reach[9] / reach[20]) == pytest.approx(2.5 / float(1 + norm.weight[20]), rel=1e-5)
    groups, _ = group_requests(tokenizer, lab.requests()[:2], prefixes=0, paraphrases=0, seed=0)
    config = TargetConfig(steps=3)
    aware, plain = (fit_targets(model, layout, groups, 1, config, "block", given) for given in (reach, None))
    for one, other in zip(aware, plain, strict=True):
        assert bool((one.delta[:8] == 0).all())
        assert bool((other.delta[:8] != 0).any())
        assert float(one.delta.norm()) > 0
    assert reach_of(layout_of(tiny_family("llama").model), tiny_family("llama").model, [1]) is None


def test_what_one_layer_can_carry_is_carried_exactly() -> None:
    gain, m, step = drawn(0, 1.0)
    wanted = ellipsoid(gain, m + 5 * step) - ellipsoid(gain, m)
    got = carried(gain, m, wanted, hold=0)
    assert float((ellipsoid(gain, m + got) - ellipsoid(gain, m) - wanted).abs().max()) < 1e-10
    assert float(((m + got).norm(dim=0) - m.norm(dim=0)).abs().max()) < 1e-10
    plain = ellipsoid(gain, m + wanted) - ellipsoid(gain, m)
    assert float((plain - wanted).abs().max()) > 0.1, "adding the change before the norm is not the same"


@pytest.mark.parametrize("hold", [0.0, 1.0, 20.0])
@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0])
def test_what_it_carries_costs_less_than_any_neighbour_of_it(scale: float, hold: float) -> None:
    gain, m, change = drawn(1, scale)
    wanted = ellipsoid(gain, m) + change
    ones = torch.ones_like(gain)

    def cost(other: torch.Tensor) -> torch.Tensor:
        missed = (ellipsoid(gain, other) - wanted).square().sum(0)
        return missed + hold * gain.square().median() * (ellipsoid(ones, other) - ellipsoid(ones, m)).square().sum(0)

    near = m + carried(gain, m, change, hold)
    best = cost(near)
    source = torch.Generator().manual_seed(2)
    for size in (1e-4, 1e-2, 1.0, 100.0):
        for _ in range(200):
            other = near + size * torch.randn(near.shape, dtype=near.dtype, generator=source)
            assert bool((cost(other) >= best * (1 - 1e-12)).all())


def test_what_brings_the_stream_nothing_stays_where_it_is() -> None:
    gain, m, change = drawn(5, 1.0)
    gain[:4] = 1e-3

    def moved(hold: float) -> torch.Tensor:
        """How far the features of no gain move, over their length."""
        relative: torch.Tensor = carried(gain, m, change, hold)[:4].norm(dim=0) / m[:4].norm(dim=0)
        return relative

    assert bool((moved(0.0) > 0.5).all()), "nothing else holds them"
    assert bool((moved(1.0) < moved(HOLD)).all())
    assert bool((moved(HOLD) < 2 / 3 * moved(0.0)).all())
    assert float(carried(gain, m, change, hold=1e9).abs().max()) < 1e-6


def test_the_length_is_met_also_where_some_gains_are_zero() -> None:
    gain, m, change = drawn(3, 1.0)
    gain[:4] = 0
    s = nearest(gain[:, None].square(), gain[:, None] * (ellipsoid(gain, m) + change))
    assert bool(torch.isfinite(s).all())
    assert float((s.norm(dim=0) - 4).abs().max()) < 1e-10


@pytest.mark.parametrize("kind", KINDS)
def test_a_change_that_passes_the_norm_moves_the_stream_by_it_and_one_that_ignores_it_does_not(
    kind: str, tiny_family: Callable[[str], Any], lab: Any
) -> None:
    model, tokenizer = tiny_family(kind).model, tiny_family(kind).tokenizer
    layout, requests = layout_of(model), lab.requests()
    # One context a subject: the mean over several is not what any of them shows.
    groups, _ = group_requests(tokenizer, requests, prefixes=0, paraphrases=0, seed=0)
    stream = SubjectStream(model, layout, groups, 1, 1)
    seen = stream.see()
    assert seen.outputs is not None
    assert seen.gain is not None
    aim = torch.randn(seen.outputs.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    here = ellipsoid(seen.gain, seen.outputs)
    wanted = ellipsoid(seen.gain, seen.outputs + 0.5 * aim * seen.outputs.norm() / aim.norm()) - here
    name = layout.down_name(1)

    def missed(change: torch.Tensor) -> float:
        weight = model.get_parameter(name)
        with replaced(model, name, weight + (change @ torch.linalg.pinv(seen.keys)).to(weight.dtype)):
            return float((stream.see().values - seen.values - wanted).norm() / wanted.norm())

    assert missed(carried(seen.gain, seen.outputs, wanted, hold=0)) < 1e-3
    assert missed(seen.carried(wanted)) < missed(wanted)
    assert missed(wanted) > 0.1
