"""One block of a transformer over a sequence in chunks, with exact gradients.

With H the block's input (T, d), c a chunk of its rows, K and V the keys and values, Y_c = f(H_c, K_{<=c}, V_{<=c}), and

    dL/dH_c = (dY_c/dH_c)^T dL/dY_c + (dK_c/dH_c)^T dL/dK_c + (dV_c/dH_c)^T dL/dV_c
    dL/dK_c = sum over chunks e >= c of (dY_e/dK_c)^T dL/dY_e                      (dL/dV_c alike)

Taken from the last chunk to the first, everything that a chunk needs is there when it is reached: one run of the block
on the chunk's tokens and one backward. Kept over the forward pass is H alone; in the backward pass there are also the
keys, the values and their gradients of one block. A chunk attends to the keys up to its own end only.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from editors.streaming.calls import BlockCall
from editors.streaming.repeat import Dice, Precision
from registry.errors import EditError


@dataclass(frozen=True)
class Stream:
    """A block, and how its sequence is cut.

    Attributes:
        call: how the block is called.
        bounds: where the chunks begin and end.
        trained: tensors besides the hidden states that gradients are wanted for.
        random: whether dropout may draw.
    """

    call: BlockCall
    bounds: tuple[tuple[int, int], ...]
    trained: tuple[Tensor, ...]
    random: bool


def bounds(length: int, chunk: int) -> tuple[tuple[int, int], ...]:
    """Where chunks begin and end: all of `chunk` tokens but the first, which holds the rest."""
    stops = range(length, 0, -chunk)
    return tuple((max(stop - chunk, 0), stop) for stop in stops)[::-1]


def wide(dtype: torch.dtype) -> torch.dtype:
    """Float32, or `dtype` where that is wider: what sums over chunks are made in."""
    return torch.promote_types(dtype, torch.float32)


class Sums:
    """Gradients of several tensors, summed over chunks."""

    def __init__(self, size: int) -> None:
        """Nothing yet for any of `size` tensors."""
        self.totals: list[Tensor | None] = [None] * size

    def add(self, gradients: Sequence[Tensor | None]) -> None:
        """Add one chunk's gradients; None adds nothing."""
        for index, gradient in enumerate(gradients):
            total = self.totals[index]
            if gradient is not None and total is None:
                self.totals[index] = gradient.to(wide(gradient.dtype))
            elif gradient is not None and total is not None:
                total += gradient


class _Known(Exception):
    """Ends the run of a block once its keys and values are known."""


class Keys:
    """Stands where a block expects its cache: keeps the keys and values of the sequence, chunk by chunk."""

    def __init__(self, length: int) -> None:
        """Nothing is known of a sequence of `length` tokens yet."""
        self.length = length
        self.both: tuple[Tensor, ...] = ()  # keys and values, (B, heads, T, d_head)
        self.start, self.stop_early = 0, False

    def at(self, start: int, *, stop_early: bool = False) -> "Keys":
        """For the chunk that begins at `start`; `stop_early` ends the block's run when they are known."""
        self.start, self.stop_early = start, stop_early
        return self

    def update(self, keys: Tensor, values: Tensor, *_: Any, **__: Any) -> tuple[Tensor, ...]:
        """Take the chunk's keys and values (B, heads, c, d_head); give those of everything up to its end."""
        stop = self.start + keys.shape[2]
        if not self.both:
            self.both = tuple(new.new_empty(*new.shape[:2], self.length, new.shape[3]) for new in (keys, values))
        for kept, new in zip(self.both, (keys, values), strict=True):
            kept[:, :, self.start : stop] = new
        if self.stop_early:
            raise _Known
        return tuple(kept[:, :, :stop] for kept in self.both)

    def before(self, start: int) -> "Joined":
        """What stands before the chunk that begins at `start`."""
        return Joined([kept[:, :, :start].detach().requires_grad_() for kept in self.both] if start else [])


class Joined:
    """Stands where a block expects its cache: joins earlier keys and values, as leaves, to those of the chunk."""

    def __init__(self, before: list[Tensor]) -> None:
        """Keys and values before the chunk, (B, heads, start, d_head); none for the first."""
        self.before = before
        self.own: tuple[Tensor, ...] = ()

    def update(self, keys: Tensor, values: Tensor, *_: Any, **__: Any) -> tuple[Tensor, ...]:
        """Take the chunk's keys and values; give those of everything up to its end."""
        self.own = (keys, values)
        if not self.before:
            return self.own
        pairs = zip(self.before, self.own, strict=True)
        return tuple(torch.cat([before, own], dim=2) for before, own in pairs)


