from collections.abc import Callable
from contextlib import suppress
from threading import Barrier, Event, get_ident
from time import monotonic, sleep

import pytest
import torch

from editors.workers import Abandoned, beside, go_on, shares, side_by_side, side_by_side_rows

CPU, OTHER = torch.device("cpu"), torch.device("meta")


@pytest.fixture
def three_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)


@pytest.mark.usefixtures("three_cores")
@pytest.mark.parametrize(("rows", "batches", "size"), [(334, 6, 56), (300, 3, 100), (301, 6, 51), (7, 3, 3), (1, 1, 1)])
def test_every_worker_gets_as_many_batches_as_the_others(rows: int, batches: int, size: int) -> None:
    assert shares(CPU, rows, 100) == batches
    assert side_by_side_rows(CPU, rows, 100) == size
    assert -(-rows // size) <= batches


@pytest.mark.usefixtures("three_cores")
def test_elsewhere_a_batch_is_as_large_as_it_may_be() -> None:
    assert shares(OTHER, 334, 100) == 4
    assert side_by_side_rows(OTHER, 334, 100) == 84
    assert shares(CPU, 0, 100) == side_by_side_rows(CPU, 0, 100) == 1


def test_a_task_beside_the_block_has_one_core_and_the_block_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = {get_ident(): 3}
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads[get_ident()])
    monkeypatch.setattr(torch, "set_num_threads", lambda count: threads.__setitem__(get_ident(), count))
    begun, free = Event(), Event()

    def task() -> tuple[int, int]:
        begun.set()
        assert free.wait(60)
        return get_ident(), threads[get_ident()]

    with beside(CPU, task) as later:
        assert begun.wait(60), "it runs while the block does"
        assert threads[get_ident()] == 2
        free.set()
    thread, count = later()
    assert (thread != get_ident(), count) == (True, 1)
    assert threads[get_ident()] == 3


@pytest.mark.parametrize(("device", "cores"), [(CPU, 1), (OTHER, 3)])
def test_without_a_core_to_spare_it_runs_after_the_block(
    device: torch.device, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: cores)
    order: list[str] = []
    with beside(device, lambda: order.append("task")) as later:
        order.append("block")
    later()
    assert order == ["block", "task"]


@pytest.mark.usefixtures("three_cores")
def test_what_goes_wrong_in_it_is_told_and_the_cores_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", given.append)

    def task() -> None:
        raise ValueError("mine")

    with beside(CPU, task) as later:
        pass
    with pytest.raises(ValueError, match="mine"):
        later()
    assert given[-1] == 3


def slow(begun: Barrier, ended: list[str], step: Callable[[], None]) -> None:
    """A task of two seconds that says how it ended."""
    begun.wait(60)
    until = monotonic() + 2
    try:
        while monotonic() < until:
            sleep(0.01)
            step()
    except Abandoned:
        ended.append("abandoned")
        raise
    ended.append("done")


def interrupt(begun: Barrier) -> None:
    """Ctrl-C, once a task has begun in every worker."""
    begun.wait(60)
    raise KeyboardInterrupt


@pytest.mark.usefixtures("three_cores")
@pytest.mark.parametrize(("step", "how"), [(go_on, "abandoned"), (lambda: None, "done")])
@pytest.mark.parametrize(("where", "workers"), [("beside", 1), ("side by side", 3)])
def test_an_interrupted_block_ends_what_runs_for_it(
    step: Callable[[], None], how: str, where: str, workers: int
) -> None:
    """Ctrl-C in the block: the task ends at its next step; one that takes none (the control) is waited for."""
    begun, ended = Barrier(workers + 1), list[str]()
    with suppress(KeyboardInterrupt):
        if where == "beside":
            with beside(CPU, lambda: slow(begun, ended, step)):
                interrupt(begun)
        else:
            with side_by_side(CPU, 9) as run:
                run(lambda _: slow(begun, ended, step), range(9))
                interrupt(begun)
    assert ended == [how] * workers, "tasks that had not begun never do"
    go_on()  # this thread is nobody's worker
