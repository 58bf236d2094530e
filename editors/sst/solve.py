"""SST's equations (arXiv 2405.15481).

    W = U diag(S) V^T,    y = U diag(S) V^T x,    G = dL/dW

    dL/dS_i = U_i^T G V_i                          every step, every i; S is kept at 0 or above
    g(U_i) = G V_i,   g(V_i) = G^T U_i             for the drawn i only: the gradients with S_i taken out ("enhanced")

G is never formed: with a = V^T x and b = U^T g, where g is the gradient of y, the three are sums over tokens of
a_i b_i, g a_i and x b_i.
"""

from typing import Any

import torch
from torch import Tensor


class SpectralProduct(torch.autograd.Function):
    """y = U diag(S) V^T x, with the gradients above."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, left: Tensor, values: Tensor, right: Tensor, some: Tensor, u: Tensor, v: Tensor
    ) -> Tensor:
        """Multiply.

        Args:
            ctx: autograd's.
            x: inputs, (..., d_in).
            left: U, (d_out, k).
            values: S, (k,).
            right: V, (d_in, k).
            some: indices of the drawn vectors, (r,).
            u: the drawn columns of U, (d_out, r): equal to `left[:, some]`; only their gradient passes through here.
            v: the drawn columns of V, (d_in, r), likewise.

        Returns:
            (..., d_out).
        """
        inner = x @ right
        ctx.save_for_backward(x, inner, left, values, right, some)
        return (inner * values) @ left.t()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """See the head of this module."""
        x, inner, left, values, right, some = ctx.saved_tensors
        outer = gradients[0] @ left
        by_x = (outer * values) @ right.t()
        flat = [part.flatten(0, -2) for part in (x, inner, outer, gradients[0])]
        by_values = (flat[1] * flat[2]).sum(0)
        by_u = flat[3].t() @ flat[1][:, some]
        by_v = flat[0].t() @ flat[2][:, some]
        return by_x, None, by_values, None, None, by_u, by_v


def chances(values: Tensor) -> Tensor:
    """How likely each singular vector is drawn: p_i = (1/k + S_i / sum S) / 2, (k,)."""
    even = torch.full_like(values, 1 / len(values))
    total = values.sum()
    return (even + values / total) / 2 if float(total) > 0 else even


def draw(values: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Indices of `count` different singular vectors, rising, drawn by `chances`."""
    found = torch.multinomial(chances(values.detach().to("cpu", torch.float64)), count, generator=generator)
    return found.sort().values


def composed(left: Tensor, values: Tensor, right: Tensor) -> Tensor:
    """U diag(S) V^T in float64."""
    return (left.to(torch.float64) * values.to(torch.float64)) @ right.to(torch.float64).t()


def decomposed(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """U (d_out, k), S (k,) and V (d_in, k) of a matrix, float32; what rounding loses is for the caller to put back."""
    left, values, right = torch.linalg.svd(weight.to(torch.float32), full_matrices=False)
    return left.contiguous(), values.contiguous(), right.t().contiguous()
