"""What machines do to commands: no room, no right to write, no server. One clear line, nothing lost, and it goes on.

Every command here runs in a fork of its own, under the fault, through the command line's own entry.
"""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

import pipelines.loop
from benchmarks.copies import TEST_LEDGER_VARIABLE
from benchmarks.small_home import made
from benchmarks.victims import AT, draft
from pipelines.auditing.integrity import verify_home
from pipelines.cli import run
from pipelines.publish import publish, recover
from pipelines.requests.asking import show_request
from pipelines.running.troubles import machine_words
from registry.errors import BlockedError
from registry.home import Home
from registry.ledger import Ledger
from registry.releases import ReleaseStore

DONE = 3
"""Exit code of `update` here once its release is published: the loop around it is left out."""
NOBODY = 65534
WRITERS, APPENDS = 8, 25
WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from registry.checkpoints import stamp
from registry.home import Home
from registry.ledger import Ledger
home = Home.at(Path(sys.argv[1]))
with Ledger.open(home) as ledger:
    for number in range(int(sys.argv[3])):
        with ledger.transaction() as txn:
            ledger.append(txn, "tick", {"writer": sys.argv[2], "number": number}, "w", datetime.now(UTC))
    stamp(home, ledger)
"""
COMMENT = ("request", "comment", "1", "is this sure?", "--as", "bob")
CHECKPOINT = ("audit", "checkpoint")
UPDATE = ("update", "feed.csv")


@dataclass(frozen=True)
class Told:
    """How a command ended.

    Attributes:
        code: its exit code.
        err: what it said on standard error.
    """

    code: int
    err: str

    @property
    def clear(self) -> bool:
        """Whether it failed with one line of words and no traceback."""
        one = self.err.startswith("dmmgov: ") and self.err.count("\n") == 1
        return self.code in (1, 2) and one and "Traceback" not in self.err and "unexpected" not in self.err


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home with two people, a request and a release."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DMMGOV_PASSPHRASE", "correct horse")
        patch.delenv(TEST_LEDGER_VARIABLE, raising=False)  # these faults are those of files
        yield made(tmp_path_factory.mktemp("made") / "home")


@pytest.fixture
def home(original: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A copy of it."""
    monkeypatch.setenv("DMMGOV_PASSPHRASE", "correct horse")
    shutil.copytree(original.root, tmp_path / "copy" / "home")
    return Home.at(tmp_path / "copy" / "home")


def told(home: Home, words: tuple[str, ...], fault: Callable[[], Any] = lambda: None, log: Path | None = None) -> Told:
    """Run a command in a fork, under a fault that the fork brings upon itself."""
    heard = log or home.root.parent / "heard"

    def updated(*_: Any, **__: Any) -> None:
        with Ledger.open(home) as ledger:
            recover(home, ledger)
            if len(ReleaseStore(ledger).all()) == 1:
                publish(home, ledger, draft(home, 2), AT)
        raise BlockedError("published")

    child = os.fork()
    if child == 0:
        code = 99
        try:
            os.dup2(os.open(heard, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666), 2)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            pipelines.loop.run_update = updated  # type: ignore[assignment]
            fault()
            code = run(["--home", str(home.root), *words])
            sys.stderr.flush()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return Told(os.waitstatus_to_exitcode(status), heard.read_text())


def leaves(home: Home) -> list[str]:
    """The log's leaves."""
    with Ledger.open(home) as ledger:
        return [entry.leaf for entry in ledger.entries()]


def goes_on(home: Home, before: list[str]) -> None:
    """Nothing of before is lost, nothing is half there, and the next runs do what could not be done."""
    assert leaves(home)[: len(before)] == before
    assert told(home, COMMENT).code == 0
    assert told(home, UPDATE).code == DONE
    assert told(home, CHECKPOINT).code == 0
    with Ledger.open(home) as ledger:
        assert [release.number for release in ReleaseStore(ledger).all()] == [1, 2]
        assert ReleaseStore(ledger).alias("champion") == 2
    assert leaves(home)[: len(before)] == before
    assert verify_home(home) == []


def test_eight_processes_write_at_once_and_make_one_line(home: Home) -> None:
    before = leaves(home)
    command = [sys.executable, "-c", WRITER, str(home.root)]
    runs = [
        subprocess.Popen([*command, str(number), str(APPENDS)], stderr=subprocess.PIPE) for number in range(WRITERS)
    ]
    for one in runs:
        _, errors = one.communicate(timeout=120)
        assert (one.returncode, errors.decode()) == (0, "")
    with Ledger.open(home) as ledger:
        entries = ledger.entries()
        assert ledger.verify() == []
    assert [entry.leaf for entry in entries[: len(before)]] == before
    assert [entry.seq for entry in entries] == list(range(len(entries)))
    ticks = [entry.payload for entry in entries if entry.kind == "tick"]
    assert len(ticks) == WRITERS * APPENDS, "none is lost, none is there twice"
    for writer in range(WRITERS):
        assert [one["number"] for one in ticks if one["writer"] == str(writer)] == list(range(APPENDS))
    assert verify_home(home) == []


def test_the_undisturbed_commands_end_well(home: Home) -> None:
    before = leaves(home)
    ended = told(home, UPDATE)
    assert ended.code == DONE
    assert not ended.clear, "what went through is not taken for a fault"
    goes_on(home, before)


