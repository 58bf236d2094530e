"""The freshness audit of a release: what its record says about time, and, where it is asked, what it answers.

Everything but the three settings is read from the ledger and the snapshot and asks no model, so that it takes seconds;
the settings are asked on a sample, when a sample is asked for. Nothing is recorded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any

from guards.base import Verdict
from guards.forgetting import Due, ReviewPolicy, next_due, plan
from guards.longmemory import HorizonPanel, LongMemory
from guards.retention import Check, Retention, retention
from guards.timeliness import TimelinessGuard
from pipelines.auditing.dated import dated
from pipelines.auditing.replay import replay
from pipelines.auditing.staleness import CHECKED, Staleness, staleness
from pipelines.auditing.timeliness import SETTINGS, TimelinessRun, ask_settings
from pipelines.settings import Settings
from registry.checkpoints import stamp
from registry.facts import FactEvent, FactStore
from registry.home import Home
from registry.ledger import Ledger
from registry.records import LedgerEntry, Release
from registry.releases import ReleaseStore

CONTEXT = "rag"
NEXT = 20
"""So many due facts are named."""


@dataclass(frozen=True)
class FreshnessAudit:
    """What the audit found.

    Attributes:
        release: number of the release.
        day: the day on which age is counted.
        staleness: lags, ages, overdue facts.
        schedule: every fact that holds, in the order in which it should be asked again.
        memory: panels P1, P2 and P4 of E-MARS+, as far as the record gives them.
        retention: what the recorded checks show about the weights; None where there are none.
        timeliness: the three settings; None where they were not asked.
        verdicts: on each setting.
    """

    release: int
    day: date
    staleness: Staleness
    schedule: tuple[Due, ...]
    memory: LongMemory
    retention: Retention | None = None
    timeliness: TimelinessRun | None = None
    verdicts: tuple[Verdict, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; of the schedule how many are due, and the next of them."""
        due = [one for one in self.schedule if one.due]
        asked = {whom: sum(one.ask == whom for one in due) for whom in ("source", "system")}
        return {
            "release": self.release,
            "day": self.day.isoformat(),
            "staleness": self.staleness.to_dict(),
            "due": {"facts": len(due), "ask": asked, "next": [asdict(one) for one in due[:NEXT]]},
            "long_memory": self.memory.to_dict(),
            "retention": self.retention.to_dict() if self.retention else None,
            "timeliness": self.timeliness.to_dict() if self.timeliness else None,
            "verdicts": [one.to_dict() for one in self.verdicts],
        }


def freshness_audit(
    home: Home, ledger: Ledger, release: Release, day: date, *, questions: int = 0, seed: int = 0, panels: bool = True
) -> FreshnessAudit:
    """Audit the freshness of a release.

    Args:
        home: where it lies.
        ledger: the open ledger of `home`.
        release: which release.
        day: the day on which age is counted and for which questions are asked.
        questions: how many questions are asked in each of the three settings; none asks no model.
        seed: of the questions.
        panels: whether the record is replayed and held against its rows (P1, P2); the schedule needs neither.

    Raises:
        IntegrityError: the snapshot, the index or the model is not as recorded.
    """
    catalogue = Settings.load().catalogue
    found = staleness(home, ledger, release, catalogue, day)
    kept = recorded_retention(ledger, release)
    memory = LongMemory(p4=horizon(kept))
    if panels:
        memory = replace(memory, p1=dated(home, ledger, release), p2=replay(ledger, release))
    run: TimelinessRun | None = None
    verdicts: tuple[Verdict, ...] = ()
    if questions:
        run = ask_settings(home, catalogue, questions, day, release=release.number, seed=seed)
        verdicts = tuple(TimelinessGuard().judge((run.measured, name)) for name in SETTINGS)
    return FreshnessAudit(
        release.number, day, found, plan(found.histories, day, review_policy(kept)), memory, kept, run, verdicts
    )


