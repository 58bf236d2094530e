"""One writer per home: a file lock that the kernel drops when its holder dies."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from registry.errors import BusyError
from registry.home import Home

WAIT_S = 60.0
"""Seconds that a writing command waits for another one."""

_held: ContextVar[frozenset[Path]] = ContextVar("writer_locks_held", default=frozenset())


@contextmanager
def writer(home: Home, *, wait_s: float = WAIT_S) -> Iterator[None]:
    """Hold the writer's lock of `home`; inside the block the same context may ask for it again.

    Threads and tasks that inherit the context of the holder count as the holder; all others wait.

    Args:
        home: whose lock.
        wait_s: seconds to wait for it; 0 tries once.

    Raises:
        BusyError: another writer held it for longer than `wait_s`.
    """
    path = home.writer_lock
    if path in _held.get():
        yield
        return
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, timeout=wait_s)
    try:
        lock.acquire()
    except Timeout as error:
        raise BusyError(
            f"another process has been writing to {home.root} for longer than {wait_s:g} s; wait for it, or end it"
        ) from error
    token = _held.set(_held.get() | {path})
    try:
        yield
    finally:
        _held.reset(token)
        lock.release()
