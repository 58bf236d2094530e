"""Which texts are copies of one another, also when a few words were changed.

Two texts are near copies when the sets of their runs of five letters overlap enough (Jaccard). MinHash with
locality-sensitive hashing (A. Broder, "On the resemblance and containment of documents", 1997; datasketch) proposes
the pairs, the sets themselves decide, so that the work grows with the number of texts and not with its square.
"""

from collections.abc import Callable, Mapping, Sequence

from registry.text import normalise

NEAR_COPY = 0.45
"""Overlap from which two texts are one. Two ways of writing one claim overlap by less in 99 % of pairs; a text of which
one word in ten was changed or left out overlaps by more in 99 % (docs/guards.md)."""
MIN_CHARS, RUN = 40, 5
_PAIRWISE, _PERMUTATIONS, _SLACK = 12, 128, 0.1


def runs(text: str) -> frozenset[str]:
    """Runs of five letters of a normalised text; nothing for one that is too short to tell a copy from a chance."""
    plain = normalise(text)
    if len(text) < MIN_CHARS or len(plain) < MIN_CHARS // 2:
        return frozenset()
    return frozenset(plain[place : place + RUN] for place in range(len(plain) - RUN + 1))


def overlap(one: frozenset[str], other: frozenset[str]) -> float:
    """Jaccard overlap, 0 to 1; 0 where both are empty."""
    both = len(one & other)
    return both / (len(one) + len(other) - both) if both else 0.0


def near_copies(texts: Sequence[str], enough: float = NEAR_COPY) -> dict[int, int]:
    """The earlier text of which each later one is a near copy, by position; originals are left out.

    Args:
        texts: in the order in which they arrived; one that is too short is no copy of any.
        enough: overlap from which two texts count as one, 0 to 1.
    """
    marks = {place: found for place, text in enumerate(texts) if (found := runs(text))}
    likely, keep = _pairwise() if len(marks) <= _PAIRWISE else _hashed(marks, enough)
    copies: dict[int, int] = {}
    for place, mark in marks.items():
        original = next((each for each in likely(place) if overlap(mark, marks[each]) >= enough), None)
        if original is None:
            keep(place)
        else:
            copies[place] = original
    return copies


_Likely = Callable[[int], Sequence[int]]
_Keep = Callable[[int], None]


def _pairwise() -> tuple[_Likely, _Keep]:
    """Every original is a likely one; for few texts this is less work than hashing."""
    originals: list[int] = []
    return (lambda _: originals), originals.append


def _hashed(marks: Mapping[int, frozenset[str]], enough: float) -> tuple[_Likely, _Keep]:
    """Likely originals from buckets of MinHash bands; the bands are set a little below `enough`, to miss few."""
    from zlib import crc32

    from datasketch import MinHash, MinHashLSH

    buckets = MinHashLSH(threshold=max(0.05, enough - _SLACK), num_perm=_PERMUTATIONS)
    hashes: dict[int, MinHash] = {}

    def hashed(place: int) -> MinHash:
        if place not in hashes:
            hashes.clear()  # only the text at hand is needed again
            made = MinHash(num_perm=_PERMUTATIONS, hashfunc=crc32)
            made.update_batch(run.encode() for run in marks[place])
            hashes[place] = made
        return hashes[place]

    return (lambda place: sorted(buckets.query(hashed(place)))), (lambda place: buckets.insert(place, hashed(place)))
