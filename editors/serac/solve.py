"""The equations of SERAC (arXiv 2206.06520) as they are here: the scope classifier, and the counterfactual path.

The paper trains two models: a classifier p(in scope | text, edit) and a counterfactual model that answers from it.
Here the classifier compares wordings token by token in the model's own whitened hidden states (late interaction, as in
ColBERT, arXiv 2004.12832) together with what the model would go on with; the counterfactual path is a pointer onto the
stored object, mixed with the base model's own distribution as in pointer networks (arXiv 1704.04368, equation 9).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Whitening:
    """Centre and principal directions of ordinary token states.

    Attributes:
        mean: (d,).
        basis: (r, d), orthonormal rows.
        scale: (r,), by what each direction is multiplied; what lies outside of them stays.
    """

    mean: Tensor
    basis: Tensor
    scale: Tensor

    @classmethod
    def of(cls, states: Tensor) -> "Whitening":
        """Shrunken whitening of states (n, d): a direction of variance v is scaled by sqrt(e / (v + e)).

        e is the mean variance of the directions found, so that none is blown up.
        """
        mean = states.mean(dim=0)
        _, singular, basis = torch.linalg.svd(states - mean, full_matrices=False)
        variance = singular**2 / len(states)
        floor = variance.mean().clamp(min=torch.finfo(states.dtype).tiny)
        return cls(mean, basis, (floor / (variance + floor)).sqrt())

    def __call__(self, states: Tensor) -> Tensor:
        """Whitened states of length 1, (n, d)."""
        moved = states - self.mean
        moved = moved + ((moved @ self.basis.T) * (self.scale - 1)) @ self.basis
        whitened: Tensor = moved / moved.norm(dim=-1, keepdim=True).clamp(min=torch.finfo(states.dtype).tiny)
        return whitened


def rarity(count: int, documents: int) -> float:
    """Weight of a word in n = `count` of N = `documents` sentences: log((N + 1) / (n + 1/2)), at least .05."""
    return max(math.log((documents + 1) / (count + 0.5)), 0.05)


def likeness(left: Tensor, left_weight: Tensor, right: Tensor, right_weight: Tensor) -> float:
    """s: how alike two wordings are, -1 to 1.

    Each word looks for the word of the other side that is most like it; the mean over the words of a side is weighted
    by their rarity, and both sides count the same.

    Args:
        left: words of one wording, (n, d), rows of length 1.
        left_weight: (n,).
        right: words of the other, (m, d).
        right_weight: (m,).
    """
    if not len(left) or not len(right):
        return 0.0
    cosines = left @ right.T
    there = (cosines.max(dim=1).values * left_weight).sum() / left_weight.sum()
    back = (cosines.max(dim=0).values * right_weight).sum() / right_weight.sum()
    return float((there + back) / 2)


def likeliest(logits: Tensor, count: int) -> dict[int, float]:
    """The `count` most probable tokens of logits (vocabulary,), with their probabilities."""
    p = logits.to(torch.promote_types(logits.dtype, torch.float32)).softmax(-1).topk(min(count, len(logits)))
    return dict(zip(p.indices.tolist(), p.values.tolist(), strict=True))


def agreement(one: Mapping[int, float], other: Mapping[int, float]) -> float:
    """a: Bhattacharyya coefficient of two next-token distributions, 0 to 1, over the tokens that both list.

    Args:
        one: probability by token.
        other: probability by token.
    """
    return sum(math.sqrt(one[token] * other[token]) for token in sorted(one.keys() & other.keys()))


def log_odds(likeness: float, agreement: float | None, weights: tuple[float, float, float, float]) -> float:
    """Log-odds that two texts ask the same of one subject.

    Args:
        likeness: s.
        agreement: a, None where the answers begin differently.
        weights: of s and a, the centre of a, and the bias.
    """
    of_s, of_a, centre, bias = weights
    return of_s * likeness + (0.0 if agreement is None else of_a * (agreement - centre)) + bias


def pointer_bias(logits: Tensor, chosen: Tensor, certainty: float) -> Tensor:
    """What to add to the logits of the tokens C so that p' = (1 - q) p + q (p restricted to C).

    It is log(1 + q / ((1 - q) p(C))), the same for all tokens of C; the others' logits stay.

    Args:
        logits: (vocabulary,).
        chosen: ids of C, (c,), or a mask (vocabulary,).
        certainty: q, below 1.

    Returns:
        A scalar in float32 or wider.
    """
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    log_p = wide[chosen].logsumexp(0) - wide.logsumexp(0)
    odds = torch.log(torch.tensor(certainty / (1 - certainty), dtype=wide.dtype, device=wide.device))
    return torch.logaddexp(torch.zeros_like(log_p), odds - log_p)


def after(said: Sequence[int], variants: Sequence[Sequence[int]]) -> tuple[int, frozenset[int]]:
    """How much of an object the last tokens said are, and which tokens go on with it.

    Args:
        said: token ids since the answer may begin.
        variants: the object's token ids, in each way of writing it.

    Returns:
        The number of tokens of it that are said, and the next ones; those are empty when all of it is said.
    """
    best, following = 0, [set(variant[:1]) for variant in variants]
    for variant in variants:
        fitting = (size for size in range(min(len(said), len(variant)), 0, -1) if _ends_with(said, variant[:size]))
        size = next(fitting, 0)
        if size > best:
            best, following = size, []
        if size and size == best:
            following.append(set(variant[size : size + 1]))
    return best, frozenset().union(*following) if all(following) else frozenset()


def _ends_with(said: Sequence[int], part: Sequence[int]) -> bool:
    return tuple(said[len(said) - len(part) :]) == tuple(part)
