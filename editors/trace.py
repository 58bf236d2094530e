"""Looking into a forward pass: hooks that always come off, and blocks that can be run again on other hidden states."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import wraps
from threading import get_ident
from typing import Any

import torch
from torch import Tensor, nn


class _Enough(Exception):
    """Ends a forward pass once everything that was asked for has been seen."""


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Evaluation mode (no dropout) inside the block; afterwards every module's mode is as it was."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@contextmanager
def inputs_of(modules: Mapping[Any, nn.Module], *, stop: bool = True) -> Iterator[dict[Any, Tensor]]:
    """Record the first positional input of each module during the forward passes inside the block.

    Args:
        modules: what to watch, by any key.
        stop: end the forward pass as soon as the last of them was reached; what lies above is not computed.

    Yields:
        The inputs by the same keys, those of the latest pass.
    """
    seen: dict[Any, Tensor] = {}

    def watch(key: Any) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def hook(module: nn.Module, args: tuple[Any, ...]) -> None:
            seen[key] = args[0]
            if stop and len(seen) == len(modules):
                raise _Enough

        return hook

    with ExitStack() as stack:
        for key, module in modules.items():
            stack.callback(module.register_forward_pre_hook(watch(key)).remove)
        with suppress(_Enough):
            yield seen


@dataclass(frozen=True)
class BlockCalls:
    """What blocks were called with in one forward pass, so that they can be run again on other hidden states.

    Attributes:
        first: index of the first recorded block.
        blocks: the recorded blocks.
        hidden: input of the first recorded block, (B, T, d).
        args: further positional arguments of each block (masks, caches).
        kwargs: keyword arguments of each block.
    """

    first: int
    blocks: tuple[nn.Module, ...]
    hidden: Tensor
    args: tuple[tuple[Any, ...], ...]
    kwargs: tuple[Mapping[str, Any], ...]

    def run(self, hidden: Tensor, start: int, stop: int) -> Tensor:
        """Run blocks `start` to `stop` - 1 (indices in the model) on `hidden`, the input of block `start`."""
        for index in range(start - self.first, stop - self.first):
            out = self.blocks[index](hidden, *self.args[index], **self.kwargs[index])
            hidden = out[0] if isinstance(out, tuple) else out
        return hidden

    def select(self, rows: Tensor) -> "BlockCalls":
        """The same calls for some rows of the batch only (caches excepted: select those yourself)."""
        batch = self.hidden.shape[0]
        return replace(
            self,
            hidden=self.hidden[rows],
            args=tuple(tuple(_rows_of(value, rows, batch) for value in args) for args in self.args),
            kwargs=tuple({k: _rows_of(value, rows, batch) for k, value in kwargs.items()} for kwargs in self.kwargs),
        )


def _rows_of(value: Any, rows: Tensor, batch: int) -> Any:
    """Rows of every tensor in `value` that has one entry per row of the batch."""
    if isinstance(value, Tensor) and value.ndim > 1 and value.shape[0] == batch:
        return value[rows]
    if isinstance(value, tuple):
        return tuple(_rows_of(item, rows, batch) for item in value)
    return value


def record_blocks(
    model: Any, blocks: Sequence[nn.Module], first: int, last: int, inputs: Mapping[str, Any]
) -> BlockCalls:
    """Run `model.base_model(**inputs)` up to block `first` and record how blocks first..last would be called.

    Blocks below `first` run once. Block `first` runs too, so that the others can give their input in the form of its
    output; those are not computed. No gradients.
    """
    calls: list[tuple[Tensor, tuple[Any, ...], Mapping[str, Any]]] = []
    others: list[tuple[Any, ...] | None] = []

    def noting(forward: Callable[..., Any]) -> Callable[..., Any]:
        def note(*args: Any, **kwargs: Any) -> Any:
            rest = dict(kwargs)
            hidden, *further = args or (rest.pop("hidden_states"),)
            calls.append((hidden, tuple(further), rest))
            if len(calls) == last - first + 1:
                raise _Enough
            if not others:
                out = forward(*args, **kwargs)
                others.append(out[1:] if isinstance(out, tuple) else None)
                return out
            return hidden if others[0] is None else (hidden, *others[0])

        return note

    with suppress(_Enough), torch.no_grad(), in_place_of_forward(blocks[first : last + 1], noting):
        model.base_model(**inputs)
    return BlockCalls(
        first=first,
        blocks=tuple(blocks[first : last + 1]),
        hidden=calls[0][0],
        args=tuple(call[1] for call in calls),
        kwargs=tuple(call[2] for call in calls),
    )


@contextmanager
def in_place_of_forward(
    modules: Sequence[nn.Module], make: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> Iterator[None]:
    """Inside the block, in this thread, `make` of its forward is called in place of each module's forward."""
    thread = get_ident()

    def here(forward: Callable[..., Any]) -> Callable[..., Any]:
        made = make(forward)

        @wraps(forward)
        def either(*args: Any, **kwargs: Any) -> Any:
            return (made if get_ident() == thread else forward)(*args, **kwargs)

        return either

    with ExitStack() as stack:
        for module in modules:
            stack.callback(_put_back, module, vars(module).get("forward"))
            module.forward = here(module.forward)
        yield


def _put_back(module: nn.Module, forward: Callable[..., Any] | None) -> None:
    """Give `module` the forward of its own that it had; None: that of its class."""
    if forward is None:
        del module.forward
    else:
        module.forward = forward


@contextmanager
def replaced(model: Any, name: str, value: Tensor) -> Iterator[None]:
    """Parameter `name` with another value inside the block; afterwards every bit is as before."""
    parameter = model.get_parameter(name)
    original = parameter.detach().clone()
    parameter.data.copy_(value)
    try:
        yield
    finally:
        parameter.data.copy_(original)


def padded(pieces: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Token ids padded at the right, where no real token can see it, and which are real; both (B, T)."""
    longest = max(map(len, pieces))
    ids = torch.tensor([[*piece, *[0] * (longest - len(piece))] for piece in pieces], device=device)
    lengths = torch.tensor([len(piece) for piece in pieces], device=device)
    return ids, torch.arange(longest, device=device)[None] < lengths[:, None]
