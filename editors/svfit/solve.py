"""SVFit's equations (arXiv 2409.05926).

    W = U diag(s) V^T,    W(delta) = W + U_r diag(delta) V_r^T,    delta = 0 at the start

Only delta (r numbers a matrix) is trained. The sum, and not U diag(s + delta) V^T, is what is computed: at delta = 0 it
is W bit for bit, and the part of W outside the leading r directions never passes through a decomposition.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from registry.errors import EditError


@dataclass(frozen=True)
class Directions:
    """The leading singular directions of a matrix W (d_out, d_in).

    Attributes:
        left: U_r, (d_out, r), float32.
        right: V_r, (d_in, r), float32.
        values: the r leading singular values, falling, float32.
        energy: share of |W|^2 that they hold.
        full: how many singular values W has.
    """

    left: Tensor
    right: Tensor
    values: Tensor
    energy: float
    full: int


def rank_holding(values: Tensor, energy: float) -> int:
    """The least number of leading singular values whose squares sum to `energy` of the whole; at least 1.

    Args:
        values: all singular values of a matrix, falling.
        energy: a share, above 0 and at most 1.

    Raises:
        EditError: `energy` is not such a share.
    """
    if not 0 < energy <= 1:
        raise EditError(f"expected an energy above 0 and at most 1, got {energy}; set it in the config")
    squares = values.to(torch.float64).square()
    held = squares.cumsum(0)
    return min(int((held < energy * held[-1]).sum()) + 1, len(values))


def directions(weight: Tensor, energy: float, rank: int = 0) -> Directions:
    """Decompose W and keep what holds `energy`, or `rank` directions where that is not 0."""
    left, values, right = torch.linalg.svd(weight.detach().to(torch.float64), full_matrices=False)
    kept = min(rank, len(values)) if rank else rank_holding(values, energy)
    squares = values.square()
    share = float(squares[:kept].sum() / squares.sum().clamp(min=1e-300))
    narrow = [part.to(torch.float32).contiguous() for part in (left[:, :kept], right[:kept].t(), values[:kept])]
    return Directions(narrow[0], narrow[1], narrow[2], share, len(values))


def added_output(x: Tensor, left: Tensor, delta: Tensor, right: Tensor) -> Tensor:
    """What the change adds to the output: U_r (delta * (V_r^T x)), for inputs x (..., d_in); (..., d_out)."""
    return (((x.to(right.dtype) @ right) * delta) @ left.t()).to(x.dtype)


def changed(weight: Tensor, left: Tensor, delta: Tensor, right: Tensor) -> Tensor:
    """W + U_r diag(delta) V_r^T in float64, rounded once to W's dtype."""
    change = (left.to(torch.float64) * delta.to(torch.float64)) @ right.to(torch.float64).t()
    return (weight.to(torch.float64) + change).to(weight.dtype)
