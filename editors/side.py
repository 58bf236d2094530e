"""Side memories of one MLP down-projection: which memory serves which sequence, and where it is added.

A `Station` sits on one down-projection and holds every memory that is on, in the order in which they were switched on.
At the prompt it asks each memory for a score per sequence, in units of the memory's own threshold. The best score
serves the sequence if it is above 1 (of those near it the latest memory), else the main memory does, whose rows come
out bit for bit as without a station. The choice is held while the sequence decodes (`editors.sequences`). A later
piece of a prompt (more than one token on a filled cache) can raise the score and so change the choice, never lower it.

Where a norm lies between the MLP and the residual stream (Gemma 2 and 3, OLMo 2) a memory says on which side of it its
change is added: what is added before the norm moves the stream no further than the norm lets it.

Stations are found on the module itself; nothing is kept elsewhere.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from editors.layouts import Layout, layout_of
from editors.sequences import Watch

MAIN = -1
"""Route of a sequence that the main memory serves."""

TIE = 0.1
"""Scores that lie within this share of the best count as equal: of two memories of one fact the latest serves."""


@dataclass(frozen=True)
class Keys:
    """What the down-projection is given in one call.

    Attributes:
        values: (B, T, d_in), as the model has them.
        real: (B, T), False at padding.
        prefill: whether the sequences begin here, or go on by more than one token of the prompt.
    """

    values: Tensor
    real: Tensor
    prefill: bool

    @property
    def last(self) -> Tensor:
        """Index of each sequence's last token that is no padding, (B,)."""
        places = torch.arange(self.real.shape[1], device=self.real.device)
        return torch.where(self.real, places, 0).max(dim=1).values

    @property
    def last_values(self) -> Tensor:
        """The keys there, (B, d_in), float32."""
        rows = torch.arange(len(self.values), device=self.values.device)
        return self.values[rows, self.last].to(torch.float32)

    def rows(self, index: Tensor) -> "Keys":
        """Some of the sequences."""
        return Keys(self.values[index], self.real[index], self.prefill)


class SideMemory(ABC):
    """Something beside a down-projection that can serve whole sequences in its place.

    Attributes:
        behind: whether its change is added behind the norm that follows the MLP, where there is one.
    """

    behind: bool = False

    @classmethod
    @abstractmethod
    def scores(cls, memories: Sequence[Self], keys: Keys) -> Tensor:
        """How much each memory claims each sequence, (B, memories), float32; above 1 it claims it."""

    @abstractmethod
    def change(self, keys: Keys, output: Tensor) -> Tensor:
        """What is added to the down-projection's `output` (B, T, d_out) for sequences that this memory serves."""


class Station:
    """Routes sequences between the memories of one down-projection."""

    def __init__(self, model: Any, layout: Layout, layer: int) -> None:
        """Hook into the down-projection of block `layer`, and into the norm behind it."""
        self._watch = Watch.on(model)
        self._memories: dict[int, SideMemory] = {}
        self._next = 0
        self._name = layout.down_name(layer)
        self._norm = layout.post_norm(model, layer)
        self._hooks = [layout.down_module(model, layer).register_forward_hook(self._serve)]
        if self._norm is not None:
            self._hooks.append(self._norm.register_forward_hook(self._serve_behind))

    @classmethod
    def of(cls, module: nn.Module) -> "Station | None":
        """The station on a module, if any."""
        owners = (getattr(hook, "__self__", None) for hook in module._forward_hooks.values())
        return next((owner for owner in owners if isinstance(owner, cls)), None)

    @classmethod
    def add(cls, model: Any, layer: int, memories: Sequence[SideMemory]) -> Callable[[], None]:
        """Switch memories of block `layer` on; gives what switches them off again."""
        if not memories:
            return lambda: None
        layout = layout_of(model)
        station = cls.of(layout.down_module(model, layer)) or cls(model, layout, layer)
        serials = range(station._next, station._next + len(memories))
        station._next += len(memories)
        station._memories.update(zip(serials, memories, strict=True))

        def undo() -> None:
            for serial in serials:
                del station._memories[serial]
            if not station._memories:
                for hook in station._hooks:
                    hook.remove()
                station._watch.release()

        return undo

    def _serve(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
        """The forward hook: choose at the prompt, hold afterwards, add what the chosen memory changes."""
        call = self._watch.call
        if call is None or not call.routed:
            return None
        shape = (call.rows, call.tokens)
        values, out = args[0].reshape(*shape, -1), output.reshape(*shape, -1)
        real = call.real if call.real is not None else torch.ones(shape, dtype=torch.bool, device=values.device)
        keys = Keys(values, real.to(values.device), not call.decoding)
        if keys.prefill:
            self._choose(call.state, keys)
        route = call.state.get(self._name)
        if route is None:
            return None
        changed = None
        for serial in sorted(set(route.tolist())):
            memory = self._memories.get(serial)
            if memory is None:
                continue
            index = (route == serial).nonzero()[:, 0].to(values.device)
            change = memory.change(keys.rows(index), out[index]).to(out.dtype)
            if memory.behind and self._norm is not None:
                call.left.setdefault(self._name, torch.zeros_like(out))[index] = change
            else:
                changed = out.clone() if changed is None else changed
                changed[index] += change
        return None if changed is None else changed.reshape(output.shape)

    def _serve_behind(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
        """The norm's forward hook: add what memories want to be added behind it."""
        change = self._watch.call.left.pop(self._name, None) if self._watch.call is not None else None
        return None if change is None else output + change.reshape(output.shape)

    def _choose(self, state: dict[str, Tensor], keys: Keys) -> None:
        """Decide for every sequence, by the scores of this piece of the prompt and of those before it."""
        serials = list(self._memories)
        kinds: dict[type[SideMemory], list[int]] = {}
        for position, serial in enumerate(serials):
            kinds.setdefault(type(self._memories[serial]), []).append(position)
        scores = torch.zeros(len(keys.real), len(serials), device=keys.values.device)
        with torch.no_grad():
            for kind, positions in kinds.items():
                found = kind.scores([self._memories[serials[i]] for i in positions], keys)
                scores[:, positions] = torch.nan_to_num(found, nan=0.0)
        best = scores.max(dim=1).values
        near = scores >= (best * (1 - TIE)).clamp(min=1)[:, None]
        latest = torch.where(near, torch.arange(len(serials), device=best.device), 0).max(dim=1).values
        route = torch.tensor(serials, device=best.device)[latest]
        route = torch.where(best > 1, route, MAIN)
        if self._name in state:
            earlier = state[f"{self._name}.score"]
            route = torch.where(best > earlier, route, state[self._name])
            best = torch.maximum(best, earlier)
        state[self._name], state[f"{self._name}.score"] = route, best
