"""Users on this machine: keys, passphrases, and the commands that add and revoke."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipelines.auditing.integrity import verify_home
from pipelines.cli import run
from pipelines.requests.people import add_user, revoke_user, users_of
from pipelines.requests.signing import key_of, key_path, passphrase_of
from registry.errors import BlockedError, DmmGovError, InputError, UnknownNameError
from registry.home import Home
from registry.keys import SigningKey
from registry.ledger import Ledger
from registry.users import USER_ADDED


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("DMMGOV_PASSPHRASE", "correct horse")
    return Home.at(tmp_path / "home")


def test_the_first_user_is_an_admin_and_the_ledger_says_so_aloud(home: Home) -> None:
    with pytest.raises(BlockedError, match="the first user is an admin"):
        add_user(home, "bob", ["approver"])
    add_user(home, "ann", ["admin", "requester"])
    with Ledger.open(home) as ledger:
        (entry,) = ledger.entries(USER_ADDED)
    assert entry.payload["bootstrap"] is True
    assert "nobody vouches" in entry.payload["note"]
    assert [one.name for one in users_of(home)] == ["ann"]
    assert verify_home(home) == []


def test_after_that_an_admin_signs(home: Home) -> None:
    add_user(home, "ann", ["admin"])
    with pytest.raises(InputError, match="--as NAME"):
        add_user(home, "bob", ["approver"])
    add_user(home, "bob", ["approver"], by="ann")
    with pytest.raises(BlockedError, match="admin is needed"):
        add_user(home, "eve", ["admin"], by="bob")
    assert not key_path(home, "eve").exists(), "no key is left of a user who was not added"
    with pytest.raises(BlockedError, match="a user already"):
        add_user(home, "bob", ["admin"], by="ann")
    with pytest.raises(UnknownNameError, match="role"):
        add_user(home, "cy", ["king"], by="ann")


def test_a_private_key_is_sealed_and_the_passphrase_opens_it(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    user = add_user(home, "ann", ["admin"])
    path = key_path(home, "ann")
    assert b"ENCRYPTED" in path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0
    assert key_of(home, "ann").public == user.public
    monkeypatch.setenv("DMMGOV_PASSPHRASE_ANN", "another one")
    with pytest.raises(InputError, match="passphrase"):
        key_of(home, "ann")


def test_without_anybody_to_ask_a_passphrase_is_missing_and_a_short_one_is_refused(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DMMGOV_PASSPHRASE", "short")
    with pytest.raises(InputError, match="8 characters"):
        add_user(home, "ann", ["admin"])
    monkeypatch.delenv("DMMGOV_PASSPHRASE")
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    with pytest.raises(InputError, match=r"set DMMGOV_PASSPHRASE_A_B or DMMGOV_PASSPHRASE"):
        passphrase_of("a.b")


def test_a_key_of_the_persons_own_signs_from_its_file(home: Home, tmp_path: Path) -> None:
    mine = SigningKey.generate()
    mine.save(tmp_path / "mine.pem")
    add_user(home, "ann", ["admin"], key=tmp_path / "mine.pem")
    assert not key_path(home, "ann").exists()
    theirs = SigningKey.generate()
    add_user(home, "bob", ["viewer"], by="ann", public=theirs.public, key=tmp_path / "mine.pem")
    with pytest.raises(InputError, match="64 hexadecimal"):
        add_user(home, "cy", ["viewer"], by="ann", public="abc", key=tmp_path / "mine.pem")
    theirs.save(tmp_path / "theirs.pem")
    with pytest.raises(BlockedError, match="not that of ann"):
        add_user(home, "eve", ["admin"], by="ann", public=SigningKey.generate().public, key=tmp_path / "theirs.pem")


def test_who_is_revoked_is_revoked_and_may_get_a_new_key(home: Home) -> None:
    add_user(home, "ann", ["admin"])
    old = add_user(home, "bob", ["approver"], by="ann")
    revoke_user(home, "bob", by="ann")
    assert "revoked" in (users_of(home)[1].barrier(datetime.now(UTC)) or "")
    new = add_user(home, "bob", ["approver"], by="ann")
    assert new.public != old.public
    with pytest.raises(BlockedError, match="last admin"):
        revoke_user(home, "ann", by="ann")


def test_the_commands_do_the_same(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    at = ["--home", str(home.root), "users"]
    assert run([*at, "list"]) == 0
    assert "nobody is added yet" in capsys.readouterr().out
    assert run([*at, "add", "ann", "--role", "admin", "--role", "requester"]) == 0
    assert run([*at, "add", "bob", "--role", "approver", "--as", "ann", "--expires", "2199-01-01"]) == 0
    assert run([*at, "revoke", "bob", "--as", "ann"]) == 0
    assert run([*at, "list"]) == 0
    out = capsys.readouterr()
    assert "admin requester" in out.out
    assert "was revoked" in out.out
    assert run([*at, "add", "../eve", "--role", "admin", "--as", "ann"]) == 2
    assert run([*at, "add", "eve", "--role", "admin", "--as", "bob"]) == 3
    said = capsys.readouterr()
    assert "correct horse" not in out.out + out.err + said.out + said.err


def test_the_passphrase_and_the_private_key_are_nowhere_in_the_home(home: Home) -> None:
    add_user(home, "ann", ["admin"])
    raw = key_of(home, "ann")._private.private_bytes_raw()
    for path in home.root.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert b"correct horse" not in content, path
            assert raw not in content, path
            assert raw.hex().encode() not in content, path


def test_users_written_into_the_ledger_by_hand_are_found(home: Home) -> None:
    add_user(home, "ann", ["admin"])
    eve = SigningKey.generate()
    body = {"name": "eve", "roles": ["admin"], "public": eve.public, "expires": None, "by": "ann"}
    with Ledger.open(home) as ledger, ledger.transaction() as txn:
        entry = ledger.append(txn, USER_ADDED, {**body, "signed": "", "signer": "", "signature": ""}, "ann", _now())
    assert any(f"entry {entry.seq} (user_added) counts for nothing" in one for one in verify_home(home))
    with pytest.raises(DmmGovError, match="no user"):
        add_user(home, "mia", ["admin"], by="eve", public=SigningKey.generate().public)


def _now() -> datetime:
    return datetime.now(UTC)


@pytest.mark.parametrize(("answers", "problem"), [(["correct horse"] * 2, ""), (["correct horse", "x"], "the same")])
def test_a_passphrase_is_asked_for_on_the_terminal_and_a_new_one_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: list[str], problem: str
) -> None:
    for name in ("DMMGOV_PASSPHRASE", "DMMGOV_PASSPHRASE_ANN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    asked: list[str] = []

    def answer(prompt: str) -> str:
        asked.append(prompt)
        return answers[len(asked) - 1]

    monkeypatch.setattr("getpass.getpass", answer)
    home = Home.at(tmp_path / "home")
    if problem:
        with pytest.raises(InputError, match=problem):
            add_user(home, "ann", ["admin"])
        assert not key_path(home, "ann").exists()
        return
    add_user(home, "ann", ["admin"])
    assert asked == ["passphrase of ann: ", "passphrase of ann, again: "]
