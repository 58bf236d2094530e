"""MEMIT's closed form (arXiv 2210.07229, equations 14 and 15).

    delta = argmin of  |delta K - R|^2 + weight tr(delta C delta^T)  =  R K^T (weight C + K K^T)^-1

With M = (weight C)^-1, U = M K and G = K^T M K, Woodbury's identity gives

    delta = R (I + G)^-1 U^T

so that one Cholesky factor of C per layer serves every batch, and the remaining solve is n by n.
"""

import torch
from torch import Tensor


def basis_and_gram(moment: Tensor, keys: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    """U^T and G.

    Args:
        moment: C with its ridge, (d_in, d_in) float64.
        keys: K, (d_in, n) float64.
        weight: lambda.

    Returns:
        U^T (n, d_in) and G (n, n), float64.
    """
    factor = torch.linalg.cholesky(moment * weight)
    u = torch.cholesky_solve(keys, factor)
    gram = keys.t() @ u
    return u.t().contiguous(), (gram + gram.t()) / 2


def share(targets: Tensor, current: Tensor, layers_left: int) -> Tensor:
    """R: this layer's share of what is still missing, (d, n) (equation 20)."""
    return (targets - current) / layers_left
