"""The loss of long sequences in chunks, from the tokens to a scalar that `backward` can be called on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from editors.layouts import Layout, layout_of
from editors.streaming.calls import record_calls
from editors.streaming.chunks import Stream, StreamedBlock, Sums, bounds, wide
from editors.streaming.repeat import Precision
from registry.errors import EditError, InputError, ModelError

STREAMED = (
    "gemma",
    "gemma2",
    "gemma3_text",
    "gpt2",
    "gpt_neox",
    "gptj",
    "llama",
    "mistral",
    "olmo",
    "olmo2",
    "phi3",
    "qwen2",
    "qwen3",
)
"""Values of `config.model_type` whose gradients are tested against the ordinary ones."""
IGNORED = -100
"""Label of a position that does not count."""
LOGITS_AT_ONCE = 2**24
"""Most logits that exist at a time: 64 MB in float32."""


def streaming_loss(model: Any, input_ids: Tensor, labels: Tensor, *, chunk: int, also: Sequence[Tensor] = ()) -> Tensor:
    """Mean negative log-likelihood of the labelled tokens, with the gradients of the ordinary loss.

    The same number as `model(input_ids, labels=labels).loss` and, after `backward()`, the same gradients for everything
    that requires one. Rows are padded on the right, with any token and the label -100, and need no mask. Under
    `torch.autograd.graph.save_on_cpu()` what is kept for the backward pass waits in the host's memory.

    Args:
        model: a causal LM, or a peft model around one.
        input_ids: tokens, (B, T).
        labels: what is expected, (B, T), not shifted; -100 does not count.
        chunk: tokens of each row that are run through a block at a time.
        also: tensors with gradients that blocks read though they are not among their parameters (from hooks).

    Returns:
        A scalar, float32 or wider.

    Raises:
        ModelError: the family, or its attention, is not one that chunks are tested with.
        InputError: the shapes differ, nothing is labelled, or `chunk` is not positive.
        EditError: gradient checkpointing is on, or (in backward) a block reads a tensor that `also` does not name.
    """
    plain = _plain(model)
    layout = layout_of(plain)
    blocks = layout.block_list(plain)
    _check(plain, blocks, input_ids, labels, chunk)
    hidden, calls = record_calls(plain, blocks, input_ids, chunk)
    block_of: Any = StreamedBlock.apply
    loss_of: Any = StreamedHead.apply
    cut = bounds(input_ids.shape[1], chunk)
    for block, call in zip(blocks, calls, strict=True):
        stream = Stream(call, cut, _trained([block], also), random=plain.training)
        hidden = block_of(stream, hidden, *stream.trained)
    ends = [plain.get_submodule(layout.norm), plain.get_submodule(layout.head)]
    head = _Head(plain, layout, _trained(ends, also))
    following = torch.full_like(labels, IGNORED)
    following[:, :-1] = labels[:, 1:]
    loss: Tensor = loss_of(head, hidden, following.to(hidden.device), *head.trained)
    return loss


@dataclass(frozen=True)
class _Head:
    """From the last block to the loss.

    Attributes:
        model: the causal LM.
        layout: its layout.
        trained: tensors besides the hidden states that gradients are wanted for.
    """

    model: Any
    layout: Layout
    trained: tuple[Tensor, ...]


class StreamedHead(torch.autograd.Function):
    """Mean loss of hidden states (B, T, d) at the positions with a label; its gradients are made with it.

    Logits exist for `LOGITS_AT_ONCE` / vocabulary positions at a time, and once: dL/dlogits = softmax - one-hot.
    """

    @staticmethod
    def forward(ctx: Any, head: _Head, hidden: Tensor, labels: Tensor, *trained: Tensor) -> Tensor:
        """The loss; keeps the gradients of its sum, (n, d) for the hidden states."""
        rows = (labels.reshape(-1) != IGNORED).nonzero()[:, 0]
        gold = labels.reshape(-1)[rows]
        states = hidden.reshape(-1, hidden.shape[-1])
        train = any(ctx.needs_input_grad)
        total, sums, grads = torch.zeros((), dtype=wide(hidden.dtype), device=hidden.device), Sums(len(trained)), []
        at_once = max(LOGITS_AT_ONCE // head.model.config.vocab_size, 1)
        with Precision(hidden.device.type).again(), torch.set_grad_enabled(train):
            for begin in range(0, len(rows), at_once):
                piece, expected = rows[begin : begin + at_once], gold[begin : begin + at_once]
                own = states[piece].detach().requires_grad_(train)
                logits = head.layout.logits(head.model, own)
                logits = logits.to(wide(logits.dtype))
                slope = logits.detach().log_softmax(-1)
                total -= slope.gather(1, expected[:, None]).sum()
                if train:
                    slope = slope.exp_().scatter_add_(1, expected[:, None], slope.new_full((len(piece), 1), -1.0))
                    found = torch.autograd.grad(logits, (own, *head.trained), slope, allow_unused=True)
                    grads.append(found[0])
                    sums.add(found[1:])
        ctx.shape, ctx.kinds = hidden.shape, [tensor.dtype for tensor in trained]
        ctx.save_for_backward(rows, *([torch.cat(grads)] if train else []), *sums.totals)
        return total / len(rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The kept gradients, scaled."""
        rows, states, *totals = ctx.saved_tensors
        scale = grad / len(rows)
        hidden = states.new_zeros(ctx.shape)
        hidden.view(-1, ctx.shape[-1])[rows] = (states * scale).to(states.dtype)
        pairs = zip(totals, ctx.kinds, strict=True)
        return None, hidden, None, *(None if total is None else (total * scale).to(kind) for total, kind in pairs)


