"""Keys sign and are checked, are sealed by their passphrase, and are never written over."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from registry.errors import InputError
from registry.home import Home
from registry.keys import (
    LOG_PASSPHRASE_VARIABLE,
    SIGNATURE_BYTES,
    SigningKey,
    fingerprint,
    log_key,
    remove_drafts,
    verify,
)


def test_a_signature_holds_for_its_key_and_its_content_alone() -> None:
    key, other = SigningKey.generate(), SigningKey.generate()
    signature = key.sign(b"content")
    assert len(bytes.fromhex(signature)) == SIGNATURE_BYTES
    assert verify(key.public, b"content", signature)
    assert not verify(key.public, b"Content", signature)
    assert not verify(other.public, b"content", signature)
    assert not verify(key.public, b"content", "00" * SIGNATURE_BYTES)
    assert not verify(key.public, b"content", signature[:-2])
    assert not verify("no key", b"content", signature)


def test_the_test_vector_of_rfc_8032() -> None:
    public = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    signature = (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert verify(public, bytes([0x72]), signature)
    assert not verify(public, bytes([0x73]), signature)


@pytest.mark.parametrize("passphrase", [None, "correct horse"])
def test_a_saved_key_is_its_owners_alone_and_comes_back(tmp_path: Path, passphrase: str | None) -> None:
    key, path = SigningKey.generate(), tmp_path / "keys" / "ada.pem"
    key.save(path, passphrase)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert SigningKey.load(path, passphrase).public == key.public
    assert key.sign(b"x") not in repr(key)
    assert "PrivateKey" not in repr(key)


def test_a_wrong_passphrase_a_missing_one_and_one_too_many_are_refused(tmp_path: Path) -> None:
    sealed, plain = tmp_path / "sealed.pem", tmp_path / "plain.pem"
    SigningKey.generate().save(sealed, "right")
    SigningKey.generate().save(plain)
    for path, passphrase in ((sealed, "wrong"), (sealed, None), (plain, "any")):
        with pytest.raises(InputError):
            SigningKey.load(path, passphrase)


def test_what_is_no_key_is_refused_and_no_key_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "ada.pem"
    with pytest.raises(InputError):
        SigningKey.load(path)
    path.write_text("no key")
    with pytest.raises(InputError):
        SigningKey.load(path)
    with pytest.raises(InputError, match="never written over"):
        SigningKey.generate().save(path)
    assert path.read_text() == "no key"


def test_a_fingerprint_is_short_and_of_a_whole_key() -> None:
    key = SigningKey.generate()
    assert len(fingerprint(key.public)) == 16
    with pytest.raises(ValueError, match="32 bytes"):
        fingerprint(key.public[:-2])


def test_the_logs_key_is_made_once_and_sealed_where_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = log_key(Home.at(tmp_path / "plain"))
    assert log_key(Home.at(tmp_path / "plain")).public == first.public
    monkeypatch.setenv(LOG_PASSPHRASE_VARIABLE, "secret")
    sealed = log_key(Home.at(tmp_path / "sealed"))
    assert sealed.public != first.public
    monkeypatch.delenv(LOG_PASSPHRASE_VARIABLE)
    with pytest.raises(InputError, match="passphrase"):
        log_key(Home.at(tmp_path / "sealed"))


def test_drafts_of_killed_processes_are_removed_and_no_others(tmp_path: Path) -> None:
    killed = subprocess.Popen([sys.executable, "-c", ""])
    killed.wait()
    SigningKey.generate().save(tmp_path / "log.pem")
    dead, alive = tmp_path / f".log.pem.{killed.pid}", tmp_path / f".ada.pem.{os.getppid()}"
    os.link(tmp_path / "log.pem", dead)
    alive.write_bytes(b"half")
    assert remove_drafts(tmp_path) == [dead.name]
    assert sorted(path.name for path in tmp_path.iterdir()) == [alive.name, "log.pem"]
    assert remove_drafts(tmp_path / "nothing") == []
