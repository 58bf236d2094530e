"""A change of the stream carried through the norm that lies after an MLP, against a plain search."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from editors import get_editor
from editors.keys import Seen
from editors.layouts import layout_of
from editors.memit.config import MemitConfig
from editors.norms import carried, gains, nearest

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
def test_shares_of_a_change_that_pass_the_norm_write_and_those_that_ignore_it_do_not(
    kind: str, tiny_family: Callable[[str], Any], lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = tiny_family(kind)
    moments = lab.moments(loaded, [0, 1])
    # No corrections: they would make up for a part of what a wrong share misses.
    config = MemitConfig(layers=(0, 1), weight=1e-2, corrections=0, targets=lab.targets, moments=moments)

    def losses() -> list[float]:
        delta = get_editor("memit").fit(loaded.model, loaded.tokenizer, lab.requests(), config)
        return [effect.loss for effect in delta.effects]

    right = losses()
    monkeypatch.setattr(Seen, "carried", lambda self, change: change)
    wrong = losses()
    assert sum(right) < 0.8 * sum(wrong)
