"""Releases that nothing needs give up their artefacts; their records stay, and an audit calls them pruned."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.answer import open_answerer
from pipelines.audit import verify
from pipelines.cli import run
from pipelines.releasing.compact import compact
from pipelines.releasing.prune import prune
from pipelines.releasing.rebuild import rebuild
from pipelines.releasing.recovery import recover
from pipelines.releasing.retention import RetentionPolicy, needed, rebuildable
from pipelines.releasing.tracking import mlflow_client, versions_folder
from pipelines.rollback import rollback
from registry.approvals import Approvals
from registry.compactions import CompactionStore
from registry.errors import InputError
from registry.facts import FactStore
from registry.home import Home
from registry.ledger import Ledger
from registry.pruning import PRUNED, PruningStore
from registry.records import Release
from registry.releases import ReleaseStore
from registry.requests import RequestStore

More = Callable[[Home, str], Release]
LATE = datetime(2030, 1, 1, tzinfo=UTC)
FEW = RetentionPolicy(keep_last=1, min_days=1)
CHAMPION_2 = {"alias": "champion", "release": 2, "previous": 1}


class Killed(Exception):
    """Stands for a kill at a checkpoint."""


@pytest.fixture(scope="module")
def long_original(weights_original: Path, tmp_path_factory: pytest.TempPathFactory, more: More) -> Path:
    """Five releases: 1 and 2, and three more with a delta each."""
    root = tmp_path_factory.mktemp("long") / "home"
    shutil.copytree(weights_original, root)
    for name in ("Aland", "Borland", "Corland"):
        more(Home.at(root), name)
    return root


@pytest.fixture
def long_home(long_original: Path, tmp_path: Path) -> Home:
    """A copy of it."""
    shutil.copytree(long_original, tmp_path / "long-home")
    return Home.at(tmp_path / "long-home")


def go(home: Home, *refs: str, policy: RetentionPolicy = FEW, remove: bool = True) -> tuple[int, ...]:
    return prune(home, refs, actor="ann", remove=remove, policy=policy, now=LATE).releases


def folders(home: Home) -> list[str]:
    roots = (home.deltas, home.snapshots, home.bases, versions_folder(home))
    return sorted(path.name for root in roots if root.is_dir() for path in root.iterdir())


def test_a_dry_run_changes_nothing(long_home: Home) -> None:
    before = folders(long_home)
    result = prune(long_home, actor="ann", policy=FEW, now=LATE)
    assert (result.removed, result.releases, result.entry) == (False, (1, 2, 3), None)
    assert result.size > 0
    assert folders(long_home) == before
    with Ledger.open(long_home) as ledger:
        assert not ledger.entries(PRUNED)


def test_what_nothing_needs_goes_and_the_audit_says_pruned(long_home: Home) -> None:
    with Ledger.open(long_home) as ledger:
        releases = ReleaseStore(ledger).all()
    before = folders(long_home)
    assert go(long_home) == (1, 2, 3)
    gone = set(before) - set(folders(long_home))
    assert {one.facts_snapshot for one in releases[:3]} <= gone
    assert not {digest for digest in releases[4].deltas} & gone, "later releases have the deltas of the earlier ones"
    found = verify(long_home, rebuild=True)
    assert found.problems == ()
    assert found.checked["pruned_releases"] == 3
    assert "releases 1, 2, 3: pruned by ann" in found.pruned[0]
    with Ledger.open(long_home) as ledger:
        assert ReleaseStore(ledger).all() == releases, "the records stay"
        assert rebuildable(long_home, ledger, releases[0]) == "", "its weights are those of the base"
    with mlflow_client(long_home) as client:
        assert len(client.search_model_versions()) == 2
    assert go(long_home) == ()
    with pytest.raises(InputError, match="pruned by ann"):
        rollback(long_home, "2", "bob")


def test_a_folder_that_is_gone_without_an_entry_is_missing(long_home: Home) -> None:
    with Ledger.open(long_home) as ledger:
        release = ReleaseStore(ledger).get(1)
    (long_home.snapshots / release.facts_snapshot).rename(long_home.root / "away")
    assert any("missing" in words for words in verify(long_home).problems)
    go(long_home)
    with Ledger.open(long_home) as ledger:
        kept = ReleaseStore(ledger).get(5)
    (long_home.snapshots / kept.facts_snapshot).rename(long_home.root / "away-too")
    assert any("release 5" in words and "missing" in words for words in verify(long_home).problems)


@pytest.mark.parametrize(
    ("ref", "words"),
    [
        ("5", "it is the champion"),
        ("4", "record of release 5 names it as the way back"),
        ("3", "one of the last 3"),
        ("9", "there are 1 to 5"),
    ],
)
def test_what_is_needed_cannot_be_named(long_home: Home, ref: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        go(long_home, ref, policy=RetentionPolicy(keep_last=3 if ref == "3" else 1, min_days=0))


def test_why_each_stays(long_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with Ledger.open(long_home) as ledger:
        rollback(long_home, "2", "bob")
        why = needed(ledger, FEW, LATE)
        assert why[2] == ("it is the champion",)
        assert why[1] == ("the record of release 2 names it as the way back",)
        with ledger.transaction() as txn:
            ledger.append(txn, "certified", {"release": 5}, "x", LATE)
        assert needed(ledger, FEW, LATE)[4] == ("the certificate of release 5 names it as the way back",)
        assert why[3] == ()
        young = needed(ledger, FEW, ReleaseStore(ledger).get(3).created_at + timedelta(hours=1))
        assert "younger than 1 days" in young[3][0]
        monkeypatch.setattr("pipelines.releasing.retention._asked_for", lambda ledger: {3: 7})
        assert needed(ledger, FEW, LATE)[3] == ("request 7 is open and names a fact that it brought",)


def test_a_release_whose_fact_an_open_request_names_stays(long_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with Ledger.open(long_home) as ledger:
        brought = {event.release: event.fact.id for event in FactStore(ledger).events()}
        asked = {7: SimpleNamespace(number=7, state="open"), 8: SimpleNamespace(number=8, state="executed")}
        named = {7: {"facts": [brought[3]]}, 8: {"facts": [brought[2]]}}
        monkeypatch.setattr(Approvals, "read", lambda ledger: SimpleNamespace(requests=asked))
        monkeypatch.setattr(RequestStore, "content", lambda self, one: named[one.number])
        why = needed(ledger, FEW, LATE)
    assert why[3] == ("request 7 is open and names a fact that it brought",)
    assert why[2] == (), "a request that is done needs nothing"


@pytest.mark.parametrize("point", ["in the transaction", "committed", "version removed", "folder removed"])
def test_a_kill_leaves_nothing_half_done(long_home: Home, point: str) -> None:
    def kill(name: str) -> None:
        if name == point:
            raise Killed

    with pytest.raises(Killed):
        prune(long_home, actor="ann", remove=True, policy=FEW, now=LATE, checkpoint=kill)
    with Ledger.open(long_home) as ledger:
        recover(long_home, ledger)
        done = tuple(PruningStore(ledger).releases)
    assert done == (() if point == "in the transaction" else (1, 2, 3))
    assert verify(long_home, rebuild=True).problems == ()
    assert go(long_home) == ((1, 2, 3) if not done else ())


def test_merged_deltas_stay_unless_the_policy_gives_them_up(long_home: Home, more: More) -> None:
    compact(long_home, "champion", "ann")
    more(long_home, "Dorland")
    with Ledger.open(long_home) as ledger:
        merged = ReleaseStore(ledger).get(5).deltas
    go(long_home)
    assert set(merged) <= set(folders(long_home)), "single facts can still be taken out"
    go(long_home, policy=replace(FEW, merged_deltas=False))
    assert not set(merged) & set(folders(long_home))
    found = verify(long_home, rebuild=True)
    assert found.problems == ()
    with Ledger.open(long_home) as ledger:
        for number in (5, 6):
            release = ReleaseStore(ledger).get(number)
            assert rebuildable(long_home, ledger, release) == ""
            assert rebuild(long_home, release, device="cpu").digest == release.weights_digest
        assert "delta" in rebuildable(long_home, ledger, ReleaseStore(ledger).get(3))


def test_a_checkpoint_that_nothing_stands_on_goes(long_home: Home, more: More) -> None:
    compact(long_home, "2", "ann")
    go(long_home)
    assert not list(long_home.bases.iterdir())
    assert verify(long_home, rebuild=True).problems == ()


def test_the_commands(long_home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    at = ["--home", str(long_home.root), "releases"]
    assert run([*at, "prune"]) == 0
    assert "Nothing to prune" in capsys.readouterr().out, "the policy keeps the last ten"
    assert run([*at, "prune", "--keep-last", "1", "--min-days", "0"]) == 0
    assert "nothing is changed without --remove" in capsys.readouterr().out
    assert run([*at, "prune", "--keep-last", "1", "--min-days", "0", "--remove", "--as", "ann"]) == 0
    assert "Pruned: r1, r2, r3" in capsys.readouterr().out
    assert run([*at, "show", "2"]) == 0
    said = capsys.readouterr().out
    assert "pruned by ann" in said
    assert "can be rebuilt" in said
    assert run([*at, "prune", "champion"]) == 2
    assert run([*at, "export", "2", str(long_home.root / "out")]) == 2


def test_the_list_says_which_were_pruned_and_merged(long_home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    at = ["--home", str(long_home.root), "releases", "list"]
    assert run([*at, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["pruned"], row["merged"]) for row in rows] == [("", [])] * 5
    assert run(at) == 0
    assert not {"pruned", "merged"} & set(capsys.readouterr().out.split()), "nothing to say takes no column"
    made = compact(long_home, "4", "ann")
    go(long_home)
    assert run([*at, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [bool(row["pruned"]) for row in rows] == [True, True, True, False, False]
    assert "pruned by ann" in rows[0]["pruned"]
    assert [[one["deltas"] for one in row["merged"]] for row in rows] == [[], [1], [2], [3], [3]]
    (held,) = rows[4]["merged"]
    assert held == {
        "checkpoint": Path(made.folder).name,
        "release": 4,
        "deltas": 3,
        "entry": made.entry,
        "pruned": False,
    }
    assert run(at) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert {"pruned", "merged"} <= set(said.split())


def refusal(home: Home, **asked: Any) -> str:
    with pytest.raises(InputError) as refused:
        open_answerer(home, **asked)
    return str(refused.value)


def test_a_question_to_a_pruned_release_is_told_what_takes_its_place(long_home: Home) -> None:
    with Ledger.open(long_home) as ledger:
        second = next(one for one in ledger.entries("alias") if one.payload == CHAMPION_2).recorded_at
    held = Path(compact(long_home, "4", "ann").folder).name[:12]
    go(long_home, "3")
    told = refusal(long_home, release="3")
    assert "release 3, pruned by ann" in told, "it was named, not found by a moment"
    assert "kept and to be asked: release 2 before it and release 4 after it;" in told
    assert f"checkpoint {held} of release 4 holds 2 of its deltas" in told
    assert "takes its place" not in told, "it has other weights"
    go(long_home)
    told = refusal(long_home, known_at=second)
    assert f"release 2, which answered at {second.isoformat(timespec='seconds')}, pruned by ann" in told
    assert "kept and to be asked: release 4 after it;" in told
    assert "checkpoint" not in refusal(long_home, release=1), "a release without deltas is in none"
    gone = {"releases": [4], "deltas": [], "snapshots": [], "bases": [], "versions": []}
    with Ledger.open(long_home) as ledger, ledger.transaction() as txn:
        ledger.append(txn, PRUNED, gone, "ann", LATE)
    told = refusal(long_home, release=4)
    assert f"release 5 after it; checkpoint {held} takes its place: it holds the same weights" in told
    with Ledger.open(long_home) as ledger, ledger.transaction() as txn:
        whole = CompactionStore(ledger).all[0].artefact
        ledger.append(txn, PRUNED, {**gone, "releases": [5], "bases": [whole]}, "ann", LATE)
    assert "no release is kept; `dmmgov facts show`" in refusal(long_home, release=4), "the checkpoint is gone too"


@pytest.mark.parametrize(("last", "days"), [(0, 1), (1, -1)])
def test_a_policy_that_keeps_nothing_is_refused(last: int, days: float) -> None:
    with pytest.raises(ValueError, match="at least one release"):
        RetentionPolicy(keep_last=last, min_days=days)
