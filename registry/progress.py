"""Progress of long work, told to whoever listens; without a listener it costs nothing.

with track("targets", total=len(requests)) as advance:
    for request in requests:
        ...
        advance(1)
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol


class Listener(Protocol):
    """Is told of each piece of work: that it starts, how far it is, that it ended."""

    def start(self, title: str, total: int | None) -> int:
        """A piece of work begins; returns a key for it."""
        ...

    def advance(self, key: int, amount: int) -> None:
        """`amount` more of its `total` is done."""
        ...

    def finish(self, key: int) -> None:
        """It ended, well or not."""
        ...


_listener: ContextVar[Listener | None] = ContextVar("progress_listener", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Tell `listener` of all progress inside the block."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


@contextmanager
def track(title: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Announce a piece of work and yield the function that says how much more of it is done."""
    listener = _listener.get()
    if listener is None:
        yield lambda amount: None
        return
    key = listener.start(title, total)
    try:
        yield lambda amount: listener.advance(key, amount)
    finally:
        listener.finish(key)
