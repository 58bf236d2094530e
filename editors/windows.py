"""Running text to train on: packed into windows, and its loss."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from registry.errors import EditError

TextLoss = Callable[[Any, Tensor, Sequence[Tensor]], Tensor]
"""Mean negative log-likelihood per token of windows (B, T), to be differentiated by the given trained tensors."""


def windows(tokenizer: Any, texts: Sequence[str], length: int) -> Tensor:
    """Texts joined by the end token and cut into windows, (N, length); one shorter window where there is less.

    Raises:
        EditError: the texts give fewer than two tokens.
    """
    if not texts:
        return torch.zeros(0, length, dtype=torch.long)
    end = [] if tokenizer.eos_token_id is None else [int(tokenizer.eos_token_id)]
    ids = [token for text in texts for token in (*tokenizer(text, verbose=False)["input_ids"], *end)]
    length = min(length, len(ids))
    if length < 2:
        raise EditError(f"expected texts of two tokens or more, got {len(ids)} in all; give more text")
    return torch.tensor(ids[: len(ids) // length * length], dtype=torch.long).reshape(-1, length)


def plain_loss(model: Any, ids: Tensor, trained: Sequence[Tensor]) -> Tensor:
    """The ordinary `TextLoss`: the whole graph at once."""
    logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
    return nn.functional.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten())


def chunked_loss(chunk: int) -> TextLoss:
    """The `TextLoss` that runs `chunk` tokens of a window at a time; see `editors.streaming`."""
    from editors.streaming import streaming_loss

    return lambda model, ids, trained: streaming_loss(model, ids, ids, chunk=chunk, also=trained)
