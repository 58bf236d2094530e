"""WISE's equations (arXiv 2405.14768, section 3) for updates of rank one.

    W_v' = W_v + M * (delta u^T),    D(x) = max over tokens t of |(W_v' - W_v) a_t| / |delta| = max |u^T a_t|
    L_a  = mean max(0, D(x_irr) - alpha) + mean max(0, beta - D(x_e)) + mean max(0, gamma - (D(x_e) - D(x_irr)))

M keeps some columns (input neurons), the same for the whole update, so that u lives on those alone. delta is what the
object's likelihood asks for; u decides whom it reaches. Here u starts from the ridge solution that answers 1 to the
subject's keys and 0 to all others, and takes steps on L_a where that does not meet the margins.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

PULL = 0.3
"""Weight of the subject's keys beside all others in the ridge solution."""

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-12
"""Adam's constants."""


@dataclass(frozen=True)
class Margins:
    """alpha, beta and gamma, in units of the fact's own full effect."""

    alpha: float
    beta: float
    gamma: float


def mask(seed: str, width: int, share: float) -> Tensor:
    """The neurons that an update may write to: a sorted sample of `share` of `width`, the same on every machine."""
    count = max(1, round(width * share))
    return torch.tensor(sorted(random.Random(seed).sample(range(width), min(count, width))))


def activation(reader: Tensor, keys: Tensor) -> Tensor:
    """D of texts: max over tokens of |u^T a|, (n,).

    Args:
        reader: u, (r,).
        keys: (n, T, r), zero at padding.
    """
    found: Tensor = (keys @ reader).abs().amax(dim=-1)
    return found


def margin_loss(edited: Tensor, irrelevant: Tensor, margins: Margins) -> Tensor:
    """L_a for activations of the fact's own texts (P,) and of irrelevant ones (N,)."""
    apart = edited[:, None] - irrelevant[None]
    return (
        (irrelevant - margins.alpha).clamp(min=0).mean()
        + (margins.beta - edited).clamp(min=0).mean()
        + (margins.gamma - apart).clamp(min=0).mean()
    )


def ridge_reader(subject: Tensor, others: Tensor, ridge: float) -> Tensor:
    """Argmin of mean (u^T a)^2 over others + PULL mean (u^T k - 1)^2 + ridge c |u|^2, scaled to mean u^T k = 1.

    Args:
        subject: keys at the subject, (P, r).
        others: all other keys, (m, r).
        ridge: relative to c, the mean square of their entries.
    """
    moment = others.t() @ others / len(others)
    own = subject.t() @ subject / len(subject)
    scale = moment.diagonal().mean().clamp(min=torch.finfo(moment.dtype).tiny)
    system = moment + PULL * own + ridge * scale * torch.eye(len(moment), dtype=moment.dtype)
    u: Tensor = torch.linalg.solve(system, PULL * subject.mean(0))
    return u / (subject @ u).mean()


def trained_reader(start: Tensor, subject: Tensor, texts: Tensor, margins: Margins, steps: int, lr: float) -> Tensor:
    """The reader with the least L_a + mean (u^T k - 1)^2 that Adam met from `start` on; `start` if it has no L_a.

    Args:
        start: u, (r,).
        subject: keys at the subject, one of each own text, (P, r).
        texts: keys of irrelevant texts, (N, T, r), zero at padding.
        margins: of the loss.
        steps: most steps.
        lr: relative to |start| / sqrt r.
    """
    scale = start.norm() / len(start) ** 0.5
    u, best, least = start, start, float("inf")
    m, v = torch.zeros_like(u), torch.zeros_like(u)
    for step in range(1, steps + 2):
        with torch.enable_grad():
            u = u.detach().requires_grad_()
            values = subject @ u
            margin = margin_loss(values, activation(u, texts), margins)
            loss = margin + (values - 1).square().mean()
            (gradient,) = torch.autograd.grad(loss, u)
        if float(loss.detach()) < least:
            best, least = u.detach(), float(loss.detach())
        if float(margin.detach()) == 0 or step > steps:
            break
        gradient = gradient * scale
        m = BETA1 * m + (1 - BETA1) * gradient
        v = BETA2 * v + (1 - BETA2) * gradient.square()
        u = u - lr * scale * (m / (1 - BETA1**step)) / ((v / (1 - BETA2**step)).sqrt() + EPSILON)
    return best


def ties(updates: Sequence[Tensor], density: float) -> Tensor:
    """TIES (arXiv 2306.01708): trim, elect a sign per entry, mean of those that agree with it.

    Args:
        updates: matrices of one shape, zero outside of their masks.
        density: share of each update's nonzero entries that is kept, the largest; a single update is not trimmed.
    """
    if len(updates) == 1:
        return updates[0]
    kept = []
    for update in updates:
        sizes = update.abs().flatten()
        count = max(1, round(int((sizes > 0).sum()) * density))
        least = sizes.kthvalue(len(sizes) - count + 1).values
        kept.append(torch.where(update.abs() >= least, update, torch.zeros_like(update)))
    stacked = torch.stack(kept)
    sign = stacked.sum(0).sign()
    agree = (stacked.sign() == sign) & (stacked != 0)
    merged: Tensor = torch.where(agree, stacked, 0).sum(0) / agree.sum(0).clamp(min=1)
    return merged
