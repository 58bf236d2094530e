"""LoRA's equations as products of two thin factors, W' = rows * (W + left right).

LoRA (arXiv 2106.09685):   left = (alpha / r) B,  right = A
PiSSA (arXiv 2404.02948):  W = W_res + s B0 A0, trained to W_res + s B A  =  W + [s B, -s B0] [A; A0]
DoRA (arXiv 2402.09353):   W' = m (W + left right) / |W + left right| by rows, m trained
"""

import torch
from torch import Tensor


def factors(a: Tensor, b: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """The factors left (d_out, r) and right (r, d_in), float32, of trained A (r, d_in) and B (d_out, r)."""
    left = (b.detach().to(torch.float64) * scale).to(torch.float32)
    return left.contiguous(), a.detach().to(torch.float32).contiguous()


def taken_from(now: tuple[Tensor, Tensor], start: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """The difference of two products as one product of twice the rank: [left, -left0], [right; right0]."""
    return torch.cat([now[0], -start[0]], dim=1).contiguous(), torch.cat([now[1], start[1]]).contiguous()


def row_factors(weight: Tensor, left: Tensor, right: Tensor, magnitude: Tensor) -> Tensor:
    """Factors m / |W + left right| by rows, (d_out,) float32, computed in float64."""
    whole = weight.to(torch.float64) + left.to(torch.float64) @ right.to(torch.float64)
    found: Tensor = magnitude.to(torch.float64) / whole.norm(dim=1)
    return found.to(torch.float32)


def sizes(weight: Tensor, a: Tensor, b: Tensor, scale: float) -> tuple[float, float]:
    """How far one element of A and of B goes in a unit step.

    A and B that hold something move by their own root mean square; a B that starts at 0 so that the product, and with
    it W, moves by W's: rms(s step A) = s step rms(A) sqrt(r).
    """
    rms_a, rms_b = float(a.square().mean().sqrt()), float(b.square().mean().sqrt())
    if rms_b > 0:
        return rms_a, rms_b
    rms_w = float(weight.to(torch.float32).square().mean().sqrt())
    return rms_a, rms_w / max(scale * rms_a * len(a) ** 0.5, 1e-30)
