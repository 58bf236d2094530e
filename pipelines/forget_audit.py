"""The audit of a release without what was forgotten, made while its words are still at hand."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pipelines.forget_plan import Plan
from registry.home import Home
from registry.ledger import Ledger
from registry.records import Release
from registry.releases import ReleaseStore


def audited(
    home: Home,
    ledger: Ledger,
    plan: Plan,
    release: Release | None,
    suppression: Mapping[str, Any],
) -> dict[str, Any]:
    """Ask the model of the release what it still gives away; nothing where there is none to ask."""
    from pipelines.forgotten import behaviour
    from pipelines.rebuild import rebuild

    if release is None or "asked" not in suppression:
        return {}
    releases = ReleaseStore(ledger)
    now = releases.get(release.number)
    base = replace(now, deltas=(), weights_digest=now.base_digest)
    before = releases.get(now.parent or now.number)
    exact = now.weights_digest == before.weights_digest and not suppression["suppressed"]
    model, unseen = rebuild(home, now, device="cpu"), rebuild(home, base, device="cpu")
    found = behaviour(plan.catalogue, plan.facts, model, unseen, exact=exact)
    with ledger.transaction() as txn:
        ledger.append(txn, "forgetting_audited", {"facts": list(plan.ids), **found}, "dmmgov", datetime.now(UTC))
    return found
