"""Which sequences a forward call carries: hooks can decide something once per sequence, and find it again later.

A side memory decides at the prompt (prefill) what serves a sequence, and must hold that while it decodes. `Watch` sits
on the base model and tells hooks inside of it about the call that they are in. What a hook keeps in `Call.state`, one
entry per sequence, is stored with the key/value cache that the call leaves behind, follows the cache's own row
operations (beams that are reordered, rows that are dropped or repeated, copies), and is there in the next call with
that cache. No state is kept anywhere else: a cache that is thrown away takes its own with it.

    watch = Watch.on(model)          # shared by everything that watches this model
    call = watch.call                # inside a hook: the call of this thread, None outside of a call
    if call.routed and call.prefill:
        call.state["mine"] = decide(...)   # (rows, ...)
    watch.release()                  # the last to release takes the hooks off

Followed: calls without a cache, `generate` (greedy, sampled, beams), `editors.generate`, static caches that are not
compiled, padding on either side when the attention mask says so. Rows of a cache that were changed by hand are refused
when their number shows it.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

from torch import Tensor

from registry.errors import EditError


@dataclass
class Call:
    """One forward call of the base model.

    Attributes:
        rows: how many sequences.
        tokens: how many new tokens each, padding included.
        past: how many tokens the cache holds already, padding included.
        real: (rows, tokens), False at padding; None when nothing is padded.
        ids: (rows, tokens) token ids; None when embeddings were given.
        routed: False where rows are no sequences of their own (several texts packed into one row), the caller asked
            for the base model (`unrouted`), or the sequences began before anybody watched: leave the call alone.
        state: per-sequence values by name, (rows, ...): those of earlier calls with this cache, and what hooks add.
        left: what a hook leaves for a later one of the same call, by name; gone with the call.
    """

    rows: int
    tokens: int
    past: int
    real: Tensor | None
    ids: Tensor | None
    routed: bool
    state: dict[str, Tensor] = field(default_factory=dict)
    left: dict[str, Tensor] = field(default_factory=dict)

    @property
    def prefill(self) -> bool:
        """Whether the sequences begin here."""
        return self.past == 0

    @property
    def decoding(self) -> bool:
        """Whether each sequence goes on by the one token that was chosen last."""
        return self.past > 0 and self.tokens == 1


class Watch:
    """Follows the sequences of one model through its calls; made by `Watch.on`, and the same for all its users."""

    def __init__(self, module: Any) -> None:
        """Hook into the base model `module`."""
        self._users = 0
        self._local = _Local()
        self._hooks = (
            module.register_forward_pre_hook(self._enter, with_kwargs=True, prepend=True),
            module.register_forward_hook(self._leave, with_kwargs=True, always_call=True),
        )

    @classmethod
    def on(cls, model: Any) -> "Watch":
        """The watch on `model`, made when there is none; call `release` when done."""
        watch = cls.of(model) or cls(model.base_model)
        watch._users += 1
        return watch

    @classmethod
    def of(cls, model: Any) -> "Watch | None":
        """The watch that is on `model`, if any."""
        owners = (getattr(hook, "__self__", None) for hook in model.base_model._forward_pre_hooks.values())
        return next((owner for owner in owners if isinstance(owner, cls)), None)

    def release(self) -> None:
        """One user fewer; the last one takes the hooks off."""
        self._users -= 1
        if self._users == 0:
            for hook in self._hooks:
                hook.remove()

    @property
    def call(self) -> Call | None:
        """The call that this thread is in; None outside, also where blocks are run by themselves."""
        return self._local.calls[-1] if self._local.calls else None

    def _enter(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        held = _cache_in((*args, *kwargs.values()))
        ids = kwargs.get("input_ids", args[0] if args else None)
        shape = ids.shape if ids is not None else kwargs["inputs_embeds"].shape
        past = int(held.get_seq_length()) if held is not None else 0
        mask, state = kwargs.get("attention_mask"), _state_of(held) if past else {}
        real, packed = _real(mask, int(shape[1]), past, held)
        begun = past == 0 or state is not None
        routed = not packed and begun and not self._local.unrouted
        call = Call(int(shape[0]), int(shape[1]), past, real, ids, routed, dict(state or {}))
        self._local.calls.append(call)
        for name, values in call.state.items():
            if len(values) != call.rows:
                raise EditError(
                    f"expected a cache of the {len(values)} sequences that it was filled with, got {call.rows} rows "
                    f"({name}); select rows with the cache's own batch_select_indices or reorder_cache"
                )

    def _leave(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        if not self._local.calls:
            return
        call = self._local.calls.pop()
        values = output.values() if hasattr(output, "values") else output if isinstance(output, tuple) else ()
        left = _cache_in(values) or _cache_in((*args, *kwargs.values()))
        if output is not None and left is not None and (call.routed or call.past == 0):
            _keep(left, call.state)


@contextmanager
def unrouted(model: Any) -> Iterator[None]:
    """Inside the block, in this thread, calls of `model` are those of the model without side memories."""
    watch = Watch.of(model)
    if watch is None:
        yield
        return
    watch._local.unrouted += 1
    try:
        yield
    finally:
        watch._local.unrouted -= 1


class _Local(threading.local):
    """What one thread is in."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.unrouted = 0


@cache
def _following(kind: Any) -> Any:
    """`kind`, a cache's class of layers, with per-sequence values that follow what is done to the cache's rows."""

    class Following(kind):  # type: ignore[misc]
        row_state: dict[str, Tensor]
        _layer_type = None  # transformers lists classes of layers that name a type; this one is not to be listed

        def reorder_cache(self, beam_idx: Tensor) -> None:
            super().reorder_cache(beam_idx)
            self.row_state = {name: values[beam_idx.to(values.device)] for name, values in self.row_state.items()}

        def batch_select_indices(self, indices: Tensor) -> None:
            super().batch_select_indices(indices)
            self.row_state = {name: values[indices.to(values.device)] for name, values in self.row_state.items()}

        def batch_repeat_interleave(self, repeats: int) -> None:
            super().batch_repeat_interleave(repeats)
            self.row_state = {name: values.repeat_interleave(repeats, 0) for name, values in self.row_state.items()}

    return Following


def _keep(held: Any, state: dict[str, Tensor]) -> None:
    """Store per-sequence values with a cache."""
    layer = held.layers[0]
    if not hasattr(layer, "row_state"):
        layer.__class__ = _following(cast(Any, type(layer)))
    layer.row_state = state


def _state_of(held: Any) -> dict[str, Tensor] | None:
    """The per-sequence values of a cache; None when it was filled while nobody watched."""
    return getattr(held.layers[0], "row_state", None)


def _cache_in(values: Any) -> Any | None:
    """The key/value cache among some values."""
    from transformers import Cache

    return next((value for value in values if isinstance(value, Cache)), None)


def _real(mask: Any, tokens: int, past: int, held: Any) -> tuple[Tensor | None, bool]:
    """Which of the new tokens are no padding, and whether rows are packed (a mask of another form says so)."""
    if mask is None:
        return None, False
    if not isinstance(mask, Tensor):
        return None, True
    if mask.ndim == 2:
        return mask[:, past : past + tokens].bool(), False
    if held is None or not held.is_compileable:
        return None, True
    # A static cache: `generate` has made the mask, in which the last token sees everything but padding.
    seen = mask[:, 0, -1, past : past + tokens]
    return seen >= 0 if seen.dtype.is_floating_point else seen.bool(), False
