"""Merkle tree hashing of RFC 6962, section 2.1: what one root says about a whole log.

A leaf is SHA-256(0x00 || data), a node SHA-256(0x01 || left || right), so that no leaf can pass for a node. The tree
over n leaves splits at the largest power of two below n. A log that only grows needs no more than its `Frontier`: the
roots of the full subtrees from left to right, one per bit that is set in n. Appending costs O(log n) hashes.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

LEAF, NODE = b"\x00", b"\x01"
HASH_BYTES = 32


def leaf_hash(data: bytes) -> bytes:
    """Hash of one leaf."""
    return hashlib.sha256(LEAF + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node over two subtrees."""
    return hashlib.sha256(NODE + left + right).digest()


@dataclass(frozen=True)
class Frontier:
    """The right edge of a growing tree.

    Attributes:
        size: number of leaves.
        peaks: roots of its full subtrees, the largest (leftmost) first; as many as `size` has bits set.
    """

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        """Refuse peaks that cannot belong to a tree of this size.

        Raises:
            ValueError: their number differs from the bits set in `size`, or one has the wrong length.
        """
        if len(self.peaks) != self.size.bit_count() or any(len(peak) != HASH_BYTES for peak in self.peaks):
            raise ValueError(f"{len(self.peaks)} peaks do not belong to a tree of {self.size} leaves")

    def append(self, leaf: bytes) -> Self:
        """The frontier with one more leaf hash: it merges with every full subtree of its own height."""
        peaks = list(self.peaks)
        height = self.size
        while height & 1:
            leaf = node_hash(peaks.pop(), leaf)
            height >>= 1
        return type(self)(self.size + 1, (*peaks, leaf))

    @property
    def root(self) -> bytes:
        """Root of the whole tree; of the empty tree SHA-256 of nothing."""
        if not self.peaks:
            return hashlib.sha256(b"").digest()
        *rest, root = self.peaks
        for peak in reversed(rest):
            root = node_hash(peak, root)
        return root


def tree_root(leaves: Iterable[bytes]) -> bytes:
    """Root over leaf hashes."""
    frontier = Frontier()
    for leaf in leaves:
        frontier = frontier.append(leaf)
    return frontier.root
