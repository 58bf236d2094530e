"""What follows from a norm between an MLP's output and the residual stream (Gemma 2 and 3, OLMo 2).

There a block adds N(m) = g * m / rms(m) instead of m = W k, with gains g. N drops the length of m, so that what one
layer adds lies on an ellipsoid, |N(m) / g|^2 = d, whatever its weights are. Hence

- the target of one layer (ROME, side memories) is optimised as a change of m and reaches the stream through N: ROME's
  constraint W k = m + delta can then be met exactly, and what the optimisation saw is what the edited model computes;
- the target of several layers (MEMIT) is a change of the stream itself, since together they can move it further than
  the ellipsoid of one of them allows. A share of it is carried by the m whose N(m) lies nearest to what is wanted:

      s* = argmin of |g * s - y|^2  over  |s|^2 = d   =   g * y / (g^2 + lambda),      m* = s* rms(m),

  with y = N(m) + change and lambda the root of |s|^2 = d above -min g^2, where |s| falls as lambda grows. What a layer
  cannot carry, later ones are asked for; the last one meets it as nearly as its ellipsoid allows.
"""

import torch
from torch import Tensor, nn

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


def carried(gain: Tensor, outputs: Tensor, change: Tensor) -> Tensor:
    """The change of m that changes N(m) as nearly as possible by `change`.

    Args:
        gain: g, (d,) float64.
        outputs: m, (d, n) float64.
        change: wanted change of N(m), (d, n) float64.

    Returns:
        m* - m, (d, n) float64; N(m*) is the point of the ellipsoid that lies nearest to N(m) + `change`.
    """
    g = gain[:, None]
    rms = outputs.square().mean(0).sqrt()
    pulled = g * (g * outputs / rms + change)
    return nearest(g.square(), pulled) * rms - outputs


def nearest(squares: Tensor, pulled: Tensor) -> Tensor:
    """s, (d, n): p / (g^2 + lambda) with lambda > -min g^2 such that |s|^2 = d.

    Args:
        squares: g^2, (d, 1) float64.
        pulled: p = g * y, (d, n) float64.
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
