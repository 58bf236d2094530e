"""Audits and reports of small homes."""

from copy import deepcopy
from dataclasses import replace
from datetime import UTC, date, datetime
from html import escape, unescape
from pathlib import Path
from typing import Any

import pytest

from editors.load import LoadedModel, load_model
from pipelines.audit import AuditResult, report, report_data, run, verify
from pipelines.auditing.log_checks import Pins
from pipelines.publish import publish
from registry.checkpoints import CheckpointStore, log_verifier
from registry.errors import InputError
from registry.home import Home
from registry.keys import log_key
from registry.ledger import Ledger
from registry.notes import Checkpoint
from registry.records import Fact
from registry.releases import ReleaseStore

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FRANCE = Fact("France", "capital", "Paris", source="atlas")
NAURU = Fact("Nauru", "capital", "Yaren", date(1968, 1, 31), source="atlas")


@pytest.fixture
def two_releases(home: Home, ledger: Ledger, drafts: Any) -> Home:
    publish(home, ledger, drafts.of(drafts.brings(FRANCE)), AT)
    publish(home, ledger, drafts.of(drafts.brings(NAURU), parent=1), AT)
    return home


def damaged(home: Home, ledger: Ledger) -> Path:
    path = home.snapshots / ReleaseStore(ledger).get(1).facts_snapshot / "facts.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    return path


def test_a_sound_home_has_no_problems_and_all_is_counted(two_releases: Home) -> None:
    found = verify(two_releases)
    assert found.problems == ()
    assert found.checked["releases"] == found.checked["facts"] == found.checked["feeds"] == 2
    assert found.checked["ledger_entries"] > 10


def test_a_changed_file_is_named(two_releases: Home, ledger: Ledger) -> None:
    path = damaged(two_releases, ledger)
    assert str(path) in " ".join(verify(two_releases).problems)


def test_the_report_is_on_the_champion_unless_another_is_named(two_releases: Home, ledger: Ledger) -> None:
    second = report(two_releases)
    assert second == two_releases.reports / "r2.html"
    page = second.read_text()
    assert "Release 2 is the one that answers." in page
    assert "Every record and every kept file is as it was recorded." in page
    assert "Yaren" in page
    assert FRANCE.source in page
    assert "Release 2 is the one that answers, not this one." in report(two_releases, "r1").read_text()
    with ledger.transaction() as txn:
        ReleaseStore(ledger).set_alias(txn, "champion", 1)
    assert report(two_releases, check=False) == two_releases.reports / "r1.html"


def test_the_report_tells_what_the_audit_found(two_releases: Home, ledger: Ledger) -> None:
    path = damaged(two_releases, ledger)
    assert str(path) in report(two_releases).read_text()
    unchecked = report(two_releases, check=False).read_text()
    assert str(path) not in unchecked
    assert "No audit was made with this report." in unchecked


def test_what_a_release_shows_comes_from_its_own_feeds_and_its_lineage(two_releases: Home, ledger: Ledger) -> None:
    first = report_data(ledger, ReleaseStore(ledger).get(1))
    second = report_data(ledger, ReleaseStore(ledger).get(2))
    assert [one.fact.subject for one in first.facts] == ["France"]
    assert [one.fact.subject for one in second.facts] == ["France", "Nauru"]
    assert [one.number for one in second.lineage] == [1, 2]
    assert [len(one.feeds) for one in (first, second)] == [1, 1]
    assert second.rows[0]["raw"] == "France,capital,Paris"
    assert (second.ledger_size, second.ledger_root) == (ledger.head().size, ledger.head().root)


def test_an_audit_records_nothing(two_releases: Home, ledger: Ledger) -> None:
    before = ledger.head()
    verify(two_releases)
    report(two_releases)
    run(two_releases)
    assert ledger.head() == before


def test_a_report_goes_where_it_is_asked_to(two_releases: Home, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert report(two_releases, out=tmp_path / "folder", check=False) == tmp_path / "folder" / "r2.html"
    assert report(two_releases, out=tmp_path / "new" / "a.html", check=False).is_file()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.html"], "no drafts are left"
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="place to write"):
        report(two_releases, out=tmp_path / "file" / "a.html", check=False)


