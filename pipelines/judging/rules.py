"""The thresholds that judge, in the log: what a home goes by, and every change of it, old and new, by dotted name.

A run that judges holds the rules of its day against the last ones that the log has. Rules that are the same add
nothing; others add one entry `policy_changed` with both digests and every key whose value differs; the first run of a
home adds `policy_recorded`. Section "judging" has everything that admits, routes, probes and audits: from
`conf/policy.yaml`, the sources, the catalogue, and what is built in, so that a new version of the software that judges
by other numbers is told as well. Section "gates" goes with the declaration of each run (`pipelines.judging.declare`),
"approval" with the requests.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from registry.digests import canonical_json, digest_json

if TYPE_CHECKING:
    from guards.sources import Sources
    from pipelines.settings import Settings
    from pipelines.workplace import Workplace
    from registry.catalogue import Catalogue
    from registry.ledger import Ledger, Transaction

RULES, RULES_CHANGED = "policy_recorded", "policy_changed"
JUDGING = "judging"
SECTIONS = ("admission", "route", "probes", "leakage", "answer")
"""Sections of the policy whose thresholds judge and have no entry of their own."""


def judging_rules(settings: "Settings") -> dict[str, Any]:
    """Everything that judges, as plain JSON values: section, then key."""
    policy = settings.policy
    rules = {
        **{name: asdict(getattr(policy, name)) for name in SECTIONS},
        "sources": _sources(settings.sources),
        "relations": _relations(settings.catalogue),
        **_built_in(),
    }
    return dict(json.loads(canonical_json(rules)))


def record_judging(place: "Workplace") -> None:
    """Put the rules into the log where they are not the last ones that it holds."""
    rules = judging_rules(place.settings)
    with place.ledger.transaction() as txn:
        record_section(place.ledger, txn, JUDGING, rules, place.actor, place.at)


def record_section(
    ledger: "Ledger", txn: "Transaction", section: str, rules: Mapping[str, Any], actor: str, at: datetime
) -> None:
    """Put the rules of a section into the log where they are not the last ones, with the keys that changed.

    Args:
        ledger: the log.
        txn: the transaction that appends.
        section: what the rules are about.
        rules: every threshold, by name.
        actor: who runs what sees them first.
        at: when.
    """
    digest, last = digest_json(rules), last_rules(ledger, section)
    if last is None:
        ledger.append(txn, RULES, {"section": section, "after": digest, "rules": rules}, actor, at)
    elif last["after"] != digest:
        keys = dict(differences(last["rules"], rules))
        values = {"section": section, "before": last["after"], "after": digest, "keys": keys, "rules": rules}
        ledger.append(txn, RULES_CHANGED, values, actor, at)


def last_rules(ledger: "Ledger", section: str) -> Mapping[str, Any] | None:
    """The payload of the last entry about a section, None where there is none."""
    held = [
        entry
        for kind in (RULES, RULES_CHANGED)
        for entry in ledger.entries(kind)
        if entry.payload.get("section") == section
    ]
    last = max(held, key=lambda entry: entry.seq, default=None)
    return last.payload if last is not None else None


def rule_changes(ledger: "Ledger") -> Iterator[dict[str, Any]]:
    """Every change of thresholds that the log holds, of all sections, in its order, as plain values."""
    for entry in ledger.entries(RULES_CHANGED):
        said = {key: entry.payload[key] for key in ("section", "before", "after", "keys")}
        yield {"entry": entry.seq, "at": entry.recorded_at, "by": entry.actor, **said}


def unrecorded(ledger: "Ledger", settings: "Settings") -> dict[str, list[Any]]:
    """Keys by which something judges now that the log does not know yet, each with both values.

    An audit writes nothing, so it says them; the next run records them. Without recorded rules there are none.
    """
    last = last_rules(ledger, JUDGING)
    return dict(differences(last["rules"], judging_rules(settings))) if last is not None else {}


def differences(before: Any, after: Any, place: str = "") -> Iterator[tuple[str, list[Any]]]:
    """Every key whose value differs, by dotted name, with both values; None stands for a key that is not there."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted({*before, *after}):
            yield from differences(before.get(key), after.get(key), f"{place}.{key}" if place else str(key))
    elif _plain(before) != _plain(after):
        yield place, [_plain(before), _plain(after)]


def _plain(value: Any) -> Any:
    """The value as JSON has it."""
    return list(value) if isinstance(value, tuple) else value


def _sources(sources: "Sources") -> dict[str, Any]:
    """What is listed of every source."""
    listed = {source.name: source for source in (*sources.by_name.values(), *sources.by_domain.values())}
    return {
        name: {"tier": source.tier, "domains": source.domains, "copies": source.copies}
        for name, source in sorted(listed.items())
    }


def _relations(catalogue: "Catalogue") -> dict[str, Any]:
    """What the catalogue says of every relation that decides something: how long it holds, and how it is judged."""
    kept = ("cardinality", "subject_type", "object_type", "lifetime_days", "risk_tier")
    return {name: {key: getattr(one, key) for key in kept} for name, one in sorted(catalogue.relations.items())}


def _built_in() -> dict[str, Any]:
    """Thresholds that no file of the conf folder sets."""
    from guards import copies, divergence, lessons, patterns
    from guards.forgetting import ReviewPolicy
    from guards.instructions import shipped
    from guards.reliability import ReliabilityPolicy

    model = shipped()
    found = {
        kind: digest_json([[one.name, one.regex.pattern, one.regex.flags, one.check] for one in group])
        for kind, group in (
            ("personal", patterns.PERSONAL),
            ("secrets", patterns.SECRETS),
            ("instructions", patterns.INSTRUCTIONS),
            ("code", patterns.CODE),
        )
    }
    weights = digest_json([model.bias, dict(model.weights)])
    return {
        "consensus": {
            "tau": divergence.TAU,
            "weights": dict(divergence.WEIGHTS),
            "weak_at_most": divergence.WEAK_AT_MOST,
            "near_copy": copies.NEAR_COPY,
        },
        "reliability": asdict(ReliabilityPolicy()),
        "lessons": {"alike": lessons.ALIKE, "consulted": lessons.CONSULTED},
        "review": asdict(ReviewPolicy()),
        "sensitivity": {"instruction": model.threshold, "instruction_weights": weights, "patterns": found},
    }
