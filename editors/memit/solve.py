"""MEMIT's closed form (arXiv 2210.07229, equations 14 and 15).

    delta = argmin of  |delta K - R|^2 + weight tr(delta C delta^T)  =  R K^T (weight C + K K^T)^-1

With M = (weight C)^-1, U = M K and G = K^T M K, Woodbury's identity gives

    delta = R (I + G)^-1 U^T

so that the remaining solve is n by n. Where keys are to be kept, weight C + K_p K_p^T stands in place of weight C.
"""

import torch
from torch import Tensor


def metric_factor(moment: Tensor, weight: float, kept: Tensor | None = None) -> Tensor:
    """Lower Cholesky factor of lambda C + K_p K_p^T, which does not depend on the edits' keys: one serves every solve.

    Args:
        moment: C with its ridge, (d_in, d_in) float64.
        weight: lambda.
        kept: keys that shall not move, (d_in, m) float64; each counts by its squared length beside lambda C.
    """
    metric = moment * weight if kept is None else torch.addmm(moment * weight, kept, kept.t())
    factor: Tensor = torch.linalg.cholesky(metric)
    return factor


def basis_and_gram(factor: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """U^T and G.

    Args:
        factor: see `metric_factor`.
        keys: K, (d_in, n) float64.

    Returns:
        U^T (n, d_in) and G (n, n), float64.
    """
    return _through(torch.cholesky_solve(keys, factor), keys)


def null_space(moment: Tensor, threshold: float) -> Tensor:
    """Eigenvectors of C, (d_in, r), whose eigenvalues lie below `threshold` times their mean."""
    values, vectors = torch.linalg.eigh(moment)
    null: Tensor = vectors[:, values < threshold * values.mean()]
    return null


def null_basis_and_gram(null: Tensor, keys: Tensor, ridge: float, kept: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """U^T and G of AlphaEdit (arXiv 2410.02355, equation 14).

        delta = R K^T P (K K^T P + K_p K_p^T P + ridge I)^-1,     P = V V^T

    which has the form of `basis_and_gram` with M = V (ridge I + V^T K_p K_p^T V)^-1 V^T.

    Args:
        null: V, (d_in, r) float64, orthonormal.
        keys: K, (d_in, n) float64.
        ridge: weight of the change's own size, relative to the mean squared length of the keys.
        kept: K_p, keys of earlier edits, (d_in, m) float64.
    """
    inner = null.t() @ keys
    size = ridge * float(keys.square().sum(0).mean())
    metric = torch.eye(null.shape[1], dtype=null.dtype) * size
    if kept is not None:
        seen = null.t() @ kept
        metric = torch.addmm(metric, seen, seen.t())
    return _through(null @ torch.cholesky_solve(inner, torch.linalg.cholesky(metric)), keys)


def _through(u: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """U^T and G from U."""
    gram = keys.t() @ u
    return u.t().contiguous(), (gram + gram.t()) / 2


def share(targets: Tensor, current: Tensor, layers_left: int) -> Tensor:
    """R: this layer's share of what is still missing, (d, n) (equation 20)."""
    return (targets - current) / layers_left
