"""`audit checkpoint`, `witness`, `verify` and `export` as they are typed."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli import run
from pipelines.standalone.verify_bundle import main
from registry.home import Home
from registry.ledger import Ledger
from registry.notes import Checkpoint, public_of


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def dmmgov(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Outcome]:
    """Runs the command line in a home with one entry."""
    home = Home.at(tmp_path / "home")
    with Ledger.open(home) as ledger, ledger.transaction() as txn:
        ledger.append(txn, "tick", {}, "x", datetime.now(UTC))

    def call(*words: str | Path) -> Outcome:
        code = run(["--home", str(home.root), *map(str, words)])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


def test_a_checkpoint_is_written_countersigned_and_pinned(dmmgov: Callable[..., Outcome], tmp_path: Path) -> None:
    note, pem = tmp_path / "c.note", tmp_path / "w.pem"
    made = dmmgov("audit", "checkpoint", "--out", note, "--json").json
    assert note.read_text() == made["note"]
    assert Checkpoint.parse(made["note"]).signed_by(public_of(made["key"]))
    seen = dmmgov("audit", "witness", note, "--name", "w", "--key", pem, "--new-key", "--json").json
    assert Checkpoint.parse(note.read_text()).witnessed_by("w", public_of(seen["witness"])) is not None
    again = dmmgov("audit", "checkpoint")
    assert again.code == 0
    assert "Checkpoint" in again.out
    assert "key of the log" in dmmgov("audit", "witness", note, "--name", "w", "--key", pem).out
    pinned = dmmgov("audit", "verify", "--key", made["key"], "--checkpoint", note, "--json")
    assert (pinned.code, pinned.json["problems"]) == (0, [])
    assert pinned.json["checked"]["checkpoints"] == 2
    assert pinned.json["checked"]["rebuilt_releases"] == 0
    bare = dmmgov("audit", "verify", "--no-rebuild", "--json").json
    assert "rebuilt_releases" not in bare["checked"]


def test_another_key_and_another_checkpoint_are_found(dmmgov: Callable[..., Outcome], tmp_path: Path) -> None:
    note = tmp_path / "c.note"
    dmmgov("audit", "checkpoint", "--out", note)
    wrong = dmmgov("audit", "verify", "--key", "ab" * 32, "--json")
    assert wrong.code == 1
    assert any("is expected, the log has" in problem for problem in wrong.json["problems"])
    note.write_text(note.read_text().replace("\n2\n", "\n3\n"))
    forged = dmmgov("audit", "verify", "--checkpoint", note, "--json")
    assert forged.code == 1
    assert "no key of the log signed it" in forged.json["problems"][0]
    refused = dmmgov("audit", "witness", note, "--name", "w", "--key", tmp_path / "w.pem", "--new-key")
    assert refused.code == 2
    assert "signed by this log" in refused.err


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("witness", "c.note", "--name", "w"), "one of --key and --public"),
        (("witness", "c.note", "--name", "w", "--key", "k", "--public", "p"), "one of --key and --public"),
        (("witness", "gone.note", "--name", "w", "--key", "k"), "a file of text"),
        (("verify", "--key", "nothing"), "public key"),
        (("verify", "--checkpoint", "gone.note"), "a file of text"),
        (("checkpoint", "--out", "no/such/folder/c.note"), "existing folder"),
    ],
)
def test_what_cannot_be_used_is_refused(dmmgov: Callable[..., Outcome], words: tuple[str, ...], named: str) -> None:
    said = dmmgov("audit", *words)
    assert said.code == 2
    assert named in said.err


def test_a_bundle_is_written_and_checked(dmmgov: Callable[..., Outcome], tmp_path: Path) -> None:
    made = dmmgov("audit", "export", tmp_path / "bundle", "--json").json
    assert made["entries"] == 2
    assert main(["--key", made["key"], str(tmp_path / "bundle")]) == 0
    again = dmmgov("audit", "export", tmp_path / "bundle")
    assert again.code == 2
    assert "an empty folder" in again.err
    words = dmmgov("audit", "export", tmp_path / "bare", "--without-deltas", "--as", "auditor")
    assert "python -I" in words.out
