import random

from guards.copies import NEAR_COPY, near_copies, overlap, runs

WORDS = ("river", "stone", "market", "council", "bridge", "harbour", "winter", "letter", "engine", "garden")


def text(seed: int, length: int = 30) -> str:
    draw = random.Random(seed)
    return " ".join(f"{draw.choice(WORDS)}{draw.randrange(99)}" for _ in range(length))


def edited(original: str, seed: int, rate: float) -> str:
    draw = random.Random(seed)
    return " ".join(word if draw.random() > rate else draw.choice(WORDS) for word in original.split())


def test_overlap_is_jaccards() -> None:
    assert overlap(frozenset("abc"), frozenset("bcd")) == 0.5
    assert overlap(frozenset(), frozenset()) == 0.0


def test_short_texts_are_no_copies() -> None:
    assert near_copies(["the same words", "the same words"]) == {}
    assert runs("x" * 39) == frozenset()


def test_few_and_many_texts_are_told_alike() -> None:
    originals = [text(seed) for seed in range(40)]
    copies = [edited(original, seed, 0.1) for seed, original in enumerate(originals)]
    expected = {40 + place: place for place in range(40)}
    assert near_copies([*originals, *copies]) == expected
    assert near_copies([originals[0], originals[1], copies[0]]) == {2: 0}


def test_heavier_editing_gets_through() -> None:
    originals = [text(seed) for seed in range(40)]
    found = near_copies([*originals, *(edited(each, seed, 0.6) for seed, each in enumerate(originals))], NEAR_COPY)
    assert len(found) < 4
