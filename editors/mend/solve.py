"""MEND's equations (Mitchell et al., arXiv 2110.11309, sections 3.1 and 3.2).

The gradient of a loss with respect to the matrix W_l of a linear layer is a sum of rank-one terms, one per token t:

    dL/dW_l = sum_t  delta_t u_t^T                                            (equation 2)

with u_t the layer's input and delta_t the gradient with respect to its output. A network g maps z = concat(u, delta),
normalised to zero mean and unit variance, to pseudo-activations and pseudo-deltas:

    h = z + relu(s1 * (U1 V1 z) + o1),     g(z) = h + relu(s2 * (U2 V2 h) + o2)                 (equations 3a, 3b)
    W_l <- W_l - alpha_l sum_t  delta~_t u~_t^T                                                 (equation 4)

U, V are shared by the layers of one shape; s, o and alpha are each layer's own. With U = 0, s = 1 and o = 0 the network
is the identity, and equation 4 a step of fine-tuning. What g changes is scaled back by the deviations, so that the
identity is exact (the authors' code hands on the normalised values).
"""

from collections.abc import Mapping

import torch
from torch import Tensor

MATRICES = ("v1", "u1", "v2", "u2")
"""Shared: v (rank, d_in + d_out), u (d_in + d_out, rank)."""

MODES = ("s1", "o1", "s2", "o2")
"""Each layer's own: (layers, d_in + d_out)."""

NORMS = ("mean", "std")
"""Each layer's own, fixed before training: (layers, d_in + d_out)."""


def gradient(inputs: Tensor, deltas: Tensor) -> Tensor:
    """Equation 2: the gradient (d_out, d_in) from inputs (tokens, d_in) and deltas (tokens, d_out)."""
    return deltas.t() @ inputs


def rectify(x: Tensor) -> Tensor:
    """Rectifier whose derivative at 0 is 1, so that a network that starts as the identity can leave it."""
    return x.clamp(min=0)


def transform(inputs: Tensor, deltas: Tensor, numbers: Mapping[str, Tensor], layer: int) -> tuple[Tensor, Tensor]:
    """Equations 3a and 3b: pseudo-activations (tokens, d_in) and pseudo-deltas (tokens, d_out).

    Args:
        inputs: u, (tokens, d_in).
        deltas: delta, (tokens, d_out).
        numbers: the tensors of `MATRICES`, `MODES` and `NORMS` by name.
        layer: position of the layer among those that share the matrices.
    """
    both = torch.cat([inputs, deltas], dim=-1)
    std = numbers["std"][layer]
    z = (both - numbers["mean"][layer]) / std
    change = rectify(numbers["s1"][layer] * (z @ numbers["v1"].t() @ numbers["u1"].t()) + numbers["o1"][layer])
    h = z + change
    change = change + rectify(numbers["s2"][layer] * (h @ numbers["v2"].t() @ numbers["u2"].t()) + numbers["o2"][layer])
    moved = both + std * change
    return moved[..., : inputs.shape[-1]], moved[..., inputs.shape[-1] :]


def initial(both: list[Tensor], rank: int, generator: torch.Generator) -> dict[str, Tensor]:
    """The numbers of a network that is the identity.

    Args:
        both: concat(u, delta) of training tokens of every layer, each (tokens, d_in + d_out).
        rank: rank of the shared matrices.
        generator: source of the start of V (Xavier's normal).
    """
    width = both[0].shape[1]
    numbers: dict[str, Tensor] = {}
    for index in ("1", "2"):
        start = torch.randn(rank, width, generator=generator) * (2 / (rank + width)) ** 0.5
        numbers |= {f"v{index}": start, f"u{index}": torch.zeros(width, rank)}
        numbers |= {f"s{index}": torch.ones(len(both), width), f"o{index}": torch.zeros(len(both), width)}
    std = torch.stack([part.std(0) for part in both])
    floor = 1e-6 * std.square().mean(1, keepdim=True).sqrt()
    return numbers | {"mean": torch.stack([part.mean(0) for part in both]), "std": torch.maximum(std, floor)}
