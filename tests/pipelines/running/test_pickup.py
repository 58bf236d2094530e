"""Picking up feeds from a folder: each once, whole files only, failures told and not spread."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from pipelines.running.pickup import LOCK_NAME, UNREADABLE, Pickup, Runner, pick_up_files
from registry.digests import digest_file
from registry.errors import BusyError, FeedError, InputError
from registry.feeds import FeedStore
from registry.home import Home
from registry.ledger import Ledger


@dataclass
class Loop:
    """Stands for the loop: records each feed as the loop does, and fails where it is told to."""

    status: str = "published"
    fail: Mapping[str, Exception] = field(default_factory=dict)
    ran: list[str] = field(default_factory=list)

    def __call__(self, feed: Path, home: Home, model: str) -> Mapping[str, Any]:
        self.ran.append(feed.name)
        if feed.name in self.fail:
            raise self.fail[feed.name]
        with Ledger.open(home) as ledger, ledger.transaction() as txn:
            release = 1 if self.status == "published" else None
            FeedStore(ledger).record(txn, digest_file(feed), feed.name, release, self.status, [])
        return {"status": self.status}


@pytest.fixture
def place(tmp_path: Path) -> Home:
    return Home.at(tmp_path / "home")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "feeds"
    path.mkdir()
    return path


def pick(folder: Path, place: Home, run: Runner, sleep: Callable[[float], None] = lambda _: None) -> dict[str, Pickup]:
    return {one.name: one for one in pick_up_files(folder, place, "tiny", run, sleep=sleep)}


def outcomes(picked: Mapping[str, Pickup]) -> dict[str, str]:
    return {name: one.outcome for name, one in picked.items()}


def test_each_new_feed_is_run_once_in_the_order_of_names(folder: Path, place: Home) -> None:
    for name in ("b.csv", "a.jsonl", "c.PARQUET"):
        (folder / name).write_text(name)
    loop = Loop()
    assert outcomes(pick(folder, place, loop)) == dict.fromkeys(("a.jsonl", "b.csv", "c.PARQUET"), "taken")
    assert outcomes(pick(folder, place, loop)) == dict.fromkeys(("a.jsonl", "b.csv", "c.PARQUET"), "known")
    assert loop.ran == ["a.jsonl", "b.csv", "c.PARQUET"]
    assert sorted(path.name for path in folder.iterdir()) == ["a.jsonl", "b.csv", "c.PARQUET"], "nothing is moved"


def test_a_file_is_told_by_its_content(folder: Path, place: Home) -> None:
    (folder / "a.csv").write_text("one")
    (folder / "copy.csv").write_text("one")
    loop = Loop()
    picked = pick(folder, place, loop)
    assert outcomes(picked) == {"a.csv": "taken", "copy.csv": "known"}
    assert picked["copy.csv"].words == "run before as a.csv (published, release 1)"
    (folder / "a.csv").write_text("two")
    assert outcomes(pick(folder, place, loop)) == {"a.csv": "taken", "copy.csv": "known"}
    assert loop.ran == ["a.csv", "a.csv"]


def test_what_is_no_feed_is_left_alone(folder: Path, place: Home) -> None:
    for name in (".hidden.csv", "a.csv.part", "a.csv.tmp", "~a.csv", "notes.txt"):
        (folder / name).write_text("x")
    (folder / "folder.csv").mkdir()
    (folder / "gone.csv").symlink_to(folder / "nowhere")
    assert pick(folder, place, Loop()) == {}
    assert not place.root.exists(), "a beat without feeds leaves no trace"


def test_a_file_that_still_grows_waits(folder: Path, place: Home) -> None:
    (folder / "a.csv").write_text("half")
    (folder / "b.csv").write_text("whole")
    (folder / "empty.csv").write_text("")
    (folder / "vanishes.csv").write_text("x")

    def meanwhile(_: float) -> None:
        (folder / "a.csv").write_text("half and half")
        (folder / "vanishes.csv").unlink()

    loop = Loop()
    picked = pick(folder, place, loop, meanwhile)
    assert outcomes(picked) == {"a.csv": "waiting", "b.csv": "taken", "empty.csv": "waiting", "vanishes.csv": "waiting"}
    assert loop.ran == ["b.csv"]
    assert outcomes(pick(folder, place, loop))["a.csv"] == "taken"


def test_a_file_replaced_by_another_of_equal_size_waits(folder: Path, place: Home) -> None:
    (folder / "a.csv").write_text("one")
    before = (folder / "a.csv").stat()

    def meanwhile(_: float) -> None:
        (folder / "new").write_text("two")
        (folder / "new").replace(folder / "a.csv")
        os.utime(folder / "a.csv", ns=(before.st_atime_ns, before.st_mtime_ns))

    loop = Loop()
    assert outcomes(pick(folder, place, loop, meanwhile)) == {"a.csv": "waiting"}
    assert loop.ran == []


def test_a_failure_does_not_stop_the_others_and_is_tried_again(folder: Path, place: Home) -> None:
    for name in ("a.csv", "b.csv", "c.csv", "d.csv"):
        (folder / name).write_text(name)
    loop = Loop(fail={"a.csv": BusyError("locked"), "b.csv": ZeroDivisionError("by zero"), "c.csv": OSError("disk")})
    picked = pick(folder, place, loop)
    assert outcomes(picked) == {"a.csv": "failed", "b.csv": "failed", "c.csv": "failed", "d.csv": "taken"}
    assert picked["b.csv"].words.startswith("ZeroDivisionError: by zero")
    loop.fail = {}
    assert outcomes(pick(folder, place, loop)) == {
        "a.csv": "taken",
        "b.csv": "taken",
        "c.csv": "taken",
        "d.csv": "known",
    }


def test_a_feed_that_cannot_be_read_is_tried_once_and_recorded(folder: Path, place: Home) -> None:
    (folder / "a.csv").write_text("no columns")
    loop = Loop(fail={"a.csv": FeedError("columns", "none", "name them")})
    assert outcomes(pick(folder, place, loop)) == {"a.csv": "failed"}
    again = pick(folder, place, loop)["a.csv"]
    assert (again.outcome, loop.ran) == ("known", ["a.csv"])
    assert "expected columns, got none" in again.words
    with Ledger.open(place) as ledger:
        (entry,) = ledger.entries(UNREADABLE)
        assert entry.payload["digest"] == digest_file(folder / "a.csv")
        assert ledger.verify() == []
    (folder / "a.csv").write_text("mended")
    loop.fail = {}
    assert outcomes(pick(folder, place, loop)) == {"a.csv": "taken"}


@pytest.mark.parametrize("status", ["blocked", "nothing_accepted"])
def test_a_run_that_published_nothing_is_not_repeated(folder: Path, place: Home, status: str) -> None:
    (folder / "a.csv").write_text("x")
    loop = Loop(status)
    first = pick(folder, place, loop)["a.csv"]
    assert first.outcome == ("failed" if status == "blocked" else "taken"), (
        "a gate that forbids it is told as a failure"
    )
    assert pick(folder, place, loop)["a.csv"].outcome == "known"
    assert loop.ran == ["a.csv"]


def test_two_pick_ups_do_not_meet(folder: Path, place: Home) -> None:
    (folder / "a.csv").write_text("x")
    place.root.mkdir()
    loop = Loop()
    with FileLock(place.root / LOCK_NAME), pytest.raises(BusyError, match="another pick-up"):
        pick(folder, place, loop)
    assert loop.ran == []
    assert outcomes(pick(folder, place, loop)) == {"a.csv": "taken"}


@pytest.mark.parametrize("name", ["nowhere", "file.csv"])
def test_a_folder_is_needed(folder: Path, place: Home, name: str) -> None:
    (folder / "file.csv").write_text("x")
    with pytest.raises(InputError, match="a folder in which feeds arrive"):
        pick(folder / name, place, Loop())
