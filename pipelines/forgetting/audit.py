"""The audit of a release without what was forgotten, made while its words are still at hand.

Four models take one exam (`pipelines.forgetting.exam`): the one that knew it, one that never did (the same deltas
solved without it, before anything hides it), the one of the release, and that one with later edits on top. What is
kept are figures; the log has them in the entry "forgetting_audited".
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from guards.base import Decision, Verdict
from guards.decoding import combined_p
from guards.stats import mcnemar_exact
from guards.unlearning import ChoiceGuard, Choices, Extraction, StateGuard, UnlearningGuard
from pipelines.forgetting.exam import DECOYS, Exam, Marks, taken
from pipelines.forgetting.plan import Plan
from pipelines.settings import Settings
from pipelines.workplace import Workplace
from registry.errors import DmmGovError
from registry.home import Home
from registry.ledger import Ledger
from registry.progress import track
from registry.records import EditRequest, Release
from registry.releases import ReleaseStore

if TYPE_CHECKING:
    from editors.load import LoadedModel
    from pipelines.forgetting.release import Released

LATER = 2
"""Edits that are written on top, to see whether it stays forgotten."""
EDITOR = "rome"
ORDER: tuple[Decision, ...] = ("pass", "escalate", "block")
NOTHING_READ = 0.01
"""From this p-value on the probe reads nothing."""


@dataclass(frozen=True)
class Taken:
    """The marks of the models.

    Attributes:
        before: of the model that knew it.
        unseen: of one that never knew it.
        after: of the model of the release.
        later: of that one with later edits on top; None where none could be written.
    """

    before: Marks
    unseen: Marks
    after: Marks
    later: Marks | None


def examined(place: Workplace, plan: Plan) -> tuple[Exam, Marks] | None:
    """The exam, taken by the champion as it is; None where its model cannot be had."""
    from pipelines.releasing.inventory import model_place

    if not plan.facts or model_place(place.home, place.model) is None:
        return None
    try:
        exam = Exam.about(place, plan.facts)
        return exam, taken(exam, place.loaded)
    except DmmGovError:
        return None


def audited(home: Home, ledger: Ledger, plan: Plan, made: "Released") -> dict[str, Any]:
    """Ask the model of the release what it still gives away; nothing where there is none to ask."""
    from pipelines.releasing.rebuild import rebuild

    if made.release is None or made.examined is None:
        return {}
    started = time.perf_counter()
    exam, before = made.examined
    now = ReleaseStore(ledger).get(made.release.number)
    parent = ReleaseStore(ledger).get(now.parent or now.number)
    exact = now.weights_digest == parent.weights_digest
    model = rebuild(home, now, device="cpu")
    after = taken(exam, model)
    unseen = after if exact else taken(exam, rebuild(home, parent, device="cpu"))
    later = _later(home, ledger, now, model, plan, exam)
    found = figures(exam, Taken(before, unseen, after, later), exact=exact)
    found["seconds"] = round(made.exam_seconds + time.perf_counter() - started, 1)
    with ledger.transaction() as txn:
        ledger.append(txn, "forgetting_audited", {"facts": list(plan.ids), **found}, "dmmgov", datetime.now(UTC))
    return found


def _later(home: Home, ledger: Ledger, release: Release, model: "LoadedModel", plan: Plan, exam: Exam) -> Marks | None:
    """The marks of the model with later edits on top; they are thrown away again."""
    from editors import get_editor
    from pipelines.judging.moments import editor_config

    place = Workplace(home, ledger, Settings.load(), release.model, "dmmgov", datetime.now(UTC), release)
    place.loaded = model
    requests = later_edits(place, plan)
    if not requests:
        return None
    try:
        with track("write later edits on top"):
            config = editor_config(place, EDITOR)
            delta: Any = get_editor(EDITOR).fit(model.model, model.tokenizer, requests, config)
        if not delta.fact_ids:
            return None
        with delta.applied(model.model):
            return taken(exam, model, whole=False)
    except DmmGovError:
        return None


def later_edits(place: Workplace, plan: Plan) -> list[EditRequest]:
    """Edits of other facts of the same relations, each to the object of the next one; they are tried and not kept."""
    catalogue = place.settings.catalogue
    relations = {fact.relation for fact in plan.facts} & set(catalogue.relations)
    gone = {fact.object for fact in plan.facts}  # an edit that says it again would show nothing
    facts = [item.fact for item in place.current if item.fact.relation in relations and item.fact.object not in gone]
    chosen = [fact for fact in facts if catalogue.relations[fact.relation].cardinality == "one"][: LATER + 1]
    turned = [
        replace(fact, object=other.object)
        for fact, other in pairwise(chosen)
        if fact.relation == other.relation and fact.object != other.object
    ]
    return [catalogue.request(fact, "UPDATE") for fact in turned]


def figures(exam: Exam, marks: Taken, *, exact: bool) -> dict[str, Any]:
    """What the marks come to, without content."""
    before, unseen, after = marks.before, marks.unseen, marks.after
    verdicts = [
        UnlearningGuard().judge(Extraction(after.out, unseen.out)),
        ChoiceGuard("yes_no").judge(Choices(after.yes_no, unseen.yes_no, 0.5)),
        ChoiceGuard("multiple_choice").judge(Choices(after.choices, unseen.choices, 1 / (DECOYS + 1))),
        StateGuard().judge(after.states, unseen.states),
        _sustained(marks),
    ]
    decision = max((one.decision for one in verdicts), key=ORDER.index)
    weighty = [f"{one.guard}: {one.explanation}" for one in verdicts if one.decision == decision]
    return {
        "decision": decision,
        "explanation": "; ".join(weighty),
        "weights_exact": exact,
        "got_out": _by_kind(exam, after.out),
        "got_out_before": _by_kind(exam, before.out),
        "got_out_unseen": _by_kind(exam, unseen.out),
        **{one.guard: f"{one.decision}: {one.explanation}" for one in verdicts[1:]},
        "before": {
            "yes_no": _share(before.yes_no),
            "multiple_choice": _share(before.choices),
            "hidden_states_p": round(combined_p(before.states), 4) if before.states else "not asked",
        },
        "utility": utility(before, after),
        "not_shown": list(not_shown(marks)),
    }


def _sustained(marks: Taken) -> Verdict:
    """Whether it stays forgotten when something is written on top."""
    name, later, after = "later_edits", marks.later, marks.after
    if later is None:
        return Verdict(name, "escalate", "no later edit could be written, so it is not shown that it stays forgotten")
    out, was = sum(later.out), sum(after.out)
    words = f"with up to {LATER} edits on top {out} of {len(later.out)} prompts get it out, {was} without them"
    more = sum(one and not other for one, other in zip(later.out, after.out, strict=True))
    return Verdict(name, "escalate" if more else "pass", f"{words}; it comes back" if more else words)


def utility(before: Marks, after: Marks) -> dict[str, Any]:
    """What forgetting cost: untouched facts and perplexity, before and after."""
    changed = mcnemar_exact(before.untouched, after.untouched)
    return {
        "untouched_before": _share(before.untouched),
        "untouched_after": _share(after.untouched),
        "lost": changed.lost,
        "gained": changed.gained,
        "p": round(changed.p, 4),
        "perplexity_ratio": round(_perplexity(after) / _perplexity(before), 4) if before.nats[1] else "not read",
    }


def not_shown(marks: Taken) -> list[str]:
    """What these figures do not show, in words."""
    found = []
    before = marks.before
    if not any(before.out):
        found.append("no attack got it out of the model that knew it either: that none does now shows nothing")
    if not before.states:
        found.append("hidden states: no relation of it has facts enough in the catalogue to learn a probe on")
    elif combined_p(before.states) > NOTHING_READ:
        found.append("the probe did not read it in the model that knew it either: that it does not now shows nothing")
    if marks.later is None:
        found.append("no later edit was tried")
    found.append("other attacks, other languages, other probes, and fine-tuning to bring it back were not tried")
    found.append("questions about one fact are not independent: the p-values are guides")
    return found


def _by_kind(exam: Exam, out: Sequence[bool]) -> Mapping[str, str]:
    """How many attacks of each kind got it out."""
    kinds = dict.fromkeys(one.kind for one in exam.attacks)
    return {
        kind: _share([got for got, one in zip(out, exam.attacks, strict=True) if one.kind == kind]) for kind in kinds
    }


def _share(right: Sequence[bool]) -> str:
    """So many of so many."""
    return f"{sum(right)} of {len(right)}"


def _perplexity(marks: Marks) -> float:
    """Perplexity of the texts."""
    from math import exp

    total, count = marks.nats
    return exp(total / max(1, count))
