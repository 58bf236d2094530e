"""Proofs over the log's Merkle tree (RFC 9162, sections 2.1.3 and 2.1.4): a few hashes instead of the whole log.

An inclusion proof shows that one leaf is in the tree of a given root; a consistency proof shows that a larger tree
begins with the very leaves of a smaller one. Both have about log2(size) hashes. Making them needs the leaf hashes,
checking them needs the roots alone.

    tree = Tree.of(leaves)
    check_inclusion(leaves[3], 3, tree.size, tree.inclusion(3), tree.root())
    check_consistency(5, tree.size, tree.consistency(5), tree.root(5), tree.root())
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from registry.errors import InputError, IntegrityError
from registry.merkle import HASH_BYTES, Frontier, node_hash


@dataclass(frozen=True)
class Tree:
    """All full subtrees of a log, from which any root or proof takes O(log n) steps.

    Attributes:
        levels: level k holds the roots of the full subtrees of 2**k leaves from left to right; level 0 the leaf hashes.
    """

    levels: tuple[tuple[bytes, ...], ...]

    @classmethod
    def of(cls, leaves: Iterable[bytes]) -> Self:
        """The tree over leaf hashes.

        Raises:
            InputError: one is no hash.
        """
        level = tuple(leaves)
        for place, leaf in enumerate(level):
            if len(leaf) != HASH_BYTES:
                raise InputError(f"leaf hashes of {HASH_BYTES} bytes", f"{len(leaf)} bytes at leaf {place}", "hash it")
        levels = [level]
        while len(level) > 1:
            level = tuple(node_hash(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2))
            levels.append(level)
        return cls(tuple(levels))

    @property
    def size(self) -> int:
        """Number of leaves."""
        return len(self.levels[0])

    def root(self, size: int | None = None) -> bytes:
        """Root over the first `size` leaves, over all of them by default.

        Raises:
            InputError: there are not so many.
        """
        end = self.size if size is None else size
        if not 0 <= end <= self.size:
            raise InputError(f"a size from 0 to {self.size}", str(end), "take a larger log or a smaller size")
        return self._range(0, end) if end else Frontier().root

    def inclusion(self, index: int, size: int | None = None) -> list[bytes]:
        """Proof that leaf `index` is in the tree over the first `size` leaves: the siblings on its way up.

        Raises:
            InputError: there is no such leaf in a tree of that size, or no such size.
        """
        end = self.size if size is None else size
        if not 0 <= index < end <= self.size:
            expected = f"a leaf below the size and a size of at most {self.size}"
            raise InputError(expected, f"leaf {index} of {end}", "count leaves from 0")
        path, start = [], 0
        while end - start > 1:
            middle = start + _split(end - start)
            if index < middle:
                path.append(self._range(middle, end))
                end = middle
            else:
                path.append(self._range(start, middle))
                start = middle
        return path[::-1]

    def consistency(self, first: int, second: int | None = None) -> list[bytes]:
        """Proof that the tree over `second` leaves begins with the one over `first` leaves.

        Raises:
            InputError: the sizes are no sizes of this log in this order, or the first is empty.
        """
        end = self.size if second is None else second
        if not 0 < first <= end <= self.size:
            expected = f"two sizes in order, from 1 to {self.size}"
            raise InputError(expected, f"{first} and {end}", "an empty log needs no proof")
        path, start = [], 0
        while first != end:
            middle = start + _split(end - start)
            if first <= middle:
                path.append(self._range(middle, end))
                end = middle
            else:
                path.append(self._range(start, middle))
                start = middle
        if start:  # the smaller tree is no left edge of the larger one, so that its own last subtree is needed
            path.append(self._range(start, end))
        return path[::-1]

    def _range(self, start: int, end: int) -> bytes:
        """Root over the leaves from `start` to `end`, where `start` is a multiple of the power of two at or above."""
        width = end - start
        if width & (width - 1) == 0:
            return self.levels[width.bit_length() - 1][start // width]
        middle = start + _split(width)
        return node_hash(self._range(start, middle), self._range(middle, end))


def check_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check that the leaf hash `leaf` stands at `index` in the tree of `size` leaves with this root.

    Raises:
        InputError: the proof cannot belong to that index and size.
        IntegrityError: it leads to another root.
    """
    if not 0 <= index < size:
        raise InputError(f"a leaf below the size {size}", str(index), "count leaves from 0")
    what = f"inclusion proof of leaf {index} in a tree of {size}"
    _lengths(what, [leaf, root, *proof])
    place, last, found = index, size - 1, leaf
    for step in proof:
        if last == 0:
            raise InputError(f"{what}: as many hashes as it has levels", f"{len(proof)}", "make the proof again")
        if place & 1 or place == last:
            found = node_hash(step, found)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            found = node_hash(found, step)
        place, last = place >> 1, last >> 1
    if last:
        raise InputError(f"{what}: as many hashes as it has levels", f"{len(proof)}", "make the proof again")
    if found != root:
        raise IntegrityError(what, root.hex(), found.hex())


def check_consistency(first: int, second: int, proof: Sequence[bytes], first_root: bytes, second_root: bytes) -> None:
    """Check that the tree of `second` leaves begins with the tree of `first` leaves.

    Raises:
        InputError: the sizes are in no order, or the proof cannot belong to them.
        IntegrityError: it leads to another root than one of the two.
    """
    if not 0 < first <= second:
        raise InputError("two sizes in order, from 1", f"{first} and {second}", "an empty log needs no proof")
    what = f"consistency proof from {first} to {second} leaves"
    _lengths(what, [first_root, second_root, *proof])
    if first == second:
        if proof:
            raise InputError(f"{what}: no hash", f"{len(proof)}", "a log needs no proof against itself")
        if first_root != second_root:
            raise IntegrityError(what, first_root.hex(), second_root.hex())
        return
    path = list(proof)
    if first & (first - 1) == 0:  # a full subtree is its own first hash
        path.insert(0, first_root)
    place, last = first - 1, second - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    if not path:
        raise InputError(f"{what}: at least one hash", "none", "make the proof again")
    old = new = path[0]
    for step in path[1:]:
        if last == 0:
            raise InputError(f"{what}: as many hashes as it has levels", f"{len(proof)}", "make the proof again")
        if place & 1 or place == last:
            old, new = node_hash(step, old), node_hash(step, new)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            new = node_hash(new, step)
        place, last = place >> 1, last >> 1
    if last:
        raise InputError(f"{what}: as many hashes as it has levels", f"{len(proof)}", "make the proof again")
    for name, recorded, found in (("old", first_root, old), ("new", second_root, new)):
        if recorded != found:
            raise IntegrityError(f"{what}, the {name} root", recorded.hex(), found.hex())


def _split(width: int) -> int:
    """The largest power of two below `width`, at which a tree of that many leaves splits."""
    return 1 << (width - 1).bit_length() - 1


def _lengths(what: str, hashes: Iterable[bytes]) -> None:
    """Refuse what is no hash.

    Raises:
        InputError: one has another length.
    """
    for one in hashes:
        if len(one) != HASH_BYTES:
            raise InputError(f"{what}: hashes of {HASH_BYTES} bytes", f"{len(one)} bytes", "make the proof again")
