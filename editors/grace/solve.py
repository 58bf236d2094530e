"""GRACE's rules (arXiv 2211.11031, section 3): whom a code book serves, and with what."""

import torch
from torch import Tensor

HIT = 0.05
"""Distances below this share of the radius count as equal: a prompt that was edited twice hits both entries."""


def radius(length: float, nearest: float, share: float, clear: float) -> float:
    """Deferral radius of an entry: `share` of its key's length, at most `clear` of the way to the nearest other key."""
    return min(share * length, clear * nearest)


def claims(queries: Tensor, keys: Tensor, radii: Tensor) -> Tensor:
    """Radius / distance, (B, n): above 1 inside an entry's ball; the nearest entry has most where balls overlap.

    Balls of different values that overlap are thereby split half-way between their keys, as in the paper, and taking
    an entry out needs no other entry to be mended.

    Args:
        queries: (B, d_in).
        keys: (n, d_in).
        radii: (n,).
    """
    apart = torch.cdist(queries[None], keys[None], compute_mode="donot_use_mm_for_euclid_dist")[0]
    floor = HIT * radii.clamp(min=torch.finfo(radii.dtype).tiny)
    return radii / torch.maximum(apart, floor)
