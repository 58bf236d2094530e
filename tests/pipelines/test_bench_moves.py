"""The bench of moves between releases: its table follows from its figures, and the README has its commands."""

import json
import shlex
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def test_the_request_is_the_one_of_the_readme() -> None:
    moves: Any = import_module("benchmarks.moves")
    told = (ROOT / "README.md").read_text(encoding="utf-8").replace("\\\n", "")
    lines = {tuple(shlex.split(line, comments=True)) for line in told.splitlines() if line.startswith("dmmgov ")}
    for command in moves.COMMANDS.splitlines():
        assert ("dmmgov", *shlex.split(command)) in lines, command


def test_the_table_follows_from_the_figures() -> None:
    moves: Any = import_module("benchmarks.moves")
    found = json.loads((ROOT / "benchmarks" / "results" / "moves.json").read_text(encoding="utf-8"))
    found |= {"rollback": 1.5, "load": 0.5, "checkpoint": 10_000_000, "in_weights": 10}
    found |= {"bytes": {"delta": 5_000, "snapshots": 50_000}, "revoke": {"take out": 1.0, "gates": 2.0, "publish": 0.5}}
    told = moves.section(found)
    assert "| rollback beyond loading the model | 1.00 s (0.50 s of loading) | 1 s |" in told
    assert "| a release of 100 facts at that rate, with its snapshots | 1.00% of the checkpoint | 1 % |" in told
    assert "| the same with its gates and publishing | 3.5 s," in told


def test_the_measured_figures_keep_the_lines() -> None:
    found = json.loads((ROOT / "benchmarks" / "results" / "moves.json").read_text(encoding="utf-8"))
    assert found["rollback"] - found["load"] <= 1
    assert found["revoke"]["take out"] <= found["batch"]["write"] / 20
    assert sum(one["seconds"] for one in found["commands"]) <= 120
    each = found["bytes"]["delta"] / found["in_weights"]
    assert 100 * each + found["bytes"]["snapshots"] <= found["checkpoint"] / 100
