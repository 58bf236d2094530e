"""What a second run needs so that it gives what the first gave: the state of the dice, and the precision."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch


class Dice:
    """Random states at the beginning of every chunk, so that dropout draws the same in the backward pass."""

    def __init__(self, device: torch.device, *, active: bool) -> None:
        """Of the CPU, and of `device` where that is another; not `active`: nothing is kept or changed."""
        self.active = active
        self.device = device if device.type == "cuda" else None
        self.states: list[tuple[torch.Tensor, torch.Tensor | None]] = []

    def keep(self) -> None:
        """Keep the state as it is now, as the next chunk's."""
        if self.active:
            other = torch.cuda.get_rng_state(self.device) if self.device else None
            self.states.append((torch.get_rng_state(), other))

    def set(self, index: int) -> None:
        """Go back to the state of chunk `index`."""
        if self.active:
            state, other = self.states[index]
            torch.set_rng_state(state)
            if self.device and other is not None:
                torch.cuda.set_rng_state(other, self.device)

    @contextmanager
    def replaying(self) -> Iterator[None]:
        """Inside the block states may be set; afterwards they are as before."""
        with torch.random.fork_rng([self.device] if self.device else [], enabled=self.active):
            yield


class Precision:
    """The automatic mixed precision of the place where it was made."""

    def __init__(self, kind: str) -> None:
        """For devices of `kind`, as `torch.device.type` names it."""
        self.kind = kind
        self.enabled = torch.is_autocast_enabled(kind)
        self.dtype = torch.get_autocast_dtype(kind)

    def again(self) -> AbstractContextManager[object]:
        """The same precision; converted weights are not kept, since they would be kept without their graph."""
        return torch.autocast(self.kind, dtype=self.dtype, enabled=self.enabled, cache_enabled=False)
