"""Whatever a kill interrupts, nothing is half-published and the next run ends where an undisturbed one ends."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SIGKILL = 9


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the script of kills reports."""
    run = subprocess.run(
        [
            sys.executable,
            "-W",
            "error::ResourceWarning",
            "-m",
            "benchmarks.victims",
            str(tmp_path_factory.mktemp("kills")),
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    result: dict[str, Any] = json.loads(run.stdout)
    return result


@pytest.mark.slow
def test_every_named_point_kills(outcome: dict[str, Any]) -> None:
    named = [one for one in outcome["report"] if not one["name"].startswith("random")]
    assert len(outcome["points"]) >= 10
    assert len(outcome["move_points"]) >= 4
    assert [one["name"] for one in named if set(one["signals"]) != {SIGKILL}] == []
    assert len(outcome["report"]) >= 20


@pytest.mark.slow
def test_nothing_is_half_published_after_a_kill(outcome: dict[str, Any]) -> None:
    assert {one["name"]: one["half"] for one in outcome["report"] if one["half"]} == {}


@pytest.mark.slow
def test_the_next_run_ends_where_an_undisturbed_one_ends(outcome: dict[str, Any]) -> None:
    assert [one["name"] for one in outcome["report"] if not one["same"]] == []
    assert outcome["clean"]["problems"] == []
    assert outcome["clean"]["mlflow"] == {"aliases": {"challenger": "2", "champion": "2"}, "releases": ["1", "2"]}


@pytest.mark.slow
def test_a_reader_that_looks_on_never_sees_a_part(outcome: dict[str, Any]) -> None:
    assert outcome["looks"] > 3
