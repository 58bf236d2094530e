"""The report's part on freshness, from a real audit of a made home and from changed ones."""

from copy import deepcopy
from dataclasses import asdict
from datetime import UTC, date, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from dashboards.freshness import freshness_page, span
from dashboards.report import ReportData, render
from guards.timeliness import Case, Said, measure
from pipelines.auditing.freshness import freshness_audit
from pipelines.settings import Settings
from registry.home import Home
from registry.ledger import Ledger
from registry.records import Release
from registry.releases import ReleaseStore


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> tuple[Release, dict[str, Any]]:
    """The champion of a made home, with its audit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).resolve().parents[2]))
        made: Any = import_module("benchmarks.made_home")
    home = Home.at(tmp_path_factory.mktemp("made"))
    made.made_home(home, Settings.load().catalogue, 40, releases=2)
    with Ledger.open(home) as ledger:
        champion = ReleaseStore(ledger).get("champion")
        return champion, freshness_audit(home, ledger, champion, date(2034, 1, 1)).to_dict()


def page(release: Release, audit: dict[str, Any]) -> str:
    at = datetime(2034, 1, 1, tzinfo=UTC)
    return render(ReportData(release, 2, (release,), (), (), 1, "0" * 64, None, made_at=at, freshness=audit))


def test_the_page_tells_lag_age_what_is_due_and_the_replay(audited: tuple[Release, dict[str, Any]]) -> None:
    release, audit = audited
    text = page(release, audit)
    assert f"{audit['staleness']['overdue_facts']} of 40 facts that hold are older" in text
    assert audit["due"]["next"][0]["what"].replace("_", " ") in text
    assert "the same state" in text
    assert "The settings were not asked" in text


def test_another_state_a_problem_and_no_audit_are_said_to_be_so(audited: tuple[Release, dict[str, Any]]) -> None:
    release, audit = audited
    other = deepcopy(audit)
    other["long_memory"]["p2"]["same_state"] = False
    assert "ANOTHER STATE" in page(release, other)
    assert "could not be made: &lt;b&gt;broken&lt;/b&gt;" in page(release, {"problem": "<b>broken</b>"})
    assert "No freshness audit was made" in page(release, {})


def test_the_settings_are_shown_with_what_differs(audited: tuple[Release, dict[str, Any]]) -> None:
    release, audit = audited
    cases = [Case("Who?", ("Ada",), ("<i>Ben</i>",))] * 30
    said = {"offline": [Said("<i>Ben</i>", True)] * 30, "online": [Said("Ada", True)] * 30}
    measured = {**asdict(measure(cases, said)), "frozen": 1, "release": 2, "n": 30}
    text = page(release, {**audit, "timeliness": measured})
    assert "offline is the frozen snapshot of release 1" in text
    assert "answerable, right: online differs from offline by 1" in text
    assert "<i>" not in text
    assert freshness_page({}) == {}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "\u2013"), (5.0, "5\u202fs"), (90, "1.5\u202fmin"), (7200, "2.0\u202fh"), (864000, "10.0\u202fd")],
)
def test_spans_are_told_in_the_unit_that_fits(seconds: float | None, words: str) -> None:
    assert span(seconds) == words
