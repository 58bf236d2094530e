"""Compose the evaluation card of a release from what its home holds: the ledger, its gates, and the two audits.

Nothing is measured here and nothing is made up: what no part recorded stands under `not_measured`, with the reason. A
claim of updating is made only where it has its control (the same questions in the state before) and the paired test of
both, and where the leakage audit finds that it rests on facts that the base model cannot have read.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guards.base import Verdict
from guards.card import FAMILIES, MRD_VERSION, PANELS, Figure, checked, section
from guards.retention import Check, retention
from pipelines.auditing.asked import Asked
from pipelines.auditing.asked import ask as ask_by_code
from pipelines.auditing.card_asked import asked_figures, checks_now, stated, without
from pipelines.auditing.card_figures import (
    cost_figures,
    gates_of,
    grounded_figures,
    memory_figures,
    setting_figures,
    spoken,
)
from pipelines.auditing.card_parts import Recorded, audited, family, governance, judged, limits, regimes, resources
from pipelines.auditing.card_why import reasons
from pipelines.auditing.freshness import checks_of, horizon
from pipelines.auditing.staleness import CHECKED
from pipelines.settings import Settings
from registry.home import Home
from registry.ledger import Ledger
from registry.records import Release

if TYPE_CHECKING:
    from editors.load import LoadedModel

ASKED_OF_THE_MODEL = "delta_reveals"
CITED = "answers online; the cited fact has the object"


def card_of(found: Recorded) -> Mapping[str, Any]:
    """The card, in the form of the schema.

    Raises:
        InputError: what the home holds does not make a valid card.
    """
    figures, why = _figures(found), reasons(found)
    claims = list(_claims(found))
    release = found.release
    return checked(
        {
            "mrd_version": MRD_VERSION,
            "study_id": f"r{release.number}-{release.facts_snapshot[:12]}",
            "claim_type": "updating" if claims else "none",
            "release": release.number,
            "made_at": found.made_at,
            "temporal_governance": governance(found),
            "leakage_overlap_auditing": audited(found),
            "implementation_resources": resources(found),
            "memory_settings": {
                "replay_budget": "no session is kept: every question stands alone",
                "refusal_threshold": found.settings.policy.answer.certainty,
            },
            "regimes": regimes(found),
            "metric_families": {name: section(names, figures.get(name, ()), why) for name, names in FAMILIES.items()},
            "e_mars": {name: section(names, figures.get(name, ()), why) for name, names in PANELS.items()},
            "claims": claims,
            "family": family(found),
            "gates": [judged(gate) for gate in release.gates],
            "limitations_and_robustness": list(limits(found, bool(claims))),
        }
    )


def _figures(found: Recorded) -> dict[str, list[Figure]]:
    """Every figure, by family and panel; what the release's run or the three settings measured goes before the rest."""
    release, timed = found.release, found.freshness.get("timeliness") or {}
    gates, memory = gates_of(found), memory_figures(found.freshness)
    settled = frozenset(one.number for one in (release, *found.lineage) if _all_right(one))
    code = asked_figures(found.asked, settled)
    settings = setting_figures(timed, "online", "online")
    sure = stated(timed.get("calibration") or {})
    grounds = grounded_figures((timed.get("grounded") or {}).get("online") or {}, CITED)
    equal, refused = found.moves
    back = [Figure("rollback", equal / (equal + refused), n=equal + refused, census=True)] if equal + refused else []
    costs = cost_figures(release.summary)
    own = {
        "accuracy": [*_changed(release), *spoken(found)],
        "groundedness": grounds,
        "retrieval": [one for one in gates if one.name == "recall of known facts"],
        "timeliness_and_selective": settings,
        "maintainability": [one for one in gates if one.name not in ("recall of known facts", "conflict consistency")]
        + back,
        "privacy": _leaks(found)[:1],
        "efficiency": costs,
        **{name: memory.get(name, []) for name in ("P1", "P2", "P4")},
        "P3": [one for one in gates if one.name == "conflict consistency"] + settings,
        "P5": costs,
    }
    figures = {name: [*own.get(name, ()), *without(code.get(name, ()), own.get(name, ()))] for name in {**own, **code}}
    figures["timeliness_and_selective"] += sure
    figures["P3"] += [one for one in sure if one.name == "AURC"]
    return figures


def _all_right(release: Release) -> bool:
    """Whether all that a release changed was asked about when it was published, and answered rightly."""
    after = release.summary.get("freshness_after") or {}
    return bool(after.get("n")) and after["right"] == after["n"]


def _changed(release: Release) -> list[Figure]:
    """What the release's run changed, as it was answered."""
    after = release.summary.get("freshness_after") or {}
    about = "each from its memory"
    name = "exact match of changed facts"
    return [Figure(name, after["share"], n=after["n"], census=True, about=about)] if after.get("n") else []


def _leaks(found: Recorded) -> list[Figure]:
    """What of protected text the model says."""
    said = found.verdict("verbatim_extraction")
    return [
        Figure("verbatim extraction", one.value, one.low, one.high, one.n, about=one.name)
        for one in (said.scores if said is not None else ())
        if one.n > 0
    ]


