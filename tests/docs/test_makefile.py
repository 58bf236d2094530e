import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def make(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", *words], cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("target", ["demo", "test", "check", "bench", "serve", "clean", "help"])
def test_a_target_makes_its_own_environment(target: str, tmp_path: Path) -> None:
    done = make("-n", target, f"VENV={tmp_path / 'venv'}")
    assert done.returncode == 0, done.stderr
    needs_one = target not in ("clean", "help")
    assert ("-m venv" in done.stdout) == needs_one
    assert ("--require-hashes -r models.txt" in done.stdout) == needs_one


def test_help_names_every_target() -> None:
    done = make("help")
    assert {line.split()[0] for line in done.stdout.splitlines()[1:]} >= {"demo", "test", "check", "bench", "serve"}


def test_without_a_python_there_is_a_clear_message(tmp_path: Path) -> None:
    done = make("install", f"VENV={tmp_path / 'venv'}", "CANDIDATES=no-such-python")
    assert done.returncode != 0
    assert "needs Python 3.11 or newer" in done.stderr
    assert "make PYTHON=" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_an_old_python_is_not_taken(tmp_path: Path) -> None:
    old = tmp_path / "python-old"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = make("install", f"VENV={tmp_path / 'venv'}", f"CANDIDATES={old}")
    assert "needs Python 3.11 or newer" in done.stderr


def test_ci_runs_the_documented_test_command() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert script.rstrip().endswith("make test")
    assert subprocess.run(["bash", "-n", str(ROOT / ".ci" / "run")], timeout=10).returncode == 0
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
