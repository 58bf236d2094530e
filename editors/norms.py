"""What follows from a norm between an MLP's output and the residual stream (Gemma 2 and 3, OLMo 2).

There a block adds N(m) = g * m / rms(m) instead of m = W k, with gains g. N drops the length of m, so that what one
layer adds lies on an ellipsoid, |N(m) / g|^2 = d, whatever its weights are. Hence

- the target of one layer (ROME, side memories) is optimised as a change of m and reaches the stream through N: ROME's
  constraint W k = m + delta can then be met exactly, and what the optimisation saw is what the edited model computes;
- the target of several layers (MEMIT) is a change of the stream itself, since together they can move it further than
  the ellipsoid of one of them allows. A share of it is carried by an m whose N(m) lies near what is wanted, and which
  lies near where it was, since what turns m far about for the subject turns it for other tokens too:

      s* = argmin of |g * s - y|^2 + mu |s - s0|^2  over  |s|^2 = d   =   (g * y + mu s0) / (g^2 + mu + lambda),

  with s0 = m / rms(m), y = g * s0 + change, m* = s* rms(m), and lambda the root of |s|^2 = d above -min (g^2 + mu),
  where |s| falls as lambda grows. Features of little gain, which bring the stream next to nothing, then stay where
  they are. What a layer does not carry, later ones are asked for;
* a change of the stream costs a change of m by it over g, feature by feature, so that features of small gain cost most.
  Targets are therefore looked for in steps that are as long as the gains are (`reach_of`);
* what a change D of W does to another token is not D k but about g * D k / rms(W k). Where W k is short, as at the
  attention sink of Gemma 3 (1/30 of the usual length), a small D k turns the token round. So all keys of ROME's
  and MEMIT's objectives are taken per unit of what they make, k / rms(W k).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from editors.layouts import Layout
from editors.targets import rest_length

FURTHEST = 3.0
"""A feature of massive gain counts as if it reached so many times as far as others."""

HOLD = 0.25
"""mu, over the median of g^2: how dear it is that m moves, beside missing what is wanted."""

HALVINGS = 100
"""Of the interval that holds lambda: enough for every bit of a float64."""


def gains(norm: nn.Module, like: Tensor) -> Tensor:
    """g, (d,) float64: what the norm gives for a vector of ones, whose root mean square is 1.

    Args:
        norm: the norm.
        like: hidden states, for width, dtype and device.
    """
    ones = torch.ones(1, like.shape[-1], dtype=like.dtype, device=like.device)
    with torch.no_grad():
        found: Tensor = norm(ones)[0].to("cpu", torch.float64)
    return found


def slopes(norm: nn.Module | None, weight: Tensor, keys: Tensor) -> Tensor:
    """1 / rms(W k), with the norm's own epsilon: how far the norm stretches what each key makes.

    Args:
        norm: the norm behind the matrix; None where there is none, whose slope is 1.
        weight: W, (d_out, d_in), on the norm's device.
        keys: (n, d_in), on any.

    Returns:
        (n,), of the keys' dtype and device.
    """
    if norm is None:
        return torch.ones(len(keys), dtype=keys.dtype, device=keys.device)
    there = keys.to(weight.device, torch.promote_types(weight.dtype, torch.float32))
    with torch.no_grad():
        outputs = there @ weight.to(there.dtype).t()
        gained = outputs * gains(norm, outputs).to(outputs)
        found: Tensor = norm(outputs).norm(dim=-1) / gained.norm(dim=-1).clamp(min=torch.finfo(there.dtype).tiny)
    return found.to(keys)


def reach_of(layout: Layout, model: Any, layers: Sequence[int]) -> Tensor | None:
    """How far the edited blocks can move each feature of the stream, relative to what is usual.

    Returns:
        (d,) float64: the root mean square of the blocks' gains, over its own root mean square without massive features;
        at most `FURTHEST`. None where no norm lies between MLP and stream.
    """
    norms = [norm for norm in (layout.post_norm(model, layer) for layer in layers) if norm is not None]
    if not norms:
        return None
    width = model.get_input_embeddings().weight[:1]
    together = torch.stack([gains(norm, width) for norm in norms]).square().mean(0).sqrt()
    usual = rest_length(together) / len(together) ** 0.5
    relative: Tensor = together / usual
    return relative.clamp(max=FURTHEST)


def carried(gain: Tensor, outputs: Tensor, change: Tensor, hold: float = HOLD) -> Tensor:
    """The change of m that changes N(m) by about `change` and does not turn m further than that is worth.

    Args:
        gain: g, (d,) float64.
        outputs: m, (d, n) float64.
        change: wanted change of N(m), (d, n) float64.
        hold: mu, over the median of g^2; without it N(m*) is the point of the ellipsoid that lies nearest to
            N(m) + `change`.

    Returns:
        m* - m, (d, n) float64.
    """
    g = gain[:, None]
    rms = outputs.square().mean(0).sqrt()
    now, mu = outputs / rms, hold * g.square().median()
    return nearest(g.square() + mu, g * (g * now + change) + mu * now) * rms - outputs


def nearest(squares: Tensor, pulled: Tensor) -> Tensor:
    """s, (d, n): p / (q + lambda) with lambda > -min q such that |s|^2 = d.

    Args:
        squares: q = g^2 + mu, (d, 1) float64.
        pulled: p = g * y + mu s0, (d, n) float64.
    """
    radius = len(pulled) ** 0.5
    low = (-squares.min()).expand(pulled.shape[1])
    high = pulled.norm(dim=0) / radius  # |s| <= |p| / lambda
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        long = (pulled / (squares + middle)).norm(dim=0) > radius
        low, high = torch.where(long, middle, low), torch.where(long, high, middle)
    s = pulled / (squares + high).clamp(min=torch.finfo(pulled.dtype).tiny)
    scaled: Tensor = s * (radius / s.norm(dim=0))
    return scaled
