"""Audit: is everything as it was recorded, can the champion be rebuilt, and what is there to tell about a release.

`verify` reads everything and changes nothing, `report` writes one HTML file, `run` does both, rebuilds the model and
asks what the release leaks.
Nothing is added to the ledger: an audit can be repeated by anybody, and comes to the same.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guards.base import Verdict
from pipelines.admission.data_docs import data_docs
from pipelines.auditing.log_checks import NO_PINS, Pins
from pipelines.judging.rules import rule_changes, unrecorded
from pipelines.settings import Settings
from registry.checkpoints import CheckpointStore, log_verifier
from registry.compactions import CompactionStore
from registry.errors import DmmGovError, InputError
from registry.facts import FactStore, view
from registry.feeds import FeedStore
from registry.home import Home
from registry.ledger import Ledger
from registry.pruning import Pruning, PruningStore
from registry.records import Release
from registry.releases import ReleaseStore

if TYPE_CHECKING:
    from editors.load import LoadedModel

PAGE = "dashboards.report"
"""The module that renders; the floors are peers, so it is found by name when a report is asked for."""


@dataclass(frozen=True)
class AuditResult:
    """What an audit found.

    Attributes:
        problems: what differs from the records, one line each, the first bad ledger entry first.
        checked: how many things were looked at, by kind.
        report: path of the report, where one was written.
        freshness: what `pipelines.auditing.freshness` found, as plain values; nothing where it was not looked at.
        leakage: what the leakage audit says; none where it was not made.
        pruned: what is not there since it was pruned, one line a pruning.
        card: path of the evaluation card's page, its YAML beside it, or why there is none.
        unrecorded: thresholds in force that the log does not know yet, by dotted name: as recorded, and now.
    """

    problems: tuple[str, ...]
    checked: Mapping[str, int]
    report: str = ""
    freshness: Mapping[str, Any] = field(default_factory=dict)
    leakage: tuple[Verdict, ...] = ()
    pruned: tuple[str, ...] = ()
    unrecorded: Mapping[str, Any] = field(default_factory=dict)
    card: str = ""

    @property
    def leaks(self) -> bool:
        """Whether a verdict of the leakage audit blocks."""
        return any(verdict.decision == "block" for verdict in self.leakage)


def verify(home: Home, *, pins: Pins = NO_PINS, rebuild: bool = False) -> AuditResult:
    """Check the ledger, the tables and the digest of every kept file.

    Args:
        home: which home.
        pins: what the caller knows of the log from elsewhere.
        rebuild: also put every release together again from its base and its deltas.

    Raises:
        IntegrityError: the ledger's database cannot be read at all.
    """
    with Ledger.open(home) as ledger:
        return _verify(home, ledger, pins, rebuild)


def report(home: Home, release: str | int | None = None, out: Path | None = None, *, check: bool = True) -> Path:
    """Write the report on a release.

    Args:
        home: which home.
        release: number or alias; None is the champion.
        out: the file to write; None takes `r<N>.html` among the home's reports, a folder takes that name in it.
        check: verify the home first and tell in the report what was found.

    Returns:
        The file.

    Raises:
        InputError: there is no such release, or the file cannot be written.
    """
    with Ledger.open(home) as ledger:
        chosen = ReleaseStore(ledger).get("champion" if release is None else release)
        found = _verify(home, ledger) if check else None
        if found is not None:
            found = replace(found, freshness=_freshness(home, ledger, chosen))
        return _write(home, chosen, report_data(ledger, chosen, found), out)


def run(home: Home, questions: int = 0) -> AuditResult:
    """Verify, rebuild the champion from base and deltas, ask what it leaks, write its card and the report on it.

    Args:
        home: which home.
        questions: how many questions are asked in each of the three settings; none by default.

    Raises:
        InputError: nothing is published yet.
    """
    from pipelines.auditing.leakage import leakage

    with Ledger.open(home) as ledger:
        champion = ReleaseStore(ledger).get("champion")
        found = _verify(home, ledger)
        loaded, problems = _rebuilt(home, champion)
        checked = {**found.checked, "rebuilt_releases": 1}
        leaks = leakage(home, ledger, champion, loaded)
        found = replace(found, problems=(*found.problems, *problems), checked=checked, leakage=leaks)
        found = replace(found, freshness=_freshness(home, ledger, champion, questions))
        card, told = _card(home, ledger, champion, found, loaded)
        found = replace(found, card=told)
        path = _write(home, champion, replace(report_data(ledger, champion, found), card=card), None)
    return replace(found, report=str(path))


def report_data(ledger: Ledger, release: Release, found: AuditResult | None = None) -> Any:
    """All that the report on `release` shows (a `ReportData` of the page), read from the ledger.

    Args:
        ledger: the open ledger.
        release: which release.
        found: what an audit found, None when none was made.
    """
    releases, feeds = ReleaseStore(ledger), FeedStore(ledger)
    numbers = releases.lineage(release.number)
    by_number = {one.number: one for one in releases.all()}
    runs = [one for one in feeds.runs() if one.release == release.number and one.status == "published"]
    head = ledger.head()
    page: Any = import_module(PAGE)
    fed = tuple(page.FeedRecord(one.name, one.digest, one.status, tuple(feeds.rows(run=one.id))) for one in runs)
    rows = [row for feed in fed for row in feed.rows]
    return page.ReportData(
        release=release,
        champion=releases.alias("champion"),
        lineage=tuple(by_number[number] for number in numbers),
        feeds=fed,
        facts=tuple(view(FactStore(ledger).events(numbers))),
        ledger_size=head.size,
        ledger_root=head.root,
        checkpoint=_checkpoint(ledger),
        problems=found.problems if found is not None else None,
        checked=found.checked if found is not None else {},
        leakage=tuple(verdict.to_dict() for verdict in found.leakage) if found is not None else (),
        freshness=found.freshness if found is not None else {},
        expectations=data_docs(rows, Settings.load().policy.admission),
        rules=tuple(rule_changes(ledger)),
        unrecorded=found.unrecorded if found is not None else {},
        made_at=datetime.now(UTC),
    )


def _verify(home: Home, ledger: Ledger, pins: Pins = NO_PINS, rebuild: bool = False) -> AuditResult:
    """What `verify_home` finds, with the number of things it looked at."""
    from pipelines.auditing.integrity import verify_home

    problems = verify_home(home, ledger, pins=pins, rebuild=rebuild)
    pruned, every = PruningStore(ledger), ReleaseStore(ledger).all()
    releases = [one for one in every if one.number not in pruned.releases]
    artefacts = {digest for one in releases for digest in (*one.deltas, one.facts_snapshot, one.index_snapshot)}
    artefacts -= pruned.gone("deltas")
    checked = {
        "ledger_entries": ledger.head().size,
        "checkpoints": len(CheckpointStore(ledger).all()),
        "releases": len(every),
        "artefacts": len(artefacts),
        "facts": len(FactStore(ledger).events()),
        "feeds": len(FeedStore(ledger).runs()),
    }
    if compactions := CompactionStore(ledger).all:
        checked["compactions"] = len(compactions)
    if rebuild:
        checked["rebuilt_releases"] = len(releases)
    if pruned.releases:
        checked["pruned_releases"] = len(pruned.releases)
    told, other = tuple(map(_told, pruned.all)), unrecorded(ledger, Settings.load())
    return AuditResult(tuple(problems), checked, pruned=told, unrecorded=other)


def _told(pruning: Pruning) -> str:
    """What a pruning took away, in words."""
    numbers = ", ".join(map(str, pruning.releases)) or "none"
    gone = ", ".join(f"{len(digests)} {kind}" for kind, digests in pruning.gone.items() if digests) or "nothing"
    return f"releases {numbers}: {pruning.words}; {gone} not kept"


def _checkpoint(ledger: Ledger) -> Mapping[str, Any]:
    """The newest checkpoint for the page, nothing where none is signed or it cannot be read."""
    try:
        found, verifier = CheckpointStore(ledger).latest(), log_verifier(ledger)
    except InputError:
        return {}
    if found is None or verifier is None:
        return {}
    shown = {"size": found.size, "root": found.root, "key": verifier}
    return {**shown, "witnesses": found.witnesses, "note": str(found)}


def _rebuilt(home: Home, release: Release) -> tuple["LoadedModel | None", tuple[str, ...]]:
    """The model of the release, or why it cannot be rebuilt to the recorded digest."""
    from pipelines.releasing.rebuild import rebuild

    try:
        return rebuild(home, release, device="cpu"), ()
    except DmmGovError as error:
        return None, (f"release {release.number} cannot be rebuilt: {error}",)


def _freshness(home: Home, ledger: Ledger, release: Release, questions: int = 0) -> Mapping[str, Any]:
    """What the freshness audit found; the problem alone where it could not be made, which `verify` names as well."""
    from pipelines.auditing.freshness import freshness_audit

    try:
        return freshness_audit(home, ledger, release, datetime.now(UTC).date(), questions=questions).to_dict()
    except DmmGovError as error:
        return {"problem": str(error)}


def _card(
    home: Home, ledger: Ledger, release: Release, found: AuditResult, loaded: "LoadedModel | None"
) -> tuple[Mapping[str, Any], str]:
    """The evaluation card of what the audit found, and its page; nothing and the reason where there can be none."""
    from pipelines.auditing.card import card_of, keep_card, recorded

    if "problem" in found.freshness:
        return {}, f"not made: {found.freshness['problem']}"
    try:
        at = datetime.now(UTC)
        card = card_of(recorded(home, ledger, release, at, found.leakage, found.freshness, loaded))
        return card, str(keep_card(card, home.reports)[1])
    except (DmmGovError, OSError) as error:
        return {}, f"not made: {error}"


def _write(home: Home, release: Release, data: Any, out: Path | None) -> Path:
    """Write the page in one step, so that no reader meets half of it.

    Raises:
        InputError: the file cannot be written.
    """
    name = f"r{release.number}.html"
    path = home.reports / name if out is None else out / name if out.is_dir() else out
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(import_module(PAGE).render(data), encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        raise InputError(
            "a place to write the report", f"{path} ({error.strerror})", "name another with --out"
        ) from error
    return path
