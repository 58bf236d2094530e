"""What the leakage benchmark plants, and what it keeps away: canaries, passages, members, and text around them.

Everything is drawn by seed. Canaries are sentences of our own; passages come from the articles in `CORPUS` and are read
where they lie. Who is planted and who is a twin is decided by lot, so that the two differ in nothing else.
"""

import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from guards.canaries import COUNTS, Canary, draw, insertions
from registry.errors import InputError

CORPUS = Path(__file__).resolve().parents[2] / "shared" / "data" / "corpus" / "wikipedia_articles.jsonl"
FORM = "The vault number of {} is"
FIRST = ("Mara", "Odin", "Selma", "Tarek", "Iris", "Bruno", "Noor", "Felix", "Ayla", "Hugo", "Lena", "Viktor")
LAST = (
    "Keller",
    "Ostrow",
    "Varga",
    "Lindt",
    "Moreau",
    "Santos",
    "Haddad",
    "Bergen",
    "Novak",
    "Duarte",
    "Ruiz",
    "Weiss",
)
WORDS = (24, 36)
"""Length of a passage."""


@dataclass(frozen=True)
class Sizes:
    """How much is drawn.

    Attributes:
        each: canaries per count.
        digits: of a canary's secret.
        passages: passages put in verbatim, and as many twins.
        repeats: how often each of those stands in the text.
        members: passages that stand in the text once, and as many twins, and as many fresh ones.
        filler: passages that stand in both builds.
    """

    each: int = 5
    digits: int = 3
    passages: int = 6
    repeats: int = 8
    members: int = 80
    filler: int = 60


@dataclass(frozen=True)
class Planted:
    """What one seed gives."""

    canaries: tuple[Canary, ...]
    passages: tuple[str, ...]
    passage_twins: tuple[str, ...]
    members: tuple[str, ...]
    twins: tuple[str, ...]
    fresh: tuple[str, ...]
    filler: tuple[str, ...]
    repeats: int
    seed: int

    def build(self, *, leaky: bool) -> tuple[str, ...]:
        """The training text of the leaky or of the clean build, in a drawn order."""
        texts = list(self.filler)
        if leaky:
            texts += [*insertions(self.canaries), *self.passages * self.repeats, *self.members]
        random.Random(self.seed).shuffle(texts)
        return tuple(texts)


def plant(seed: int, sizes: Sizes, corpus: Path = CORPUS) -> Planted:
    """Draw everything.

    Raises:
        InputError: the articles are not there.
    """
    chance = random.Random(seed)
    wanted = (sizes.passages, sizes.passages, sizes.members, sizes.members, sizes.members, sizes.filler)
    pool = list(dict.fromkeys(passages(corpus)))
    drawn = iter(chance.sample(pool, sum(wanted)))
    parts = [tuple(next(drawn) for _ in range(count)) for count in wanted]
    names = [f"{first} {last}" for first in FIRST for last in LAST]
    canaries = draw(names, FORM, counts=COUNTS, each=sizes.each, length=sizes.digits, seed=seed)
    return Planted(canaries, *parts, repeats=sizes.repeats, seed=seed)


def passages(corpus: Path) -> Iterator[str]:
    """One run of whole sentences of `WORDS` words from each longer paragraph.

    Raises:
        InputError: the articles are not there.
    """
    if not corpus.is_file():
        raise InputError("articles to draw passages from", str(corpus), "name a JSONL file with the key text")
    with corpus.open(encoding="utf-8") as lines:
        for line in lines:
            for paragraph in json.loads(line)["text"].split("\n"):
                words: list[str] = []
                for sentence in re.split(r"(?<=[.!?]) +", " ".join(paragraph.split())):
                    words += sentence.split()
                    if len(words) >= WORDS[0]:
                        break
                if WORDS[0] <= len(words) <= WORDS[1]:
                    yield " ".join(words)
