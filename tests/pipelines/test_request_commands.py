"""The commands about requests, without a model: what they say, what they refuse, and their exit codes."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.auditing.integrity import verify_home
from pipelines.cli import run
from registry.home import Home
from registry.ledger import Ledger
from registry.records import Release
from registry.releases import ReleaseStore

CHAD = ["Chad", "currency", "Central African CFA franc", "--source", "a letter", "--reason", "it was missing"]


class Terminal:
    """Runs commands in one home."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self.capsys = root, capsys

    def __call__(self, *words: str, code: int = 0) -> str:
        """What a command says, on both channels."""
        self.capsys.readouterr()
        assert run(["--home", str(self.root), *words]) == code, (words, self.capsys.readouterr())
        said = self.capsys.readouterr()
        return said.out + said.err

    def told(self, *words: str) -> Any:
        return json.loads(self(*words, "--json"))


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    monkeypatch.setenv("DMMGOV_PASSPHRASE", "correct horse")
    say = Terminal(tmp_path / "asked", capsys)
    say("users", "add", "ann", "--role", "admin", "--role", "requester")
    for name in ("bob", "cleo"):
        say("users", "add", name, "--role", "approver", "--as", "ann")
    return say


def test_a_request_is_asked_for_talked_about_and_approved(say: Terminal) -> None:
    made = say.told("request", "add", *CHAD, "--as", "ann")
    assert (made["request"], made["state"], made["tier"], made["needs"]) == (1, "open", "medium", "1 of approver")
    assert made["asks"] == ["ADD or UPDATE: Chad · currency · Central African CFA franc"]
    say("request", "comment", "1", "is this sure?", "--as", "bob")
    approved = say.told("request", "approve", "1", "--hold", "--as", "bob", "--comment", "seen it")
    assert (approved["state"], approved["approved_by"]) == ("approved", ["bob"])
    assert [one["words"] for one in approved["comments"]] == ["is this sure?", "seen it"]
    assert "approved" in say("request", "list", "--state", "approved")
    assert "none" in say("request", "list", "--state", "open")
    assert verify_home(Home.at(say.root)) == []


def test_nobody_approves_alone(say: Terminal) -> None:
    say("request", "add", *CHAD, "--as", "ann")
    assert "approver is needed" in say("request", "approve", "1", "--as", "ann", code=3)
    assert "lacks approvals: 1 more by approver" in say("request", "run", "1", "--as", "ann", code=3)
    assert "no request 7" in say("request", "approve", "7", "--as", "bob", code=3)


def test_a_change_is_another_revision_and_voids(say: Terminal) -> None:
    say("request", "add", *CHAD, "--as", "ann")
    say("request", "approve", "1", "--hold", "--as", "bob")
    changed = say.told("request", "change", "1", *CHAD[:2], "euro", *CHAD[3:], "--as", "ann")
    assert (changed["state"], changed["approved_by"]) == ("open", [])
    assert say.told("request", "withdraw", "1", "--as", "ann")["state"] == "withdrawn"
    assert "is withdrawn" in say("request", "approve", "1", "--as", "bob", code=3)


def test_a_rejection_ends_it(say: Terminal) -> None:
    say("request", "add", *CHAD, "--as", "ann")
    ended = say.told("request", "reject", "1", "--reason", "a letter is no source", "--as", "bob")
    assert (ended["state"], ended["ended_by"]) == ("rejected", "bob")
    assert ended["comments"][0]["words"] == "a letter is no source"


def test_high_risk_needs_two_people(say: Terminal) -> None:
    words = ["Chad", "head_of_government", "Ann Able", "--source", "x", "--reason", "y", "--as", "ann"]
    assert say.told("request", "add", *words)["needs"] == "2 of approver"
    assert say.told("request", "approve", "1", "--as", "bob")["state"] == "open"
    assert say.told("request", "approve", "1", "--hold", "--as", "cleo")["state"] == "approved"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--reason", "why"], "one thing to ask for"),
        (["Chad", "currency", "--reason", "why"], "a subject, a relation and an object"),
        ([*CHAD[:5]], "why it is asked for"),
        ([*CHAD, "--file", "feed.csv"], "one thing to ask for"),
        ([*CHAD, "--valid-from", "soon"], "--valid-from"),
        ([*CHAD, "--despite", "quorum"], "overruled"),
        (["--revoke", "abc", "--reason", "why"], "a fact that the champion knows"),
        (["--file", "missing.csv", "--reason", "why"], "not there"),
    ],
)
def test_what_cannot_be_asked_for_is_bad_input(say: Terminal, words: list[str], said: str) -> None:
    assert said in say("request", "add", *words, "--as", "ann", code=2)
    with Ledger.open(Home.at(say.root)) as ledger:
        assert ledger.entries("request_made") == []


def test_who_has_no_key_here_signs_nothing(say: Terminal) -> None:
    assert "the private key of dan" in say("request", "add", *CHAD, "--as", "dan", code=2)
    assert "name of a user" in say("request", "add", *CHAD, "--as", "../ann", code=2)
    key = ["--key", str(say.root / "keys" / "bob.pem")]
    assert "not that of ann" in say("request", "add", *CHAD, "--as", "ann", *key, code=3)


def test_the_glass_takes_two(say: Terminal) -> None:
    say("request", "add", *CHAD, "--as", "ann")
    broken = ["request", "break-glass", "1", "--reason", "now", "--as", "bob"]
    assert "a second person" in say(*broken, code=2)
    assert "2 people" in say(*broken, "--and", "bob", code=3)


def test_a_release_that_claims_an_approval_is_found(say: Terminal) -> None:
    from datetime import UTC, datetime

    made = say.told("request", "add", *CHAD, "--as", "ann")
    claims = {"request": {"request": 1, "content": made["digest"], "approvers": ["bob"]}}
    at = datetime.now(UTC)
    release = Release(1, None, "m", "b", (), "b", "f", "i", "", at, "eve", summary=claims)
    home = Home.at(say.root)
    with Ledger.open(home) as ledger, ledger.transaction() as txn:
        ReleaseStore(ledger).commit(txn, release)
    assert "request of release 1: the table has it, no entry records it" in verify_home(home)
