"""Whether texts that should be apart overlap: what was trained on, edited in, retrieved from, and tested with.

Two definitions, both exact: two texts share a run of `ngram` words (13 in T. Brown et al., arXiv 2005.14165, appendix
C), or the Jaccard similarity of their sets of word shingles reaches `jaccard` (A. Broder, "On the resemblance and
containment of documents", 1997). A text shorter than the run is one run of its own length, so that a short question
inside a long text is found as well. MinHash only proposes pairs, each is then compared in full; the bands are chosen so
that a pair at the threshold is proposed with a stated probability (datasketch gives the signatures).
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt

from guards.base import Score, Verdict
from guards.stats import CONFIDENCE, wilson
from registry.ranges import Count, Share, Some

Hashes = npt.NDArray[np.uint64]

NAMED = 5
"""Offending pairs that a verdict spells out; the case holds all."""

_WORD = re.compile(r"\w+")
_BASE = 0x9E3779B97F4A7C15
_REMEMBERED = 1 << 16


@dataclass(frozen=True)
class OverlapPolicy:
    """What counts as overlap, and how much of it is too much.

    Attributes:
        jaccard: similarity of shingle sets from which two texts count as near-duplicates.
        ngram: words of a run that two texts must not share.
        shortest: shorter texts, in words, are left out and counted: they say too little.
        shingle: words of a shingle.
        permutations: length of a MinHash signature.
        recall: probability with which a pair at the threshold must be proposed.
        share: largest accepted share of the second set's texts that overlap with the first set.
        judged: pairs of sets that are held against `share`; others are disclosed only (an index holds the answers that
            tests ask for by design).
    """

    jaccard: Share = 0.8
    ngram: Some = 13
    shortest: Count = 5
    shingle: Some = 3
    permutations: Some = 128
    recall: Share = 0.999
    share: Share = 0.007
    judged: tuple[str, ...] = ("train-test", "edit-test")

    def bands(self) -> tuple[int, int]:
        """Bands and rows of the signature: the most rows with which a pair at the threshold is still proposed.

        A pair of similarity s is proposed with probability 1 - (1 - s^r)^b.
        """
        for rows in range(self.permutations, 1, -1):
            count = self.permutations // rows
            if 1 - (1 - self.jaccard**rows) ** count >= self.recall:
                return count, rows
        return self.permutations, 1


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, compatibility forms folded, without punctuation."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


@lru_cache(maxsize=_REMEMBERED)
def _word_hash(word: str) -> int:
    """64 bits of a word."""
    return int.from_bytes(blake2b(word.encode(), digest_size=8).digest(), "big")


def runs(words: Sequence[str], length: int) -> Hashes:
    """A 64-bit hash of every run of `length` words, in order; empty where there are fewer words."""
    if len(words) < length:
        return np.empty(0, np.uint64)
    hashes = np.fromiter((_word_hash(word) for word in words), np.uint64, len(words))
    total = np.zeros(len(words) - length + 1, np.uint64)
    for place in range(length):
        total = total * np.uint64(_BASE) + hashes[place : place + len(total)]
    return (total ^ (total >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)


def shingles(words: Sequence[str], length: int) -> set[tuple[str, ...]]:
    """The different runs of `length` words; of a shorter text itself."""
    if len(words) < length:
        return {tuple(words)}
    return {tuple(words[place : place + length]) for place in range(len(words) - length + 1)}


def jaccard(left: Sequence[str], right: Sequence[str], length: int) -> float:
    """Jaccard similarity of two texts' shingles, 0 to 1."""
    one, other = shingles(left, length), shingles(right, length)
    return len(one & other) / len(one | other)


def shared_run(left: Sequence[str], right: Sequence[str], length: int) -> str:
    """The first run of `length` words of `right` that `left` holds; of the shorter text where one is shorter."""
    length = min(length, len(left), len(right))
    held = shingles(left, length)
    for place in range(len(right) - length + 1):
        if tuple(right[place : place + length]) in held:
            return " ".join(right[place : place + length])
    return ""


