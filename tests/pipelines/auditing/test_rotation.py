"""The log's key is changed: what the old one signed holds, and nobody else can bring one."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipelines.audit import verify
from pipelines.auditing.bundle import export_bundle
from pipelines.auditing.log_checks import Pins
from pipelines.auditing.rotation import NEW_PASSPHRASE_VARIABLE, rotate_key, waiting
from pipelines.cli import run
from pipelines.releasing.recovery import recover
from registry.checkpoints import CheckpointStore, log_keys, stamp
from registry.errors import InputError
from registry.home import Home
from registry.keys import LOG_PASSPHRASE_VARIABLE, SigningKey, log_key
from registry.ledger import Ledger
from registry.notes import Checkpoint

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Killed(Exception):
    """Stands for a kill."""


def grow(home: Home, count: int = 1) -> Checkpoint:
    with Ledger.open(home) as ledger:
        with ledger.transaction() as txn:
            for _ in range(count):
                ledger.append(txn, "noted", {}, "x", AT)
        made = stamp(home, ledger)
    assert made is not None
    return made


def test_the_new_key_signs_and_the_old_checkpoints_hold(home: Home) -> None:
    old = grow(home)
    before = log_key(home)
    made = rotate_key(home, "ann")
    after = log_key(home)
    assert after.public != before.public
    assert (made.size, waiting(home)) == (3, [])
    new = grow(home)
    assert new.signed_by(after.public)
    assert not new.signed_by(before.public)
    assert old.signed_by(before.public)
    with Ledger.open(home) as ledger:
        assert list(log_keys(ledger)) == [before.public, after.public]
        assert len(CheckpointStore(ledger).all()) == 3
    for key in (before.public, after.public):
        assert verify(home, pins=Pins(key)).problems == ()
    assert verify(home, pins=Pins(before.public, (old,))).problems == ()
    assert verify(home, pins=Pins(SigningKey.generate().public)).problems != ()


def test_a_bundle_is_checked_with_either_key(home: Home, tmp_path: Path) -> None:
    old = grow(home)
    note = tmp_path / "old.note"
    note.write_text(str(old))
    keys = [log_key(home).public]
    rotate_key(home, "ann")
    keys.append(log_key(home).public)
    grow(home)
    export_bundle(home, tmp_path / "bundle", "ann")
    script = [sys.executable, "-I", str(tmp_path / "bundle" / "verify.py")]
    for key in keys:
        done = subprocess.run([*script, "--key", key, str(tmp_path / "bundle")], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
    pinned = [*script, "--key", keys[0], "--checkpoint", str(note), str(tmp_path / "bundle")]
    assert subprocess.run(pinned, capture_output=True).returncode == 0
    stranger = [*script, "--key", SigningKey.generate().public, str(tmp_path / "bundle")]
    assert subprocess.run(stranger, capture_output=True).returncode == 1


def test_an_empty_log_and_a_key_that_is_not_at_hand_are_refused(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="an empty one"):
        rotate_key(home, "ann")
    monkeypatch.setenv(LOG_PASSPHRASE_VARIABLE, "one")
    grow(home)
    monkeypatch.setenv(LOG_PASSPHRASE_VARIABLE, "two")
    with pytest.raises(InputError, match="passphrase"):
        rotate_key(home, "ann")
    monkeypatch.setenv(LOG_PASSPHRASE_VARIABLE, "one")
    (home.keys / "log.pem").rename(home.keys / "away.pem")
    with pytest.raises(InputError, match="put the file back"):
        rotate_key(home, "ann")
    with Ledger.open(home) as ledger:
        assert len(log_keys(ledger)) == 1
    assert waiting(home) == []


def test_the_new_key_may_have_another_passphrase(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(home)
    monkeypatch.setenv(NEW_PASSPHRASE_VARIABLE, "other")
    rotate_key(home, "ann")
    with pytest.raises(InputError, match="passphrase"):
        grow(home)
    monkeypatch.setenv(LOG_PASSPHRASE_VARIABLE, "other")
    with Ledger.open(home) as ledger:
        assert stamp(home, ledger) is not None


@pytest.mark.parametrize("point", ["rotate", "finish_rotation", "stamp"])
def test_a_kill_leaves_one_key_that_signs(home: Home, point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(home)
    before = log_key(home).public

    def kill(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(f"pipelines.auditing.rotation.{point}", kill)
        with pytest.raises(Killed):
            rotate_key(home, "ann")
    with Ledger.open(home) as ledger:
        recover(home, ledger)
        keys = list(log_keys(ledger))
    assert keys[0] == before
    assert log_key(home).public == keys[-1]
    assert len(keys) == (1 if point == "rotate" else 2)
    assert waiting(home) == []
    assert grow(home).signed_by(keys[-1])
    assert verify(home).problems == ()


def test_the_command(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    grow(home)
    assert run(["--home", str(home.root), "audit", "rotate-key", "--as", "ann"]) == 0
    assert "new key" in capsys.readouterr().out
    assert run(["--home", str(home.root), "audit", "verify"]) == 0


def test_a_second_name_of_a_key_does_not_outlive_the_kill_that_left_it(home: Home) -> None:
    grow(home)
    killed = subprocess.Popen([sys.executable, "-c", ""])
    killed.wait()
    draft = home.keys / f".log.pem.{killed.pid}"
    draft.hardlink_to(home.keys / "log.pem")
    rotate_key(home, "ann")
    assert [path.name for path in home.keys.iterdir()] == ["log.pem"]