class StreamedBlock(torch.autograd.Function):
    """Y (B, T, d) of H, chunk by chunk; further arguments are the tensors in `stream.trained`."""

    @staticmethod
    def forward(ctx: Any, stream: Stream, hidden: Tensor, *trained: Tensor) -> Tensor:
        """Run the block without a graph; keep its input."""
        ctx.stream, ctx.precision = stream, Precision(hidden.device.type)
        ctx.dice = Dice(hidden.device, active=stream.random)
        ctx.save_for_backward(hidden)
        hidden = hidden.detach()
        out, cache = torch.empty_like(hidden), Keys(hidden.shape[1])
        with ctx.precision.again():
            for start, stop in stream.bounds:
                ctx.dice.keep()
                out[:, start:stop] = stream.call.run(hidden[:, start:stop], start, cache.at(start))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Run the block again, from the last chunk to the first, each with its backward."""
        stream: Stream = ctx.stream
        hidden = ctx.saved_tensors[0].detach()
        with ctx.dice.replaying(), ctx.precision.again():
            cache = Keys(hidden.shape[1])
            for index, (start, stop) in enumerate(stream.bounds[:-1]):
                ctx.dice.set(index)
                with suppress(_Known):
                    stream.call.run(hidden[:, start:stop], start, cache.at(start, stop_early=True))
            return None, *_backward(stream, hidden, grad, cache, ctx.dice)


def _backward(stream: Stream, hidden: Tensor, grad: Tensor, cache: Keys, dice: Dice) -> tuple[Tensor | None, ...]:
    """Gradients of H and of the trained tensors.

    Args:
        stream: the block.
        hidden: H, (B, T, d).
        grad: dL/dY, (B, T, d).
        cache: keys and values of all chunks but the last.
        dice: random states of the chunks.
    """
    sums = Sums(len(stream.trained))
    grad_hidden = torch.empty_like(hidden)
    grad_both = [torch.zeros_like(kept, dtype=wide(kept.dtype)) for kept in cache.both]
    for index in reversed(range(len(stream.bounds))):
        start, stop = stream.bounds[index]
        own = hidden[:, start:stop].detach().requires_grad_()
        joined = cache.before(start)
        dice.set(index)
        with torch.enable_grad():
            outputs = [stream.call.run(own, start, joined)]
        grads = [grad[:, start:stop]]
        if stop < hidden.shape[1]:
            outputs += joined.own
            pairs = zip(grad_both, joined.own, strict=True)
            grads += [total[:, :, start:stop].to(kept.dtype) for total, kept in pairs]
        else:
            _check_leaves(outputs[0], (own, *joined.before, *stream.trained))
        wanted = (own, *joined.before, *stream.trained)
        found = torch.autograd.grad(outputs, wanted, grads, allow_unused=True)
        del outputs
        grad_hidden[:, start:stop] = found[0]
        for total, new in zip(grad_both, found[1 : 1 + len(joined.before)], strict=False):
            if new is not None:
                total[:, :, :start] += new
        sums.add(found[1 + len(joined.before) :])
    ends = zip(sums.totals, stream.trained, strict=True)
    return grad_hidden, *(None if total is None else total.to(tensor.dtype) for total, tensor in ends)


def _check_leaves(output: Tensor, known: Sequence[Tensor]) -> None:
    """Refuse a graph that ends in a tensor that nobody asked for: its gradient would be lost without a word.

    Raises:
        EditError: the block reads a tensor with a gradient that is neither its parameter nor named in `also`.
    """
    ends = {id(tensor) for tensor in known}
    seen = {tensor.grad_fn for tensor in known}
    todo = [output.grad_fn]
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)
        if leaf is not None and id(leaf) not in ends:
            raise EditError(
                f"a block reads a tensor of shape {tuple(leaf.shape)} that has a gradient and is not among its "
                "parameters; name it in streaming_loss(..., also=[...])"
            )
        todo += [following for following, _ in node.next_functions]
