"""What of forgetting can be checked afterwards, without content and by anybody: keys, artefacts, versions and the log.

What the model still gives away is asked by `forget` itself while the words are at hand (`pipelines.forgetting.audit`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.forgetting.result import LIMITS
from pipelines.forgetting.versions import stale_versions
from registry.consistency import table_problems
from registry.errors import UnknownNameError
from registry.facts import FactStore, read_snapshot
from registry.home import Home
from registry.ledger import Ledger
from registry.pruning import PruningStore
from registry.releases import ReleaseStore
from registry.shredding import FORGOTTEN


def check(home: Home, fact_id: str = "all") -> Mapping[str, Any]:
    """Everything about forgotten facts that needs no content.

    Raises:
        UnknownNameError: no such fact was forgotten.
    """
    with Ledger.open(home) as ledger:
        entries = ledger.entries(FORGOTTEN)
        facts = [one for entry in entries for one in entry.payload["facts"]]
        if fact_id != "all" and fact_id not in facts:
            raise UnknownNameError("forgotten fact", fact_id, facts)
        chosen = facts if fact_id == "all" else [fact_id]
        problems = [*ledger.verify(), *(one for one in table_problems(ledger) if one.startswith(("key", "fact event")))]
        there = {event.fact.id for event in FactStore(ledger).events()} & set(chosen)
        problems += [f"fact {one}: its content can be read" for one in sorted(there)]
        pruned = PruningStore(ledger).releases
        for release in (one for one in ReleaseStore(ledger).all() if one.number not in pruned):
            held = {event.fact.id for event in read_snapshot(home.snapshots / release.facts_snapshot)}
            problems += [f"release {release.number}: its snapshot holds {one}" for one in sorted(held & set(chosen))]
            named = [digest for digest in release.deltas if _names(home, digest, chosen)]
            problems += [f"release {release.number}: delta {digest} names a forgotten fact" for digest in named]
        stale = stale_versions(ledger)
        problems += [f"release {number}: its MLflow version holds what was forgotten" for number in stale]
        keys = sum(len(entry.payload["keys"]) for entry in entries)
    return {"facts": chosen, "keys": keys, "problems": problems, "limits": list(LIMITS)}


def _names(home: Home, digest: str, facts: Sequence[str]) -> bool:
    """Whether a delta's record names one of the facts."""
    path = home.deltas / digest / "delta.json"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return any(one in text for one in facts)