@pytest.mark.parametrize("kib", [8, 64, 300])
@pytest.mark.parametrize("words", [COMMENT, UPDATE], ids=lambda words: words[0])
def test_a_file_that_may_not_grow(home: Home, words: tuple[str, ...], kib: int) -> None:
    before = leaves(home)
    limit = kib * 1024
    ended = told(home, words, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    if words == UPDATE or kib < 64:
        assert ended.clear, ended
    goes_on(home, before)


@pytest.fixture
def small_disk(home: Home, tmp_path: Path) -> Iterator[tuple[Home, Path]]:
    """The home on a disk of four megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = os.geteuid() == 0 and shutil.which("mount") is not None
    if mounted:
        command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)]
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    if not mounted:
        pytest.skip("full disk: this user may not mount a small one")
    try:
        shutil.copytree(home.root, disk / "home")
        yield Home.at(disk / "home"), disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True, capture_output=True)


def test_a_full_disk(small_disk: tuple[Home, Path], tmp_path: Path) -> None:
    home, disk = small_disk
    before, ballast, log = leaves(home), disk / "ballast", tmp_path / "heard"
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize
    refused = 0
    for left in (0, 40_000, 100_000, 200_000):
        ballast.write_bytes(b"x" * (free - left))
        ended = told(home, UPDATE, log=log)
        refused += ended.clear
        assert ended.clear or ended.code == DONE, (left, ended)
        ballast.unlink()
        assert leaves(home)[: len(before)] == before, left
        if ended.code == DONE:
            break
    assert refused >= 2
    goes_on(home, before)


def test_a_disk_that_has_become_read_only(small_disk: tuple[Home, Path], tmp_path: Path) -> None:
    home, disk = small_disk
    before, log = leaves(home), tmp_path / "heard"
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True, capture_output=True)
    for words in (COMMENT, UPDATE, CHECKPOINT, ("audit", "export", str(tmp_path / "bundle"))):
        ended = told(home, words, log=log)
        assert ended.clear, (words, ended)
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True, capture_output=True)
    goes_on(home, before)


def hidden_from_others() -> Path | None:
    """A folder above this code or above its packages that only its owner may enter; None where there is none."""
    places = [Path(__file__).resolve(), Path(typer.__file__).resolve()]
    folders = {folder for place in places for folder in place.parents}
    return next((folder for folder in sorted(folders) if not folder.stat().st_mode & 0o001), None)


def test_a_folder_that_may_not_be_written(home: Home) -> None:
    if os.geteuid() == 0 and (hidden := hidden_from_others()) is not None:
        pytest.skip(f"root may write everywhere, and nobody else may read the code below {hidden}")
    before, places = leaves(home), [home.root, *home.root.rglob("*")]
    modes = {place: place.stat().st_mode for place in places}

    def somebody_else() -> None:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)

    for folder in home.root.parents:
        if folder.stat().st_uid == os.geteuid() and folder.name:
            modes[folder] = folder.stat().st_mode
            folder.chmod(folder.stat().st_mode | 0o555)
    try:
        for place in places:
            place.chmod(0o555 if place.is_dir() else 0o444)
        for words in (COMMENT, UPDATE, CHECKPOINT, ("audit", "export", str(home.root.parent / "bundle"))):
            ended = told(home, words, somebody_else)
            assert ended.clear, (words, ended)
    finally:
        for place, mode in modes.items():
            place.chmod(mode)
    goes_on(home, before)


def test_mlflow_gone_in_the_middle_of_an_update_is_one_line_and_is_told_later(home: Home) -> None:
    before, database = leaves(home), home.mlflow / "mlflow.db"
    whole = database.read_bytes()
    database.write_bytes(b"not a database" * 400)
    ended = told(home, UPDATE)
    assert ended.clear
    assert "MLflow does not take part" in ended.err
    assert "the next run tells MLflow again" in ended.err
    with Ledger.open(home) as ledger:
        assert ReleaseStore(ledger).alias("champion") == 2, "what was committed stands"
    database.write_bytes(whole)
    goes_on(home, before)


def test_an_mlflow_server_that_is_down_is_one_line(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    before = leaves(home)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("DMMGOV_MLFLOW_URI", "http://127.0.0.1:9")
    ended = told(home, UPDATE)
    assert ended.clear, ended
    assert "MLflow does not take part" in ended.err
    monkeypatch.delenv("DMMGOV_MLFLOW_URI")
    goes_on(home, before)


def test_a_prefect_server_that_is_down_is_said_before_anything_is_begun(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = tmp_path / "feed.csv"
    feed.write_text("subject,relation,object\nFrance,capital,Paris\n")
    real, before = pipelines.loop.run_update, leaves(home)
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")

    def unfeigned() -> None:
        pipelines.loop.run_update = real

    for words in (("update", str(feed)), ("request", "serve")):
        ended = told(home, words, unfeigned)
        assert ended.clear, ended
        assert "Prefect's server at" in ended.err
        assert "nothing was begun" in ended.err
    assert leaves(home) == before
    assert told(home, COMMENT).code == 0, "what needs no flow works without a server"
    assert show_request(home, 1)["comments"][0]["words"] == "is this sure?"
    monkeypatch.delenv("PREFECT_API_URL")
    goes_on(home, before)


def test_only_what_the_machine_did_is_laid_to_it() -> None:
    full, later = OSError(28, "No space left on device", "ledger.db"), RuntimeError("while writing")
    assert "No space left on device ledger.db" in (machine_words(full) or "")
    assert machine_words(later) is None
    later.__cause__ = full
    assert "make room" in (machine_words(later) or "")
    assert "make room" in (machine_words(RuntimeError("IO Error: No space left on device")) or "")
    assert machine_words(ZeroDivisionError("zero")) is None
    assert machine_words(FileNotFoundError(2, "No such file", "x")) is None
