"""How a model calls its blocks on a sequence, and how the same call looks for a chunk of it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from editors.trace import in_place_of_forward
from registry.errors import ModelError

CACHE_NAMES = ("past_key_values", "layer_past")
"""What blocks call the argument that holds keys and values."""
MASK_NAME = "attention_mask"
IN_TUPLES = ("gptj",)
"""Values of `config.model_type` whose blocks give their output inside of a tuple."""


@dataclass(frozen=True)
class BlockCall:
    """How one block is called.

    Attributes:
        block: the block.
        arguments: its arguments for the whole sequence by name, without hidden states, mask and cache.
        cache_name: name of its cache argument.
        mask: its mask for the last chunk, (1, 1, chunk, T); None where the attention needs none.
        length: T.
    """

    block: nn.Module
    arguments: Mapping[str, Any]
    cache_name: str
    mask: Tensor | None
    length: int

    def run(self, hidden: Tensor, start: int, cache: Any) -> Tensor:
        """Output of the block for the tokens from `start` on, (B, c, d), like `hidden`; `cache` gives keys and values.

        The mask depends only on how far a key is from a query, so that an earlier chunk's is a part of the last one's.
        """
        stop = start + hidden.shape[1]
        arguments = {name: _slice(value, start, stop, self.length) for name, value in self.arguments.items()}
        mask = self.mask
        if mask is not None:
            begin = self.length - mask.shape[2] - start
            mask = mask[:, :, : stop - start, begin : begin + stop]
        out = self.block(hidden, **arguments, **{MASK_NAME: mask, self.cache_name: cache})
        found: Tensor = out[0] if isinstance(out, tuple) else out
        return found


def record_calls(
    model: Any, blocks: Sequence[nn.Module], input_ids: Tensor, chunk: int
) -> tuple[Tensor, tuple[BlockCall, ...]]:
    """What enters the first block, (B, T, d), with its graph, and how every block is called; no block is run.

    Args:
        model: a causal LM.
        blocks: its blocks.
        input_ids: (B, T).
        chunk: tokens in a chunk.

    Raises:
        ModelError: the attention's implementation masks by something that is not a tensor.
    """
    length = input_ids.shape[1]
    start = max(length - chunk, 0)
    place = torch.arange(length, device=input_ids.device)[None]
    # A mask with four dimensions is handed to the blocks as it is: one for the whole sequence would be T x T.
    unused = torch.zeros(1, 1, 1, 1, device=input_ids.device)
    in_tuples = model.config.model_type in IN_TUPLES
    with _recording(blocks, in_tuples) as whole:
        model.base_model(input_ids=input_ids, position_ids=place, attention_mask=unused, use_cache=False)
    with _recording(blocks, in_tuples) as last, torch.no_grad():
        model.base_model(
            input_ids=input_ids[:1, start:],
            position_ids=place[:, start:],
            past_key_values=_Before(start),
            use_cache=True,
        )
    calls = []
    for block, (_, arguments), (_, masked) in zip(blocks, whole, last, strict=True):
        (name,) = [name for name in CACHE_NAMES if name in signature(block.forward).parameters]
        mask = masked.get(MASK_NAME)
        if mask is not None and not isinstance(mask, Tensor):
            raise ModelError(
                "attention that takes its mask as a tensor",
                type(mask).__name__,
                "load the model with attn_implementation='sdpa' or 'eager'",
            )
        rest = {key: value for key, value in arguments.items() if key not in (MASK_NAME, name)}
        calls.append(BlockCall(block, rest | ({"use_cache": True} if "use_cache" in rest else {}), name, mask, length))
    return whole[0][0], tuple(calls)


class _Before:
    """A cache that says how many tokens came before, for the making of masks."""

    is_compileable = False

    def __init__(self, length: int) -> None:
        """`length` tokens came before."""
        self.length = length

    def get_seq_length(self, *_: Any) -> int:
        """Tokens before."""
        return self.length

    get_query_offset = get_seq_length

    def get_mask_sizes(self, queries: int, *_: Any) -> tuple[int, int]:
        """Number of keys, and the position of the first of them."""
        return self.length + queries, 0


@contextmanager
def _recording(blocks: Sequence[nn.Module], in_tuples: bool) -> Iterator[list[tuple[Tensor, dict[str, Any]]]]:
    """Forward passes of this thread go past the blocks: what each would have been called with is recorded instead."""
    calls: list[tuple[Tensor, dict[str, Any]]] = []

    def past(forward: Callable[..., Any]) -> Callable[..., Any]:
        bind = signature(forward).bind

        def skip(*args: Any, **kwargs: Any) -> Any:
            bound = bind(*args, **kwargs).arguments
            (_, hidden), *rest = bound.items()
            calls.append((hidden, {k: v for k, v in rest if k != "kwargs"} | bound.get("kwargs", {})))
            return (hidden,) if in_tuples else hidden

        return skip

    with in_place_of_forward(blocks, past):
        yield calls


def _slice(value: Any, start: int, stop: int, length: int) -> Any:
    """The part of `value` that belongs to the tokens from `start` to `stop`, where it has one entry a token."""
    if isinstance(value, Tensor) and value.ndim > 1 and value.shape[1] == length:
        return value[:, start:stop]
    if isinstance(value, tuple):
        return tuple(_slice(item, start, stop, length) for item in value)
    return value
