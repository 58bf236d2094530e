"""The tree of RFC 6962, against its own recursive definition and against published test vectors."""

import hashlib

import pytest

from registry.merkle import Frontier, leaf_hash, node_hash, tree_root

# The inputs and roots that the Certificate Transparency reference implementations test themselves with.
INPUTS = [bytes.fromhex(text) for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657")]
INPUTS.append(bytes.fromhex("606162636465666768696a6b6c6d6e6f"))
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def defined(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return node_hash(defined(leaves[:split]), defined(leaves[split:]))


@pytest.mark.parametrize("size", range(1, 9))
def test_the_published_vectors(size: int) -> None:
    assert tree_root(leaf_hash(data) for data in INPUTS[:size]).hex() == ROOTS[size - 1]


@pytest.mark.parametrize("size", range(66))
def test_the_definition(size: int) -> None:
    leaves = [leaf_hash(str(number).encode()) for number in range(size)]
    assert tree_root(leaves) == defined(leaves)


def test_a_leaf_cannot_pass_for_a_node() -> None:
    left, right = leaf_hash(b"left"), leaf_hash(b"right")
    assert leaf_hash(left + right) != node_hash(left, right)


@pytest.mark.parametrize("changed", range(5))
def test_every_leaf_and_its_place_count(changed: int) -> None:
    leaves = [leaf_hash(bytes([number])) for number in range(5)]
    other = [*leaves[:changed], leaf_hash(b"x"), *leaves[changed + 1 :]]
    assert tree_root(other) != tree_root(leaves)
    swapped = [*leaves[:changed], *reversed(leaves[changed:])]
    assert (tree_root(swapped) == tree_root(leaves)) == (swapped == leaves)


def test_a_frontier_keeps_one_peak_per_bit() -> None:
    frontier = Frontier()
    for size in range(1, 40):
        frontier = frontier.append(leaf_hash(bytes([size])))
        assert (frontier.size, len(frontier.peaks)) == (size, size.bit_count())


@pytest.mark.parametrize("frontier", [(1, ()), (0, (b"x" * 32,)), (1, (b"short",))])
def test_a_frontier_that_cannot_be_is_refused(frontier: tuple[int, tuple[bytes, ...]]) -> None:
    with pytest.raises(ValueError, match="do not belong"):
        Frontier(*frontier)
