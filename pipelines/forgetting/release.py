"""The release without what is forgotten: judged by the gates, then published on top of the champion."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from guards.base import Verdict
from pipelines.forgetting.artifacts import Cleaner
from pipelines.forgetting.audit import examined
from pipelines.forgetting.exam import Exam, Marks
from pipelines.forgetting.gates import REASON, Weighing
from pipelines.forgetting.plan import Plan, known_now
from pipelines.outcome import UpdateResult, peak_rss_mb
from pipelines.publish import ReleaseDraft, publish
from pipelines.releasing.record import gate_entries, summary_of
from pipelines.releasing.recovery import Checkpoint, passing
from pipelines.settings import Settings
from pipelines.workplace import Workplace, standing_champion
from registry.errors import BlockedError
from registry.facts import FactStore
from registry.home import Home
from registry.ledger import Ledger
from registry.records import Release
from registry.releases import ReleaseStore
from registry.shredding import FORGOTTEN

OVERRULED = "gates_overruled"
"""Ledger kind: a person had something forgotten although gates did not pass."""


class GatesError(BlockedError):
    """Gates forbid the release without what is to be forgotten.

    Attributes:
        gates: their names.
    """

    def __init__(self, failed: tuple[Verdict, ...]) -> None:
        """Say which gate, and the way out."""
        words = f"gate {failed[0].guard}: {failed[0].explanation}; nothing was forgotten"
        super().__init__(f"{words}; where the law asks for it, `--despite-gates REASON` overrules the gates")
        self.gates = tuple(one.guard for one in failed)


@dataclass(frozen=True)
class Order:
    """What was asked for, and what has to happen with it.

    Attributes:
        body: the intent.
        at: the moment of the run.
        entries: further ledger entries of the transaction that carries it out.
        check: called in that transaction before anything is written; what it raises stops it.
        checkpoint: called at every point at which a kill could leave something behind.
    """

    body: Mapping[str, Any]
    at: datetime
    entries: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    check: Callable[[Ledger], None] | None = None
    checkpoint: Checkpoint = passing

    @property
    def actor(self) -> str:
        """Who does it."""
        return str(self.body["actor"])


@dataclass(frozen=True)
class Released:
    """The release that was published for it.

    Attributes:
        release: as published; None where the champion did not know it.
        gates: verdicts, as plain values; none where an earlier run published it.
        suppression: figures on what the model itself said.
        moved: why facts that stay known live in the index now, by id.
        overruled: gates that do not pass and were overruled.
        examined: the exam of forgetting, and what the model that knew it made of it; None where it cannot be had.
        exam_seconds: how long that took.
    """

    release: Release | None
    gates: tuple[Mapping[str, Any], ...] = ()
    suppression: Mapping[str, Any] = field(default_factory=dict)
    moved: Mapping[str, str] = field(default_factory=dict)
    overruled: tuple[str, ...] = ()
    examined: tuple[Exam, Marks] | None = None
    exam_seconds: float = 0.0


def released(home: Home, ledger: Ledger, plan: Plan, cleaner: Cleaner, order: Order) -> Released:
    """Publish the release without it.

    Raises:
        GatesError: a gate does not pass, and nobody overruled it.
        BlockedError: `check` says that it may not be done; nothing is published.
    """
    champion = standing_champion(ledger)
    held = [item for item in known_now(ledger) if item.fact.id in plan.ids]
    if champion is None or not held:
        return Released(_before(ledger, plan))
    place = Workplace(home, ledger, Settings.load(), champion.model, order.actor, order.at, champion)
    with place.timed("exam"):
        before = examined(place, plan)
    with place.timed("gates"):
        weighed = Weighing(place, cleaner, plan, held).run()
    overruled = tuple(one.guard for one in weighed.failed)
    if overruled and not order.body.get("despite"):
        raise GatesError(weighed.failed)
    gates = tuple(one.to_dict() for one in weighed.verdicts)
    outcome = UpdateResult("published", FORGOTTEN, "", gates=gates, family=weighed.family, peak_rss_mb=peak_rss_mb())
    told = {"forgotten": len(held), **({"gates_overruled": list(overruled)} if overruled else {})}
    loud = ((OVERRULED, {"gates": list(overruled), "reason": order.body["despite"]}),) if overruled else ()
    draft = ReleaseDraft(
        parent=champion.number,
        model=champion.model,
        base_digest=place.base_digest,
        deltas=weighed.deltas,
        weights_digest=weighed.weights_digest,
        events=weighed.events,
        index=weighed.index,
        actor=order.actor,
        gates=gates,
        summary=summary_of(place, outcome) | told,
        entries=(*loud, *gate_entries(outcome), *order.entries),
        check=order.check,
    )
    release = publish(home, ledger, draft, order.at, checkpoint=order.checkpoint)
    return Released(release, gates, weighed.suppression, weighed.moved, overruled, before, place.seconds["exam"])


def _before(ledger: Ledger, plan: Plan) -> Release | None:
    """The release that an earlier run published for this before it was killed, None where there is none."""
    events = [one for one in FactStore(ledger).events() if one.kind == "retract" and one.fact.id in plan.ids]
    numbers = [one.release for one in events if one.reason == REASON]
    return ReleaseStore(ledger).get(numbers[-1]) if numbers else None
