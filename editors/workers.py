"""Independent pieces of model work side by side on a CPU.

Rows of a few tokens keep one core busy and little more, so cores are used better by several batches than within one.
Which rows are in a batch, and with it the last bits of what is computed, depends on how many cores there are.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event, local
from typing import Any, TypeVar

import torch

T = TypeVar("T")
_here = local()
"""Of a worker's thread: `unwanted`, the event that says that nobody waits for it any more."""


class Abandoned(Exception):
    """Nobody waits for what this thread makes: the work that it is a part of was interrupted or has failed."""


def go_on() -> None:
    """To be called at every step of a long task, so that Ctrl-C need not wait for its end.

    Raises:
        Abandoned: in a thread of `side_by_side` or `beside` whose block has been left by an exception.
    """
    unwanted = getattr(_here, "unwanted", None)
    if unwanted is not None and unwanted.is_set():
        raise Abandoned


@contextmanager
def side_by_side(device: torch.device, tasks: int) -> Iterator[Callable[..., Iterable[Any]]]:
    """A `map` that runs tasks side by side on a CPU, each in one thread; one after the other elsewhere.

    Args:
        device: where the model is.
        tasks: how many there will be; a single one keeps all threads.
    """
    threads = torch.get_num_threads()
    if device.type != "cpu" or tasks < 2:
        yield map
        return
    with _workers(min(threads, tasks)) as pool:
        yield pool.map


@contextmanager
def beside(device: torch.device, task: Callable[[], T]) -> Iterator[Callable[[], T]]:
    """Run `task` in a thread of its own while the block runs, on one core; the others are the block's.

    For a task that one core does about as fast as all of them: a few rows that write much, where every token reads all
    weights. Elsewhere than on a CPU of several cores it runs after the block.

    Args:
        device: where the model is.
        task: what to do; its models must not be changed meanwhile.

    Yields:
        What waits for the task and gives its result; to be called when the block has ended.
    """
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads < 2:
        yield task
        return
    with _workers(1) as pool:
        later = pool.submit(task)
        torch.set_num_threads(threads - 1)
        yield later.result


@contextmanager
def _workers(count: int) -> Iterator[ThreadPoolExecutor]:
    """Threads of one core each; an exception in the block ends their tasks at the next `go_on`."""
    threads = torch.get_num_threads()
    unwanted = Event()

    def begin() -> None:
        torch.set_num_threads(1)
        _here.unwanted = unwanted

    try:
        with ThreadPoolExecutor(count, initializer=begin) as pool:
            try:
                yield pool
            except BaseException:  # Ctrl-C as well
                unwanted.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    finally:
        torch.set_num_threads(threads)


def shares(device: torch.device, rows: int, most: int) -> int:
    """How many batches of at most `most` rows there should be, so that no worker waits for the others."""
    workers = torch.get_num_threads() if device.type == "cpu" else 1
    return max(1, min(rows, workers * -(-rows // (workers * most))))


def side_by_side_rows(device: torch.device, rows: int, most: int) -> int:
    """How many rows a batch should have, at most `most`, so that no worker waits for the others."""
    return max(1, -(-rows // shares(device, rows, most)))
