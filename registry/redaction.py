"""What of a release is sealed, and what a release is after something in it was forgotten.

The record of a release never changes. A "forgotten" entry names, for each release that held what was forgotten, the
artefacts that took the place of its own:

    {"release": 1, "facts_snapshot": ..., "index_snapshot": ..., "deltas": [...], "weights_digest": ...}
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from registry.records import Release
from registry.shredding import Shredded, new_id, opened, seal_many

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from registry.ledger import Transaction

LISTS = ("samples", "moved", "notes")
"""Of a release's summary: lists whose items speak of facts."""
WORDS = ("explanation", "evidence")
"""Of a gate's verdict: what may name facts."""
GONE = "(forgotten)"


def sealed_release(txn: "Transaction", body: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a release with everything in it sealed that may speak of facts, item by item."""
    summary = {**body["summary"], **_sealed_lists(txn, body["summary"])}
    return {**body, "gates": sealed_gates(txn, body["gates"]), "summary": summary}


def _sealed_lists(txn: "Transaction", summary: Mapping[str, Any]) -> dict[str, list[str]]:
    """The lists of a summary, each item sealed."""
    return {
        name: seal_many(txn, [(new_id(), item) for item in summary[name]])
        for name in LISTS
        if isinstance(summary.get(name), list | tuple)
    }


def sealed_gates(txn: "Transaction", gates: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Verdicts with their words sealed."""
    plain = [dict(gate) for gate in gates]
    places = [(gate, name) for gate in plain for name in WORDS if gate.get(name)]
    texts = seal_many(txn, [(new_id(), gate[name]) for gate, name in places])
    for (gate, name), text in zip(places, texts, strict=True):
        gate[name] = text
    return plain


def opened_releases(connection: "Connection", bodies: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Records of releases as `sealed_release` took them, without what was forgotten."""
    return [_without_gone(one) for one in opened(connection, list(bodies))]


def _without_gone(body: dict[str, Any]) -> dict[str, Any]:
    """A record without the marks of what was forgotten."""
    gone = {"explanation": GONE, "evidence": []}
    gates = [
        {name: gone[name] if isinstance(value, Shredded) else value for name, value in gate.items()}
        for gate in body["gates"]
    ]
    lists = {
        name: [item for item in body["summary"][name] if not isinstance(item, Shredded)]
        for name in LISTS
        if isinstance(body["summary"].get(name), list)
    }
    return {**body, "gates": gates, "summary": {**body["summary"], **lists}}


def redacted(release: Release, entries: Iterable[Mapping[str, Any]]) -> Release:
    """A release with the artefacts that forgetting put in the place of its own.

    Args:
        release: as it was published.
        entries: payloads of the "forgotten" entries, in order.
    """
    for entry in entries:
        for change in entry["releases"]:
            if change["release"] == release.number:
                values = {name: value for name, value in change.items() if name in ARTEFACTS}
                if "deltas" in values:
                    values["deltas"] = tuple(values["deltas"])
                release = replace(release, **values)
    return release


ARTEFACTS = ("facts_snapshot", "index_snapshot", "base_digest", "deltas", "weights_digest")
"""Fields of a release that forgetting may replace."""
