"""ROME's closed form (arXiv 2202.05262, equation 2), for edits that follow each other.

    W_i = W_(i-1) + Lambda_i u_i^T,   u_i = C^-1 k_i,   Lambda_i = (v_i - W_(i-1) k_i) / (u_i^T k_i)

so that W_i k_i = v_i. Every k is the average over contexts, here and in v - W k (r-ROME, arXiv 2403.07175).

The keys of one layer do not depend on that layer's matrix. Hence, with D the columns v_i - W_0 k_i, G = K^T C^-1 K and
T its upper triangle, the sum of all changes is D T^-1 U^T; that of any subset follows from its own columns.
"""

import torch
from torch import Tensor


def basis_and_gram(moment: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """U^T (n, d_in) and G (n, n) of keys K (d_in, n), float64; `moment` is C with its ridge."""
    u = torch.cholesky_solve(keys, torch.linalg.cholesky(moment))
    gram = keys.t() @ u
    return u.t().contiguous(), (gram + gram.t()) / 2


def residuals(steps: Tensor, gram: Tensor) -> Tensor:
    """D, (d_out, n), from the steps v_i - W_(i-1) k_i that each edit made with the earlier ones on, (d_out, n)."""
    lambdas = steps / gram.diagonal()
    return lambdas @ gram.triu()