def _claims(found: Recorded) -> Iterator[dict[str, Any]]:
    """Updating: what changed is answered now and was not before; none where the leakage audit does not let it count."""
    summary = found.release.summary
    before, after = summary.get("freshness_before") or {}, summary.get("freshness_after") or {}
    paired, cutoff = after.get("paired"), found.verdict("cutoff")
    if not paired or cutoff is None or cutoff.decision != "pass" or before.get("n") != after.get("n"):
        return
    which = "every fact that the release's feed changed"
    name = "exact match of changed facts"
    yield {
        "statement": "What changed is answered as it is now, each fact from the memory in which it lives.",
        "slice": which,
        "regime": "Online",
        "figure": Figure(name, after["share"], after["low"], after["high"], after["n"]).to_dict(),
        "control": {
            "what": "the same questions in the state before the release, from its frozen index and weights",
            "slice": which,
            "regime": "Offline",
            "figure": Figure(name, before["share"], before["low"], before["high"], before["n"]).to_dict(),
        },
        "test": {"name": "exact McNemar, two-sided", **paired},
    }


def recorded(
    home: Home,
    ledger: Ledger,
    release: Release,
    made_at: datetime,
    leaks: Sequence[Verdict],
    fresh: Mapping[str, Any],
    loaded: "LoadedModel | None" = None,
) -> Recorded:
    """Read what a home holds about a release, beside what its two audits found, and ask it by code.

    Args:
        home: where it lies.
        ledger: its open ledger.
        release: which release.
        made_at: when (UTC).
        leaks: the verdicts of the leakage audit.
        fresh: the freshness audit as plain values.
        loaded: the model of the release; without one its weights are not read.
    """
    from pipelines.judging.declare import DECLARED
    from pipelines.releasing.recovery import published_entry
    from registry.facts import FactStore, view
    from registry.releases import ReleaseStore

    store = ReleaseStore(ledger)
    numbers = store.lineage(release.number)
    events = FactStore(ledger).events(numbers)
    facts = [item.fact for item in view(events)]
    days = sorted(fact.valid_from for fact in facts if fact.valid_from is not None)
    digest, published = release.summary.get("family"), published_entry(ledger, release.number).seq
    declared = [
        entry for entry in ledger.entries(DECLARED) if entry.payload["digest"] == digest and entry.seq < published
    ]
    settings = Settings.load()
    asked = ask_by_code(home, release, made_at.date(), count=settings.policy.system.sample, loaded=loaded)
    return Recorded(
        release,
        settings,
        declared[-1] if declared else None,
        (len(ledger.entries("rolled_back")), len(ledger.entries("move_refused"))),
        tuple(sorted({fact.source for fact in facts if fact.source})),
        f"facts that began {days[0].isoformat()} to {days[-1].isoformat()}" if days else "no fact says when it began",
        _kept_now(fresh, checks_of(events, ledger.entries(CHECKED)), asked),
        tuple(leaks),
        made_at.isoformat(),
        asked,
        tuple(one for one in reversed(store.all()) if one.number in numbers and one.number != release.number),
    )


def _kept_now(fresh: Mapping[str, Any], recorded_checks: Sequence[Check], asked: Asked) -> Mapping[str, Any]:
    """The freshness audit with P4 of what the weights say now, beside the checks that are recorded."""
    checks = checks_now(recorded_checks, asked)
    kept = retention("recall", checks) if checks else None
    return {**fresh, "long_memory": {**fresh.get("long_memory", {}), "p4": asdict(horizon(kept))}}


def write_card(home: Home, release: str | int | None, out: Path | None, *, questions: int = 0) -> tuple[Path, Path]:
    """Write the card of a release as YAML and as a page.

    Args:
        home: which home.
        release: number or alias; None is the champion.
        out: the folder; None takes the home's reports.
        questions: how many questions are asked in each of the three settings; none by default.

    Returns:
        The YAML file and the HTML file.

    Raises:
        InputError: there is no such release, or the card is not valid.
    """
    from pipelines.auditing.freshness import freshness_audit
    from pipelines.auditing.leakage import leakage
    from registry.releases import ReleaseStore

    with Ledger.open(home) as ledger:
        chosen, at = ReleaseStore(ledger).get("champion" if release is None else release), datetime.now(UTC)
        # What the deltas reveal is asked of the model, which `audit run` rebuilds.
        told = [one for one in leakage(home, ledger, chosen, None) if one.guard != ASKED_OF_THE_MODEL]
        fresh = freshness_audit(home, ledger, chosen, at.date(), questions=questions).to_dict()
        card = card_of(recorded(home, ledger, chosen, at, told, fresh))
    return keep_card(card, home.reports if out is None else out)


def keep_card(card: Mapping[str, Any], folder: Path) -> tuple[Path, Path]:
    """Write a card as YAML and as a page into a folder, each in one step; gives both files."""
    from importlib import import_module

    import yaml

    from registry.artifacts import write_whole

    page: Any = import_module("dashboards.card")
    folder.mkdir(parents=True, exist_ok=True)
    plain, shown = folder / f"r{card['release']}.card.yaml", folder / f"r{card['release']}.card.html"
    write_whole(plain, yaml.safe_dump(card, sort_keys=False, allow_unicode=True, width=100).encode())
    write_whole(shown, page.render(card).encode())
    return plain, shown
