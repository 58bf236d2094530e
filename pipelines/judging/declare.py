"""Declare: the family of gates goes into the ledger before anything is asked of the final model.

A policy whose gates differ from those that the last run declared is an event of its own, with the keys that changed; so
is a change of any other threshold that judges (`pipelines.judging.rules`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from guards.declaration import Declaration, declare, problems
from guards.efficacy import GatePolicy
from pipelines.judging.rules import RULES_CHANGED, differences, record_judging
from pipelines.workplace import Workplace
from registry.digests import digest_json
from registry.ledger import Event, Ledger
from registry.releases import ReleaseStore

DECLARED, CHANGED = "declared", RULES_CHANGED
ASKED_OF_FEW = "capability"
"""The gate for which a quick run asks too little; there it informs."""


def run_policy(policy: GatePolicy, quick: bool) -> GatePolicy:
    """The gates of a run; in a quick one, which writes no long texts either, the general questions only inform."""
    if not quick or ASKED_OF_FEW not in policy.gates:
        return policy
    gates = tuple(kind for kind in policy.gates if kind != ASKED_OF_FEW)
    return replace(policy, gates=gates, informs=(*policy.informs, "capability"))


def record_family(place: Workplace, quick: bool) -> str:
    """Declare the family of this run in the ledger; before it, every change of what judges, if there is one.

    Returns:
        The digest of the declaration, which the release names.
    """
    record_judging(place)
    policy = place.settings.policy
    family = declared_by(place, quick)
    rules = {**asdict(policy.gates), "system": asdict(policy.system)}
    digest = digest_json(rules)
    events = []
    last = _last(place.ledger)
    if last is not None and last["policy"] != digest:
        changed = dict(differences(last["rules"], rules))
        events.append(Event(CHANGED, {"section": "gates", "before": last["policy"], "after": digest, "keys": changed}))
    questions = digest_json([[item.prompt, list(item.answers)] for item in place.settings.general])
    payload = {
        "digest": family.digest,
        "family": family.to_dict(),
        "policy": digest,
        "rules": rules,
        "general_questions": questions,
        "quick": quick,
    }
    with place.ledger.transaction() as txn:
        place.ledger.append_many(txn, [*events, Event(DECLARED, payload)], place.actor, place.at)
    return family.digest


def declared_by(place: Workplace, quick: bool) -> Declaration:
    """The family of a run under the policy of its workplace."""
    policy = place.settings.policy
    system = {"freshness": policy.system.changed, "retrieval": policy.system.retrieval}
    return declare(run_policy(policy.gates, quick), system, entropy=not quick)


def undeclared(ledger: Ledger) -> Iterator[str]:
    """Releases whose gates are not those that were declared before them, or that were declared after the fact."""
    declared = {entry.payload["digest"]: entry for entry in reversed(ledger.entries(DECLARED))}
    for digest, entry in declared.items():
        found = digest_json(entry.payload["family"])
        if found != digest:
            yield f"entry {entry.seq} (declared): its family has the digest {found}, recorded is {digest}"
    published = {entry.payload["release"]: entry.seq for entry in ledger.entries("published")}
    for release in ReleaseStore(ledger).all():
        digest = release.summary.get("family")
        if not digest:
            continue
        before = declared.get(digest)
        if before is None or before.seq > published.get(release.number, before.seq):
            yield f"release {release.number}: the family {digest} of its gates was not declared before it"
            continue
        for problem in problems(before.payload["family"], release.gates):
            yield f"release {release.number}: {problem}"


def _last(ledger: Ledger) -> Mapping[str, Any] | None:
    """The payload of the last declaration, None before the first."""
    entries = ledger.entries(DECLARED)
    return entries[-1].payload if entries else None
