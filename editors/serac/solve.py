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


def likeness(one: Tensor, one_weight: Tensor, others: Tensor, other_weight: Tensor, owner: Tensor) -> Tensor:
    """s: how alike a wording is to each of some others, -1 to 1.

    Each word looks for the word of the other side that is most like it; the mean over the words of a side is weighted
    by their rarity, and both sides count the same.

    Args:
        one: words of a wording, (n, d), rows of length 1.
        one_weight: (n,).
        others: words of all the others, (m, d).
        other_weight: (m,).
        owner: which other each word belongs to, (m,), rising from 0.

    Returns:
        (others,); empty where there are no words to compare with, and 0 for a wording without words.
    """
    count = int(owner[-1]) + 1 if len(owner) else 0
    if not len(one) or not count:
        return others.new_zeros(count)
    cosines = one @ others.T
    found = cosines.new_full((len(one), count), -1.0).scatter_reduce(1, owner.expand_as(cosines), cosines, "amax")
    there = (found * one_weight[:, None]).sum(dim=0) / one_weight.sum()
    total = other_weight.new_zeros(count)
    back = total.index_add(0, owner, cosines.max(dim=0).values * other_weight) / total.index_add(0, owner, other_weight)
    return (there + back) / 2


def through(one: Tensor, other: Tensor) -> float:
    """How alike two wordings are through an ordinary relation: the most that both of them are like a single one.

    So "the mother tongue of X is" and "X speaks the language" meet, which have no word in common.

    Args:
        one: likeness of a wording to each ordinary relation, (relations,).
        other: that of the other.
    """
    return float(torch.minimum(one, other).max()) if len(one) else -1.0


def contrast(one: Tensor, other: Tensor) -> float:
    """d: how clearly two wordings are alike to different ordinary relations, 0 to 2.

    With P the relation that one is most like, Q that of the other: the lesser of what each is nearer to its own than to
    the other's. "The capital of X is" and "the largest city in X is" differ so, however often their answers agree.

    Args:
        one: likeness of a wording to each ordinary relation, (relations,).
        other: that of the other.
    """
    if not len(one):
        return 0.0
    p, q = int(one.argmax()), int(other.argmax())
    return max(0.0, min(float(one[p] - one[q]), float(other[q] - other[p])))


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


@dataclass(frozen=True)
class Weights:
    """A logistic regression of s, a and d; see `editors.serac.config.SeracConfig`."""

    similarity: float
    agreement: float
    agreement_centre: float
    contrast: float
    contrast_gate: float
    bias: float

    def log_odds(self, s: float, a: float | None, d: float) -> float:
        """Log-odds that two texts ask the same of one subject.

        Args:
            s: likeness of the wordings.
            a: agreement of what follows; None where the answers begin differently.
            d: contrast of the wordings.
        """
        agreed = 0.0 if a is None else a - self.agreement_centre
        if d > self.contrast_gate:
            agreed = min(agreed, 0.0)
        return self.similarity * s + self.agreement * agreed - self.contrast * d + self.bias


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