def review_policy(kept: Retention | None) -> ReviewPolicy:
    """The policy of the schedule; where the record shows how fast edits wear the weights, with that scale."""
    from math import log

    half = kept.half_life.edits if kept is not None else None
    return ReviewPolicy(edits=half / log(2)) if half else ReviewPolicy()


def horizon(kept: Retention | None) -> HorizonPanel:
    """P4 from a measured retention."""
    if kept is None:
        return HorizonPanel()
    return HorizonPanel(kept.slope, kept.half_life.edits, kept.half_life.words, kept.long_term)


def recorded_retention(ledger: Ledger, release: Release) -> Retention | None:
    """What the checks in the ledger show about facts in the weights; None where none was made."""
    numbers = ReleaseStore(ledger).lineage(release.number)
    checks = checks_of(FactStore(ledger).events(numbers), ledger.entries(CHECKED))
    return retention("recall", checks) if checks else None


def checks_of(events: Sequence[FactEvent], entries: Sequence[LedgerEntry]) -> list[Check]:
    """The checks of facts in the weights, by the number of facts that were written between the fact and the check.

    That a fact was recalled when it was written is what its gate found: what did not pass went to the index. Of several
    checks after equally many edits the last one counts.
    """
    written = [one for one in events if one.kind == "assert" and one.memory != CONTEXT]
    born = {one.fact.id: one for one in written}
    found: dict[tuple[str, int], bool] = {}
    for entry in entries:
        fact_id = str(entry.payload["fact"])
        own = born.get(fact_id)
        if own is None or entry.recorded_at < own.recorded_at:
            continue
        later = sum(own.release < one.release and one.recorded_at <= entry.recorded_at for one in written)
        found.setdefault((fact_id, 0), True)
        found[fact_id, later] = bool(entry.payload["right"])
    return [Check(fact_id, edits, right) for (fact_id, edits), right in found.items()]


def check_due(home: Home, count: int, day: date, actor: str) -> tuple[Mapping[str, Any], ...]:
    """Ask the champion about the next facts that it may have forgotten, and record in the ledger whether it is right.

    Facts in the weights are asked of the weights alone, all others of the frozen index.

    Args:
        home: where the champion lies.
        count: how many facts, at most.
        day: the day of the schedule and of the questions.
        actor: who checks.

    Returns:
        What was recorded: fact, right, said, setting, release.

    Raises:
        InputError: nothing is published.
        BusyError: another writer is at work.
    """
    from datetime import UTC, datetime

    from pipelines.answer import open_answerer
    from registry.ledger import Event
    from registry.locks import writer
    from registry.shredding import new_id, seal_many
    from registry.text import holds_answer

    with writer(home), Ledger.open(home) as ledger:
        champion = ReleaseStore(ledger).get("champion")
        schedule = freshness_audit(home, ledger, champion, day, panels=False).schedule
        chosen = {one.fact_id for one in next_due(schedule, count, "system")}
        if not chosen:
            return ()
        answerer = open_answerer(home, "offline", champion.number)
        facts = [item for item in answerer.facts if item.fact.id in chosen]
        payloads: list[dict[str, Any]] = []
        for setting in ("parametric", "offline"):
            part = [item for item in facts if (item.memory == CONTEXT) == (setting == "offline")]
            questions = [answerer.wording.question(item.fact.relation, item.fact.subject) for item in part]
            for item, reply in zip(part, answerer.ask_many(questions, setting, day), strict=True):
                right = reply.known and holds_answer(reply.text, answerer.catalogue.answers(item.fact.object))
                said = {"fact": item.fact.id, "right": right, "said": reply.text}
                payloads.append({**said, "setting": setting, "release": champion.number})
        with ledger.transaction() as txn:
            texts = seal_many(txn, [(new_id(), one["said"]) for one in payloads])
            kept = [Event(CHECKED, {**one, "said": text}) for one, text in zip(payloads, texts, strict=True)]
            ledger.append_many(txn, kept, actor, datetime.now(UTC))
        stamp(home, ledger)
        return tuple(payloads)
