"""Where a fact's subject ends in a tokenised text, and where its answer begins.

The subject's last token is found from the character offsets of the fast tokenizer, never by comparing token strings,
so that a leading space, a beginning-of-sequence token, a subject of several tokens or a script whose characters take
several tokens make no difference.
"""

import re
from collections.abc import Sequence
from typing import Any

from registry.errors import EditError


def subject_span(text: str, subject: str) -> tuple[int, int]:
    """Character span of `subject` in `text`: its last occurrence as whole words, else its last occurrence.

    Raises:
        EditError: the text does not hold the subject, in any case of letters.
    """
    wanted = subject.strip()
    for flags in (0, re.IGNORECASE):
        for pattern in (rf"(?<!\w){re.escape(wanted)}(?!\w)", re.escape(wanted)):
            spans = [hit.span() for hit in re.finditer(pattern, text, flags)] if wanted else []
            if spans:
                return spans[-1]
    raise EditError(f"expected a prompt that holds its subject {subject!r}, got {text!r}; write the subject into it")


def last_token(offsets: Sequence[tuple[int, int]], end: int) -> int:
    """Index of the last token that holds a character before `end`.

    Args:
        offsets: character span of every token; empty spans (special tokens) are passed over.
        end: exclusive end of the subject in the text.
    """
    held = [index for index, (start, stop) in enumerate(offsets) if start < stop and start < end]
    if not held:
        raise EditError(f"expected a token before character {end}, got offsets {list(offsets)}; use a fast tokenizer")
    return held[-1]


def encode(tokenizer: Any, text: str) -> tuple[list[int], list[tuple[int, int]]]:
    """Token ids and their character spans.

    Raises:
        EditError: the tokenizer gives no offsets.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise EditError("expected a fast tokenizer (it gives character offsets), got a slow one; load it with use_fast")
    marked = bool(tokenizer.bos_token) and text.startswith(tokenizer.bos_token)  # a chat template writes it out
    encoded = tokenizer(text, return_offsets_mapping=True, add_special_tokens=not marked)
    return list(encoded["input_ids"]), [tuple(span) for span in encoded["offset_mapping"]]


def subject_tokens(tokenizer: Any, prompt: str, subject: str) -> range:
    """Places of the tokens that hold a character of the subject, from the tokenizer's character spans.

    Raises:
        EditError: the prompt does not hold the subject, or no token holds it.
    """
    start, end = subject_span(prompt, subject)
    _, offsets = encode(tokenizer, prompt)
    held = [index for index, (begin, stop) in enumerate(offsets) if begin < stop and begin < end and stop > start]
    if not held:
        raise EditError(f"expected tokens that hold {subject!r}, got offsets {offsets}; use a fast tokenizer")
    return range(held[0], held[-1] + 1)


def first_target(tokenizer: Any, prompt: str, answer: str) -> tuple[list[int], int]:
    """Tokens of a prompt up to where its answer begins, and the answer's first token.

    Raises:
        EditError: the answer gives no token of its own.
    """
    tokens, offsets = encode(tokenizer, f"{prompt} {answer.strip()}")
    first = next((index for index, (_, stop) in enumerate(offsets) if stop > len(prompt)), len(tokens))
    while first + 1 < len(tokens) and offsets[first][1] <= len(prompt) + 1:
        first += 1  # a space of its own is no part of the answer
    if not answer.strip() or not 0 < first < len(tokens):
        raise EditError(f"expected an answer with at least one token, got {answer!r}; write one")
    return tokens[:first], tokens[first]
