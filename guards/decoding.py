"""Does a hidden state still hold the object? A linear probe, learnt on other facts of the relation.

A ridge map from the hidden state of a prompt to the embedding of the object is learnt on facts that are not forgotten;
the state of a forgotten fact's prompt goes through it, and all objects of the relation are ranked by how near they are.
If the state says nothing about the object, its rank is as good as drawn: rank / candidates is a p-value. The same is
asked of a model that never knew the fact, since a relation alone makes some objects likelier than others; and of the
facts the map was learnt on, each left out in turn: where the probe does not find those, it shows nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
LEAST = 20
"""Facts of a relation below which nothing is learnt."""
TOP = 0.1
"""Share of the candidates among which a left-out fact's own object counts as found."""


@dataclass(frozen=True)
class Found:
    """What the probe makes of one fact.

    Attributes:
        rank: of its object among the candidates, from 1; ties count half.
        candidates: how many there are.
        known: share of the facts it was learnt on whose object it finds when they are left out.
    """

    rank: float
    candidates: int
    known: float

    @property
    def p(self) -> float:
        """Probability of so good a rank if the state said nothing."""
        return self.rank / self.candidates


def decode(states: Sequence[Array], objects: Array, own: Sequence[int], state: Sequence[Array], wanted: int) -> Found:
    """Rank the objects of a relation by what the state of one prompt says.

    Args:
        states: per layer, the states of the facts to learn on, shape (n, d).
        objects: embeddings of all candidate objects, shape (k, e).
        own: which candidate each of the n facts has.
        state: per layer, the state of the prompt, shape (d,).
        wanted: which candidate it should be.

    Raises:
        ValueError: fewer facts than `LEAST`, or shapes that do not fit.
    """
    if len(own) < LEAST or any(len(one) != len(own) for one in states):
        raise ValueError(f"at least {LEAST} facts, and a state of each at every layer; got {len(own)}")
    kinds = _unit(objects - objects.mean(axis=0))
    targets = kinds[list(own)]
    asked, left_out = np.zeros(len(objects)), np.zeros((len(own), len(objects)))
    for known, one in zip(states, state, strict=True):
        said, others = _ridge(known, targets, one)
        asked += _standard(_unit(said) @ kinds.T)
        left_out += _standard(_unit(others) @ kinds.T)
    ranks = np.array([_rank(scores, place) for scores, place in zip(left_out, own, strict=True)])
    return Found(_rank(asked, wanted), len(objects), float(np.mean(ranks <= max(1.0, TOP * len(objects)))))


def combined_p(found: Sequence[Found]) -> float:
    """Fisher's combination of the p-values of several facts; 1 of none."""
    from scipy.stats import chi2

    if not found:
        return 1.0
    return float(chi2.sf(-2 * sum(np.log(one.p) for one in found), 2 * len(found)))


def _ridge(states: Array, targets: Array, asked: Array) -> tuple[Array, Array]:
    """The prediction for one state, and for each that was learnt on with it left out."""
    middle, mean = states.mean(axis=0), targets.mean(axis=0)
    centred = states - middle
    gram = centred @ centred.T
    inverse = np.linalg.inv(gram + np.trace(gram) / len(gram) * np.eye(len(gram)))
    weights = inverse @ (targets - mean)
    left_out = targets - weights / np.diag(inverse)[:, None]
    return mean + (asked - middle) @ centred.T @ weights, left_out


def _unit(rows: Array) -> Array:
    """Rows of length one."""
    found: Array = rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)
    return found


def _standard(scores: Array) -> Array:
    """Scores of one layer on one scale with those of others."""
    spread = np.maximum(scores.std(axis=-1, keepdims=True), 1e-12)
    found: Array = (scores - scores.mean(axis=-1, keepdims=True)) / spread
    return found


def _rank(scores: Array, wanted: int) -> float:
    """Place of one score among all, from 1; ties count half."""
    return float(1 + np.sum(scores > scores[wanted]) + (np.sum(scores == scores[wanted]) - 1) / 2)
