"""Proofs: the published vectors, the definition at every small size, and nothing else passes."""

import itertools

import pytest

from registry.errors import DmmGovError, InputError, IntegrityError
from registry.merkle import leaf_hash, node_hash, tree_root
from registry.proofs import Tree, check_consistency, check_inclusion

# What the reference implementations of Certificate Transparency test themselves with: eight leaves and their proofs.
INPUTS = [bytes.fromhex(text) for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657")]
INPUTS.append(bytes.fromhex("606162636465666768696a6b6c6d6e6f"))
LEAVES = [leaf_hash(data) for data in INPUTS]
ROOT_8 = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
A = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
B = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
C = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
D = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
E = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
F = "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"
G = "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
H = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
I = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"  # noqa: E741
INCLUSION = [
    (0, 1, []),
    (0, 8, [A, B, C]),
    (5, 8, [D, E, F]),
    (2, 3, [G]),
    (1, 5, [H, B, D]),
]
CONSISTENCY = [(1, 1, []), (1, 8, [A, B, C]), (6, 8, [I, E, F]), (2, 5, [B, D])]
LARGEST = 40
MANY = [leaf_hash(str(number).encode()) for number in range(LARGEST)]


def path_of(index: int, leaves: list[bytes]) -> list[bytes]:
    """PATH of RFC 6962, section 2.1.1, word for word."""
    if len(leaves) == 1:
        return []
    split = 1 << (len(leaves) - 1).bit_length() - 1
    if index < split:
        return [*path_of(index, leaves[:split]), tree_root(leaves[split:])]
    return [*path_of(index - split, leaves[split:]), tree_root(leaves[:split])]


def subproof(first: int, leaves: list[bytes], whole: bool) -> list[bytes]:
    """SUBPROOF of RFC 6962, section 2.1.2, word for word."""
    if first == len(leaves):
        return [] if whole else [tree_root(leaves)]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    if first <= split:
        return [*subproof(first, leaves[:split], whole), tree_root(leaves[split:])]
    return [*subproof(first - split, leaves[split:], False), tree_root(leaves[:split])]


def flipped(one: bytes) -> bytes:
    return bytes([one[0] ^ 1]) + one[1:]


@pytest.mark.parametrize(("index", "size", "proof"), INCLUSION)
def test_the_published_inclusion_proofs(index: int, size: int, proof: list[str]) -> None:
    tree = Tree.of(LEAVES)
    assert [one.hex() for one in tree.inclusion(index, size)] == proof
    check_inclusion(LEAVES[index], index, size, [bytes.fromhex(one) for one in proof], tree.root(size))


@pytest.mark.parametrize(("first", "second", "proof"), CONSISTENCY)
def test_the_published_consistency_proofs(first: int, second: int, proof: list[str]) -> None:
    tree = Tree.of(LEAVES)
    assert [one.hex() for one in tree.consistency(first, second)] == proof
    check_consistency(first, second, [bytes.fromhex(one) for one in proof], tree.root(first), tree.root(second))


def test_the_published_root() -> None:
    assert Tree.of(LEAVES).root().hex() == ROOT_8


@pytest.mark.parametrize("size", range(1, LARGEST + 1))
def test_every_size_agrees_with_the_definition(size: int) -> None:
    tree, leaves = Tree.of(MANY[:size]), MANY[:size]
    assert tree.root() == tree_root(leaves)
    for index in range(size):
        proof = tree.inclusion(index)
        assert proof == path_of(index, leaves) == Tree.of(MANY).inclusion(index, size)
        check_inclusion(leaves[index], index, size, proof, tree.root())
    for first in range(1, size + 1):
        proof = tree.consistency(first)
        assert proof == subproof(first, leaves, True) == Tree.of(MANY).consistency(first, size)
        check_consistency(first, size, proof, tree.root(first), tree.root())


def test_no_hash_of_an_inclusion_proof_may_differ() -> None:
    tree = Tree.of(MANY)
    for size in (1, 2, 3, 7, 8, 13, LARGEST):
        for index in range(size):
            proof, root = tree.inclusion(index, size), tree.root(size)
            for place in range(len(proof)):
                bad = [*proof[:place], flipped(proof[place]), *proof[place + 1 :]]
                with pytest.raises(IntegrityError, match=rf"inclusion proof of leaf {index} in a tree of {size}"):
                    check_inclusion(MANY[index], index, size, bad, root)
            with pytest.raises(IntegrityError, match=root.hex()):
                check_inclusion(flipped(MANY[index]), index, size, proof, root)
            with pytest.raises(IntegrityError):
                check_inclusion(MANY[index], index, size, proof, flipped(root))


def test_an_inclusion_proof_holds_at_its_own_place_and_size_alone() -> None:
    tree = Tree.of(MANY)
    for size in (2, 5, 8, 13):
        for index, other in itertools.permutations(range(size), 2):
            with pytest.raises(DmmGovError):
                check_inclusion(MANY[index], other, size, tree.inclusion(index, size), tree.root(size))
    proof = tree.inclusion(2, 8)
    for size in (3, 4, 9, 17):
        with pytest.raises(InputError, match="levels"):
            check_inclusion(MANY[2], 2, size, proof, tree.root(8))
    for longer in (proof[:-1], [*proof, proof[0]], []):
        with pytest.raises(InputError, match="levels"):
            check_inclusion(MANY[2], 2, 8, longer, tree.root(8))


def test_no_hash_of_a_consistency_proof_may_differ() -> None:
    tree = Tree.of(MANY)
    for first, second in itertools.combinations((1, 2, 3, 4, 6, 7, 8, 12, 13, LARGEST), 2):
        proof = tree.consistency(first, second)
        old, new = tree.root(first), tree.root(second)
        for place in range(len(proof)):
            bad = [*proof[:place], flipped(proof[place]), *proof[place + 1 :]]
            with pytest.raises(IntegrityError, match=f"from {first} to {second} leaves"):
                check_consistency(first, second, bad, old, new)
        with pytest.raises(IntegrityError):
            check_consistency(first, second, proof, flipped(old), new)
        with pytest.raises(IntegrityError, match="the new root"):
            check_consistency(first, second, proof, old, flipped(new))


def test_a_consistency_proof_holds_at_its_own_sizes_alone() -> None:
    tree = Tree.of(MANY)
    for first, second in itertools.combinations(range(1, 14), 2):
        proof = tree.consistency(first, second)
        for other in range(1, second):
            if other != first:
                with pytest.raises(DmmGovError):
                    check_consistency(other, second, proof, tree.root(first), tree.root(second))
        for longer in (proof[:-1], [*proof, proof[0]]):
            with pytest.raises(DmmGovError):
                check_consistency(first, second, longer, tree.root(first), tree.root(second))
    with pytest.raises(InputError, match="no hash"):
        check_consistency(3, 3, [MANY[0]], tree.root(3), tree.root(3))
    with pytest.raises(IntegrityError):
        check_consistency(3, 3, [], tree.root(3), tree.root(4))


def test_a_node_cannot_be_proved_as_a_leaf() -> None:
    tree = Tree.of(MANY[:4])
    node = node_hash(MANY[0], MANY[1])
    with pytest.raises(DmmGovError):
        check_inclusion(node, 0, 4, tree.inclusion(0)[1:], tree.root())


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0), (0, LARGEST + 1)])
def test_a_place_that_is_not_there_is_refused(index: int, size: int) -> None:
    with pytest.raises(InputError, match=rf"got leaf {index} of {size}"):
        Tree.of(MANY).inclusion(index, size)
    if index >= size:
        with pytest.raises(InputError, match="below the size"):
            check_inclusion(MANY[0], index, size, [], MANY[0])


@pytest.mark.parametrize(("first", "second"), [(0, 3), (4, 3), (-1, 3), (3, LARGEST + 1)])
def test_sizes_without_a_proof_are_refused(first: int, second: int) -> None:
    with pytest.raises(InputError, match=f"got {first} and {second}"):
        Tree.of(MANY).consistency(first, second)
    if first < 1 or first > second:
        with pytest.raises(InputError, match="in order"):
            check_consistency(first, second, [], MANY[0], MANY[0])


def test_what_is_no_hash_is_refused() -> None:
    with pytest.raises(InputError, match="5 bytes at leaf 1"):
        Tree.of([MANY[0], b"short"])
    with pytest.raises(InputError, match="5 bytes"):
        check_inclusion(MANY[0], 0, 2, [b"short"], MANY[1])
    with pytest.raises(InputError, match="5 bytes"):
        check_consistency(1, 2, [b"short"], MANY[0], MANY[1])


def test_the_empty_log_has_a_root() -> None:
    assert Tree.of([]).root() == tree_root([])
    with pytest.raises(InputError, match="a size from 0 to 0"):
        Tree.of([]).root(1)
