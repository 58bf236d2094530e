import pytest
import torch

from editors.workers import shares, side_by_side_rows

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