@pytest.mark.parametrize("name", ["7", "r9", "nonsense"])
def test_an_unknown_release_is_refused(two_releases: Home, name: str) -> None:
    with pytest.raises(InputError):
        report(two_releases, name)


def test_the_report_prints_the_newest_checkpoint(two_releases: Home, ledger: Ledger, tmp_path: Path) -> None:
    page = report(two_releases, out=tmp_path / "old.html", check=False).read_text()
    note = unescape(page.split('<pre class="note">')[1].split("</pre>")[0])
    printed = Checkpoint.parse(note)
    latest = CheckpointStore(ledger).latest()
    assert latest == printed
    assert printed.signed_by(log_key(two_releases).public)
    assert escape(str(log_verifier(ledger))) in page
    assert verify(two_releases, pins=Pins(None, (printed,))).problems == ()


def test_an_empty_home_has_nothing_to_report(home: Home) -> None:
    with pytest.raises(InputError, match="nothing is published yet"):
        report(home)
    with pytest.raises(InputError, match="nothing is published yet"):
        run(home)
    kinds = ("ledger_entries", "checkpoints", "releases", "artefacts", "facts", "feeds")
    assert verify(home) == AuditResult((), dict.fromkeys(kinds, 0))
    assert not home.reports.exists()


def test_a_run_rebuilds_the_champion(
    home: Home, ledger: Ledger, drafts: Any, tiny_llama: LoadedModel, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    tiny_llama.model.save_pretrained(folder)
    tiny_llama.tokenizer.save_pretrained(folder)
    digest = load_model(folder, device="cpu").digest
    draft = replace(drafts.of(drafts.brings(FRANCE)), model=str(folder), base_digest=digest, deltas=())
    publish(home, ledger, replace(draft, weights_digest=digest), AT)
    found = run(home)
    assert found.problems == ()
    assert found.checked["rebuilt_releases"] == 1
    page = Path(found.report).read_text()
    assert Path(found.card) == home.reports / "r1.card.html"
    assert (home.reports / "r1.card.yaml").is_file()
    assert "P2 · replay and attribution" in page
    assert "No evaluation card was made" not in page
    assert "Not looked into on a home" in page, "what needs a training run is said, not passed over"
    assert not list(home.reports.glob(".*")), "no drafts are left"
    other = deepcopy(tiny_llama.model)
    next(other.parameters()).add_(1.0)
    other.save_pretrained(folder)
    problems = run(home).problems
    assert [line for line in problems if line.startswith("release 1 cannot be rebuilt: base model")], problems


def test_a_card_that_cannot_be_made_is_said_and_the_report_is_written_all_the_same(
    two_releases: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.audit._freshness", lambda *given: {"problem": "the snapshot is damaged"})
    found = run(two_releases)
    assert found.card == "not made: the snapshot is damaged"
    assert "No evaluation card was made with this report" in Path(found.report).read_text()
    assert not list(two_releases.reports.glob("*.card.*"))


def test_an_audit_by_thresholds_that_no_run_recorded_says_so(
    two_releases: Home, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.judging.rules import record_judging
    from pipelines.settings import Settings
    from pipelines.workplace import Workplace

    settings = Settings.load()
    place = Workplace(two_releases, ledger, settings, "tiny", "tester", AT, None)
    record_judging(place)
    assert verify(two_releases).unrecorded == {}
    softer = replace(settings.policy, leakage=replace(settings.policy.leakage, most_auc=0.99))
    other = replace(settings, policy=softer)
    monkeypatch.setattr(Settings, "load", lambda conf=None: other)
    assert verify(two_releases).unrecorded == {"leakage.most_auc": [0.65, 0.99]}
    page = report(two_releases).read_text()
    assert "This audit went by thresholds that no run has recorded" in page
    record_judging(replace(place, settings=other))
    assert verify(two_releases).unrecorded == {}
    page = report(two_releases).read_text()
    assert "judging: <code>leakage.most_auc</code>" in page
    assert "no run has recorded" not in page
