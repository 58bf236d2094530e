"""The benchmarks of the training loss and of the editors' inner loops: what they search for, and that they run."""

from argparse import Namespace
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """A module of benchmarks/ by name."""
    monkeypatch.syspath_prepend(str(REPOSITORY))
    return lambda name: import_module(f"benchmarks.{name}")


def figures(way: str, length: int, mb: float, seconds: float = 2.0) -> dict[str, Any]:
    return {
        "way": way,
        "length": length,
        "chunk": 0,
        "runs": 1,
        "mb": mb,
        "forward_s": seconds / 2,
        "backward_s": seconds / 2,
    }


@pytest.mark.parametrize(("fixed", "slope"), [(100.0, 0.9), (100.0, 0.1), (0.0, 0.012)])
def test_the_longest_sequence_is_found(
    fixed: float, slope: float, script: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    streaming = script("streaming")
    asked: list[int] = []

    def get(self: Any, way: str, length: int, runs: int = 1) -> dict[str, Any]:
        asked.append(length)
        return figures(way, length, fixed + slope * length + 1e-6 * length**2)

    monkeypatch.setattr(streaming.Runs, "get", get)
    found = streaming.Runs(Namespace(out=tmp_path / "none.json", most=1 << 20)).longest("chunks", 1000.0)
    above = found + max(streaming.STEP, streaming.CLOSE * found)
    assert fixed + slope * found + 1e-6 * found**2 <= 1000.0 < fixed + slope * above + 1e-6 * above**2
    assert found in asked
    assert len(set(asked)) < 12


def test_no_sequence_is_longer_than_what_is_to_be_looked_at(
    script: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    streaming = script("streaming")
    asked: list[int] = []

    def get(self: Any, way: str, length: int, runs: int = 1) -> dict[str, Any]:
        asked.append(length)
        return figures(way, length, 1.0)

    monkeypatch.setattr(streaming.Runs, "get", get)
    assert streaming.Runs(Namespace(out=tmp_path / "none.json", most=4864)).longest("chunks", 1000.0) == 4864
    assert max(asked) == 4864


def test_nothing_fits(script: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    streaming = script("streaming")
    monkeypatch.setattr(streaming.Runs, "get", lambda self, way, length: figures(way, length, 5000.0))
    assert streaming.Runs(Namespace(out=tmp_path / "none.json")).longest("ordinary", 1000.0) == 0


def test_of_two_runs_the_faster_time_and_the_larger_memory_count(script: Callable[[str], Any]) -> None:
    streaming = script("streaming")
    both = streaming.merged(figures("chunks", 1024, 90.0, 4.0), figures("chunks", 1024, 100.0, 3.0))
    assert (both["runs"], both["mb"], streaming.seconds(both)) == (2, 100.0, 3.0)
    report = {
        "cells": [figures("checkpoint", 1024, 200.0, 2.0), both],
        "longest": {"chunks": 4096},
        "budget_mb": 1500,
        "most": 8192,
    }
    text = streaming.table(report)
    assert "| 1024 | chunks | 100 | 3.0 | 0.50 of the memory, 1.50 of the time |" in text
    assert "| 4096 | chunks: the longest within 1500 MB |" in text
    assert "longest looked at, is within" in streaming.table({**report, "most": 4096})


def test_the_cost_of_an_edit_stands_beside_that_of_the_smallest_batch(script: Callable[[str], Any]) -> None:
    fits = [
        {
            "n": n,
            "cpu_seconds": cpu * n,
            "right": n - 1,
            "prompts": n,
            "bytes_of_factors": 3000 * n,
            "peak_rss_mb": peak,
        }
        for n, cpu, peak in ((40, 1.5, 9), (400, 2.5, 11), (40, 2.5, 8))
    ]
    text = script("cost").section({"data": "edits.jsonl", "digest": "d" * 64, "seed": 0, "fits": fits})
    assert "| 40 | 2 | 2.00 | 1.00 | .97 (.91-.99) | 3.0 | 9 |" in text
    assert "| 400 | 1 | 2.50 | 1.25 |" in text


def test_small_batches_are_parts_of_the_largest_on_both_sides_of_it(script: Callable[[str], Any]) -> None:
    fits = script("cost").order([400, 40], 4)
    assert fits == [(40, 0), (40, 80), (400, 0), (40, 40), (40, 120)]
    assert script("cost").order([40, 100], 4) == [(40, 0), (100, 0), (40, 40)]


def test_the_inner_loops_run_on_a_small_model(script: Callable[[str], Any]) -> None:
    models, gpu = script("gpu_models"), script("gpu")
    shape = {**models.SIZES["tiny"].shape, "hidden_size": 32, "intermediate_size": 64, "vocab_size": 512}
    size = models.Size(shape, 2, (1, 2), 300, 64, 16, 1, 32)
    bench = gpu.Bench(size, torch.device("cpu"), torch.float32)
    before = gpu.weights_digest(bench.model)
    targets, moments = bench.targets(), bench.moments()
    assert targets["facts"] == 2
    assert min(targets[f"batch_{batch}"]["per_s"] for batch in (1, 2)) > 0
    assert targets["gflop_per_target"] > 0
    assert moments["tokens"] == 300
    for chunk in (0, 16):
        found = bench.training("lora", chunk, steps=1)
        assert (found["tokens"], found["chunk"], found["blocks_trained"]) == (64, chunk, 1)
        assert found["step_s"] > 0
        assert found["share"] > 0
    assert gpu.weights_digest(bench.model) == before


def test_what_does_not_fit_is_said_and_the_rest_goes_on(script: Callable[[str], Any]) -> None:
    def full() -> dict[str, Any]:
        raise torch.OutOfMemoryError("no room\nmore")

    assert script("gpu").tried(full) == {"failed": "OutOfMemoryError: no room"}
    with pytest.raises(ZeroDivisionError):
        script("gpu").tried(lambda: 1 / 0)
