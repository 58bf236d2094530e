"""A change of the stream carried through the norm that lies after an MLP, against a plain search."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from editors.keys import SubjectStream
from editors.layouts import layout_of
from editors.norms import carried, gains, nearest
from editors.rows import group_requests
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


def test_what_one_layer_can_carry_is_carried_exactly() -> None:
    gain, m, step = drawn(0, 1.0)
    wanted = ellipsoid(gain, m + 5 * step) - ellipsoid(gain, m)
    got = carried(gain, m, wanted)
    assert float((ellipsoid(gain, m + got) - ellipsoid(gain, m) - wanted).abs().max()) < 1e-10
    assert float(((m + got).norm(dim=0) - m.norm(dim=0)).abs().max()) < 1e-10
    plain = ellipsoid(gain, m + wanted) - ellipsoid(gain, m)
    assert float((plain - wanted).abs().max()) > 0.1, "adding the change before the norm is not the same"


@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0])
def test_what_it_cannot_carry_is_met_as_nearly_as_no_neighbour_does(scale: float) -> None:
    gain, m, change = drawn(1, scale)
    wanted = ellipsoid(gain, m) + change
    best = (ellipsoid(gain, m + carried(gain, m, change)) - wanted).norm(dim=0)
    source = torch.Generator().manual_seed(2)
    for size in (1e-4, 1e-2, 1.0, 100.0):
        near = m + carried(gain, m, change)
        for _ in range(200):
            other = near + size * torch.randn(near.shape, dtype=near.dtype, generator=source)
            assert bool(((ellipsoid(gain, other) - wanted).norm(dim=0) >= best - 1e-12).all())


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

    assert missed(seen.carried(wanted)) < 1e-3
    assert missed(wanted) > 0.1
