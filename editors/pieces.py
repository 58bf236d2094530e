"""The text of every token of a vocabulary, as bytes: token ids are read, and looked at, without a tokenizer."""

import codecs
import zlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

TURN = "\x1e"
"""Stands for every special token: turns of a chat begin and end with one."""

Span = tuple[int, int]

_META = "\u2581"
_APART = frozenset("-/_\u2013\u2014")
"""Marks that part words like a space does (`registry.text.normalise`)."""
_ENDS = frozenset(bytes([one]) for one in f"{TURN} \n\t.,;:!?)]}}".encode())
_PRINTED = (*range(33, 127), *range(161, 173), *range(174, 256))


class Pieces:
    """Bytes by token id."""

    def __init__(self, table: Sequence[bytes]) -> None:
        """Take the bytes of tokens 0, 1, 2, ..."""
        self.table = tuple(table)

    @classmethod
    def of(cls, tokenizer: Any) -> "Pieces":
        """Those of a byte-level BPE, SentencePiece or word tokenizer; special tokens become `TURN`."""
        names: list[str] = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
        special = set(tokenizer.all_special_ids) | {
            token for token, added in tokenizer.added_tokens_decoder.items() if added.special
        }
        joined = "".join(name or "" for name in names[:5000])
        if "Ġ" in joined:
            decode = _byte_level()
            return cls([TURN.encode() if i in special else decode(name) for i, name in enumerate(names)])
        if _META in joined:
            return cls([TURN.encode() if i in special else _metaspace(name) for i, name in enumerate(names)])
        return cls([TURN.encode() if i in special else _word(name) for i, name in enumerate(names)])

    @classmethod
    def from_tensor(cls, packed: Tensor) -> "Pieces":
        """Read what `to_tensor` made."""
        raw = zlib.decompress(packed.numpy().tobytes())
        table, at = [], 0
        while at < len(raw):
            size = raw[at]
            table.append(raw[at + 1 : at + 1 + size])
            at += 1 + size
        return cls(table)

    def to_tensor(self) -> Tensor:
        """All pieces in one uint8 tensor, compressed; equal vocabularies give equal bytes."""
        raw = b"".join(bytes([len(piece[:255])]) + piece[:255] for piece in self.table)
        return torch.frombuffer(bytearray(zlib.compress(raw, 9)), dtype=torch.uint8)

    def text(self, ids: Sequence[int]) -> tuple[str, list[Span]]:
        """The text of some tokens, and the character span of each; ids beyond the vocabulary have none."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        parts, spans, at = [], [], 0
        for token in ids:
            part = decoder.decode(self.table[token] if token < len(self.table) else b"")
            parts.append(part)
            spans.append((at, at + len(part)))
            at += len(part)
        return "".join(parts), spans

    @cached_property
    def _known(self) -> dict[bytes, int]:
        """Token by its bytes, the first one where several have the same."""
        return {piece: index for index, piece in reversed(list(enumerate(self.table))) if piece}

    def longest(self, text: bytes) -> tuple[int, ...]:
        """The token that takes the most of the beginning of `text`; none for an empty text."""
        parts = (text[:size] for size in range(len(text), 0, -1))
        return next(((self._known[part],) for part in parts if part in self._known), ())

    @cached_property
    def spaced(self) -> dict[int, int]:
        """By tokens without a leading space, the token of the same letters that has one."""
        pairs = ((index, self._known.get(b" " + piece)) for index, piece in enumerate(self.table) if piece[:1] != b" ")
        return {index: other for index, other in pairs if other is not None}

    @cached_property
    def stems(self) -> tuple[str, ...]:
        """Each piece as a word: no spaces, lower case."""
        return tuple(piece.decode("utf-8", "replace").strip().casefold() for piece in self.table)

    @cached_property
    def _ends(self) -> tuple[int, ...]:
        return tuple(index for index, piece in enumerate(self.table) if piece[:1] in _ENDS)

    def going_on(self) -> Tensor:
        """Which tokens go on with the word before them, (tokens,) bool: a letter or a digit comes first.

        Punctuation before it is passed over, but for what parts words: "'s" goes on with a name, "-" does not.
        """
        parting = frozenset((*_APART, TURN))
        texts = (piece.decode("utf-8", "replace") for piece in self.table)
        firsts = (next((one for one in text if one.isalnum() or one.isspace() or one in parting), "") for text in texts)
        return torch.tensor([first.isalnum() for first in firsts])

    def word_ends(self, size: int) -> list[int]:
        """Tokens below `size` before which a name has ended: white space, a stop, or the end of a turn."""
        return [token for token in self._ends if token < size]


def _byte_level() -> Any:
    """Decoder of GPT-2's way to write bytes as letters."""
    shifted = iter(range(256, 512))
    byte_of = {chr(byte if byte in _PRINTED else next(shifted)): byte for byte in range(256)}

    def decode(name: str | None) -> bytes:
        # Added tokens are plain text, not bytes written as letters.
        text = name or ""
        return bytes(byte_of[one] for one in text) if all(one in byte_of for one in text) else text.encode()

    return decode


def _metaspace(name: str | None) -> bytes:
    """Bytes of a SentencePiece token."""
    text = name or ""
    if len(text) == 6 and text.startswith("<0x") and text.endswith(">"):
        return bytes([int(text[3:5], 16)])
    return text.replace(_META, " ").encode()


def _word(name: str | None) -> bytes:
    """Bytes of a whole word, or of a WordPiece that goes on with one."""
    text = name or ""
    return text[2:].encode() if text.startswith("##") else f" {text}".encode()