@dataclass(frozen=True)
class Signer:
    """Makes band hashes of texts: texts that share one are proposed as near-duplicates.

    Attributes:
        policy: how long, and how many bands.
        blank: the signature of nothing, whose permutations are drawn once.
    """

    policy: OverlapPolicy
    blank: Any

    @classmethod
    def of(cls, policy: OverlapPolicy) -> "Signer":
        """A signer whose permutations come from a fixed seed."""
        from datasketch import MinHash

        return cls(policy, MinHash(num_perm=policy.permutations, seed=1, hashfunc=int))

    def sign(self, words: Sequence[str]) -> list[int]:
        """One 64-bit hash per band."""
        found = runs(words, min(self.policy.shingle, len(words)))
        signature = self.blank.copy()
        signature.update_batch((np.unique(found) >> np.uint64(32)).tolist())
        count, rows = self.policy.bands()
        values = np.ascontiguousarray(signature.hashvalues[: count * rows]).reshape(count, rows)
        return [int.from_bytes(blake2b(part.tobytes(), digest_size=8).digest(), "big") for part in values]


@dataclass(frozen=True)
class Match:
    """Two texts that overlap.

    Attributes:
        left: name of the text in the first set.
        right: name of the text in the second set.
        jaccard: similarity of their shingles.
        run: a run of words that they share, "" where they share none.
    """

    left: str
    right: str
    jaccard: float
    run: str


@dataclass(frozen=True)
class OverlapCase:
    """Two sets of texts, compared.

    Attributes:
        pair: names of the sets, joined by "-".
        left: texts of the first set that were long enough.
        right: texts of the second set that were long enough.
        short: texts of either that were too short to compare.
        matches: every pair of texts that overlaps.
    """

    pair: str
    left: int
    right: int
    short: int
    matches: tuple[Match, ...]

    @property
    def touched(self) -> int:
        """Texts of the second set that overlap with at least one of the first."""
        return len({match.right for match in self.matches})


@dataclass(frozen=True)
class OverlapGuard:
    """Passes when at most `policy.share` of the second set's texts overlap with the first set.

    The share is counted over all texts, not estimated from a sample, so that it is judged itself; the interval
    beside it says what it would be worth for further texts of the kind.
    """

    policy: OverlapPolicy
    confidence: float = CONFIDENCE
    name: str = "overlap"

    def judge(self, case: OverlapCase) -> Verdict:
        """Block a judged pair with too much overlap; escalate one of which nothing could be compared."""
        name = f"{self.name}_{case.pair}"
        judged = case.pair in self.policy.judged
        sets = case.pair.replace("-", " and ")
        if not case.left or not case.right:
            words = f"expected texts of {self.policy.shortest} words or more in {sets}, found {case.left} and "
            words += f"{case.right} ({case.short} too short)"
            return Verdict(name, "escalate" if judged else "pass", f"{words}; nothing could be compared")
        found = wilson(case.touched, case.right, confidence=self.confidence)
        threshold = self.policy.share if judged else None
        scores = (Score("impact_fraction", found.value, found.low, found.high, found.n, threshold),)
        evidence = tuple((f"{one.left} ~ {one.right}", _told(one)) for one in case.matches[:NAMED])
        told = f"{case.touched} of {case.right} texts ({found.value:.2%}) overlap between {sets}"
        if judged and found.value > self.policy.share:
            most = self.policy.share
            words = f"expected at most {most:.2%}, found {told}; take the named texts out of one of the two"
            return Verdict(name, "block", words, scores, evidence)
        return Verdict(name, "pass", told if judged else f"{told}; disclosed, not judged", scores, evidence)


def fractions(cases: Sequence[OverlapCase]) -> Mapping[str, float]:
    """Impact fraction of every pair, as the evaluation card has it."""
    return {case.pair: case.touched / case.right if case.right else 0.0 for case in cases}


def _told(match: Match) -> str:
    """Why two texts overlap."""
    run = f"share {match.run!r}" if match.run else "share no run"
    return f"{run}; Jaccard {match.jaccard:.2f}"
