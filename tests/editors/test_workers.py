from threading import Event, get_ident

import pytest
import torch

from editors.workers import beside, shares, side_by_side_rows

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
