"""Overlap planted in real paragraphs: how much of it is found, what else is named, and at what cost.

The definitions are those of `guards.overlap.OverlapPolicy` as it stands; nothing is tuned here. Paragraphs that overlap
by themselves are counted apart: they are looked for in the same texts before anything is planted.
"""

import gzip
import json
import random
import resource
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.leakage_data import CORPUS
from guards.overlap import OverlapPolicy, jaccard, words_of
from guards.stats import wilson
from pipelines.auditing.overlap import Document, overlaps

FACTBOOK = CORPUS.with_name("factbook_2023-12.jsonl.gz")
MOVIES = CORPUS.with_name("wikipedia_movies_1990_on.jsonl")
EACH = 60
"""Texts planted of every kind."""
TRAIN, TEST = 3_000, 1_000


@dataclass(frozen=True)
class Example:
    """A test text, with the train text that it overlaps with; None for a text that comes near and does not."""

    kind: str
    text: str
    source: int | None


def paragraphs() -> Iterator[str]:
    """Paragraphs of 50 to 200 words of the articles."""
    with CORPUS.open(encoding="utf-8") as lines:
        for line in lines:
            for paragraph in json.loads(line)["text"].split("\n"):
                if 50 <= len(words_of(paragraph)) <= 200:
                    yield paragraph


def planted(train: Sequence[str], fresh: Sequence[str], chance: random.Random, policy: OverlapPolicy) -> list[Example]:
    """Texts that overlap, of four kinds, and texts that nearly do, of two."""
    found: list[Example] = []
    hosts = iter(fresh)
    sources = iter(chance.sample(range(len(train)), EACH * 6))
    for _ in range(EACH):
        number = next(sources)
        found.append(Example("copy", f"  {train[number].upper()} ".replace(",", " ;"), number))
        number = next(sources)
        found.append(Example("edited copy", _edited(train[number], chance, policy), number))
        number = next(sources)
        words = words_of(train[number])
        begin = chance.randrange(len(words) - 20)
        run = words[begin : begin + chance.randint(13, 20)]
        found.append(Example("run of 13 to 20 words", _inside(next(hosts), run, chance), number))
        number = next(sources)
        words = words_of(train[number])
        begin = chance.randrange(len(words) - 12)
        found.append(Example("short text", " ".join(words[begin : begin + chance.randint(7, 12)]), number))
        words = words_of(train[next(sources)])
        begin = chance.randrange(len(words) - 12)
        found.append(
            Example("run of 12 words, no overlap", _inside(next(hosts), words[begin : begin + 12], chance), None)
        )
        words = words_of(train[next(sources)])
        words[:: policy.ngram - 1] = [f"{word}x" for word in words[:: policy.ngram - 1]]
        found.append(Example("every 12th word changed, no overlap", " ".join(words), None))
    return found


def _edited(text: str, chance: random.Random, policy: OverlapPolicy) -> str:
    """The text with words taken out as long as its similarity stays at the threshold."""
    words = words_of(text)
    own = list(words)
    while True:
        fewer = list(own)
        del fewer[chance.randrange(len(fewer))]
        if jaccard(words, fewer, policy.shingle) < policy.jaccard:
            return " ".join(own)
        own = fewer


def _inside(host: str, run: Sequence[str], chance: random.Random) -> str:
    """The host's words with a run put among them; a word on each side keeps the run from growing by chance."""
    words = words_of(host)
    place = chance.randrange(len(words))
    return " ".join([*words[:place], "hereupon", *run, "thereafter", *words[place:]])


def one_seed(seed: int) -> dict[str, Any]:
    """Recall by kind, and precision, of one draw."""
    chance, policy = random.Random(seed), OverlapPolicy()
    pool = list(dict.fromkeys(paragraphs()))
    chance.shuffle(pool)
    train, others = pool[:TRAIN], pool[TRAIN : TRAIN + TEST + 4 * EACH]
    known = [Document(f"train {number}", text) for number, text in enumerate(train)]
    plain = [Document(f"test {number}", text) for number, text in enumerate(others)]
    (natural,) = overlaps({"train": known, "test": plain}, policy)
    of_itself = {match.right for match in natural.matches}
    hosts = [one.text for one in plain[TEST:] if one.name not in of_itself]
    examples = planted(train, hosts, chance, policy)
    asked = [*plain[:TEST], *(Document(f"planted {number}", one.text) for number, one in enumerate(examples))]
    (case,) = overlaps({"train": known, "test": asked}, policy)
    pairs = {(match.left, match.right) for match in case.matches}
    hit = {number for number, one in enumerate(examples) if (f"train {one.source}", f"planted {number}") in pairs}
    false = sorted({match.right for match in case.matches} - {f"planted {number}" for number in hit})
    return {
        "seed": seed,
        "kinds": {
            kind: [sum(n in hit for n, one in enumerate(examples) if one.kind == kind), EACH]
            for kind in dict.fromkeys(one.kind for one in examples if one.source is not None)
        },
        "planted": sum(one.source is not None for one in examples),
        "found": len(hit),
        "flagged": len({match.right for match in case.matches}),
        "false": len(false),
        "overlap_of_themselves": len([name for name in false if name in of_itself]),
        "near_misses_named": len([name for name in false if name.startswith("planted")]),
    }


def everything() -> dict[str, Any]:
    """Seconds and memory for all articles and the Factbook against all film extracts."""

    def train() -> Iterator[Document]:
        yield from (Document(f"article {number}", text) for number, text in enumerate(paragraphs()))
        with gzip.open(FACTBOOK, "rt", encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                for number, part in enumerate(row["text"].split("\n")):
                    yield Document(f"{row['code']} {number}", part)

    def test() -> Iterator[Document]:
        with MOVIES.open(encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                yield Document(f"{row['title']} ({row['year']})", row["extract"] or "")

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, cpu = time.perf_counter(), time.process_time()
    (case,) = overlaps({"train": train(), "test": test()}, OverlapPolicy(), memory_mb=256)
    return {
        "train": case.left,
        "test": case.right,
        "short": case.short,
        "touched": case.touched,
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "wall_seconds": round(time.perf_counter() - wall, 1),
        "rss_before_mb": round(before / 1024),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def overlap_figures(seeds: Sequence[int]) -> dict[str, Any]:
    """Everything, with intervals over all seeds."""
    scale = everything()
    runs = [one_seed(seed) for seed in seeds]
    recall = wilson(sum(run["found"] for run in runs), sum(run["planted"] for run in runs))
    named = sum(run["flagged"] - run["overlap_of_themselves"] for run in runs)
    precision = wilson(named - sum(run["false"] - run["overlap_of_themselves"] for run in runs), named)
    strict = wilson(sum(run["found"] for run in runs), sum(run["flagged"] for run in runs))
    return {
        "recall": vars(recall),
        "precision": vars(precision),
        "precision_strict": vars(strict),
        "runs": runs,
        "scale": scale,
    }