def _trained(modules: Iterable[nn.Module], also: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """What `modules` read that wants a gradient, each once."""
    tensors = [parameter for module in modules for parameter in module.parameters()]
    return tuple({id(tensor): tensor for tensor in (*tensors, *also) if tensor.requires_grad}.values())


def _plain(model: Any) -> Any:
    """The causal LM inside a peft model, or `model` itself.

    Raises:
        ModelError: the adapter adds tokens: it changes more than the modules of the model.
    """
    if not hasattr(model, "get_base_model"):
        return model
    if getattr(model.active_peft_config, "is_prompt_learning", False):
        raise ModelError(
            "an adapter inside the model's modules (LoRA and its kin)",
            f"{model.active_peft_config.peft_type}",
            "train prompt tokens with the ordinary loss",
        )
    return model.get_base_model()


def _check(model: Any, blocks: Sequence[nn.Module], input_ids: Tensor, labels: Tensor, chunk: int) -> None:
    """Refuse what would give another number than the ordinary loss.

    Raises:
        ModelError: the family has not been tested.
        InputError: shapes, labels or chunk.
        EditError: gradient checkpointing is on.
    """
    kind = str(model.config.model_type)
    if kind not in STREAMED:
        raise ModelError(
            f"a family whose gradients in chunks are tested ({', '.join(STREAMED)})",
            f"model_type {kind!r}",
            "add it to STREAMED in editors/streaming/loss.py and to tests/editors/test_streaming.py, or use chunk 0",
        )
    if chunk < 1:
        raise InputError("a chunk of at least one token", str(chunk), "use 512, or the ordinary loss")
    if input_ids.ndim != 2 or labels.shape != input_ids.shape or not input_ids.numel():
        got = f"{tuple(input_ids.shape)} and {tuple(labels.shape)}"
        raise InputError("input_ids and labels of one shape (B, T)", got, "pad both on the right")
    if not bool((labels[:, 1:] != IGNORED).any()):
        raise InputError("a label behind the first token of some row", "none", "leave the batch out")
    if model.training and any(getattr(block, "gradient_checkpointing", False) for block in blocks):
        raise EditError("gradient checkpointing is on: turn it off, the streaming loss keeps less than it does")
