"""The documents of the domain comparison: some to train on, whole others to choose by and to score."""

import gzip
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

PASSAGE = 4000
"""Characters taken of each document that is trained on, from anywhere in it."""


@dataclass(frozen=True)
class Corpus:
    """Documents, split by document: text to train on; windows (at most `windows`, length) of each of the others.

    Attributes:
        train: texts.
        dev: documents that the learning rate is chosen by.
        test: documents that are scored.
    """

    train: tuple[str, ...]
    dev: tuple[Tensor, ...]
    test: tuple[Tensor, ...]


def read_corpus(path: Path, tokenizer: Any, length: int, dev: int, test: int, seed: int, windows: int = 1) -> Corpus:
    """Read documents, shuffle them, hold some out; documents shorter than a window are passed over."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as stream:
        texts = [str(json.loads(line)["text"]) for line in stream]
    choice = random.Random(seed)
    choice.shuffle(texts)
    held: list[Tensor] = []
    train: list[str] = []
    for text in texts:
        if len(held) == dev + test:
            begin = choice.randrange(max(len(text) - PASSAGE, 0) + 1)
            train.append(text[begin : begin + PASSAGE])
            continue
        ids = tokenizer(text, verbose=False)["input_ids"]
        if len(ids) >= length:
            held.append(drawn_windows(torch.tensor(ids), length, windows, choice))
    return Corpus(tuple(train), tuple(held[:dev]), tuple(held[dev:]))


def drawn_windows(ids: Tensor, length: int, count: int, choice: random.Random) -> Tensor:
    """One window from anywhere in a document, or at most `count` that do not overlap, (W, length)."""
    if count == 1:
        begin = choice.randrange(len(ids) - length + 1)
        return ids[None, begin : begin + length]
    whole = ids[choice.randrange(len(ids) % length + 1) :]
    pieces = whole[: len(whole) // length * length].reshape(-1, length)
    return pieces[sorted(choice.sample(range(len(pieces)), min(count, len(pieces))))]
