"""The equations of hybrid search: tokens for BM25, exact ranking, reciprocal rank fusion."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from registry.text import normalise

Scores = NDArray[np.float32]
Rows = NDArray[np.int64]


def words(text: str) -> list[str]:
    """The words that BM25 counts: case, diacritics and punctuation folded."""
    return normalise(text).split()


def ranking(scores: Scores, allowed: Rows, depth: int, *, above: float = -np.inf) -> Rows:
    """The `depth` best of the `allowed` rows, best first; equal scores keep the order of the rows.

    Args:
        scores: one per row, shape (n,).
        allowed: rows that may be returned, ascending.
        depth: how many at most.
        above: rows that score no more than this are left out.
    """
    chosen = allowed[scores[allowed] > above]
    order = np.argsort(-scores[chosen], kind="stable")[:depth]
    return chosen[order]


def fuse(rankings: Sequence[Rows], k: int) -> list[tuple[int, float]]:
    """Reciprocal rank fusion: a row's score is the sum over the rankings of 1 / (k + rank), rank from 1.

    Cormack, Clarke and Buettcher, "Reciprocal rank fusion outperforms Condorcet and individual rank learning
    methods", SIGIR 2009. Best first; equal scores are ordered by row.
    """
    total: dict[int, float] = {}
    for rows in rankings:
        for rank, row in enumerate(rows.tolist(), start=1):
            total[row] = total.get(row, 0.0) + 1.0 / (k + rank)
    return sorted(total.items(), key=lambda item: (-item[1], item[0]))
