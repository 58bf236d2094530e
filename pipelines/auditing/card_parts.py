"""The parts of an evaluation card that disclose: time, leakage audit, implementation, settings, family, limits."""

import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from guards.base import Verdict
from guards.card import Figure
from pipelines.auditing.asked import Asked
from pipelines.settings import Settings
from registry.records import LedgerEntry, Release

PACKAGES = ("dmm-gov", "numpy", "scipy", "statsmodels", "torch", "transformers")
BY_CODE = {
    "measured": True,
    "shared_slice_with": [],
    "about": "answered by code from the frozen index, no model asked; --ask asks it, in all three settings",
}
"""The setting that is measured where nobody asked for the three."""
PAIRS = ("train_test", "train_index", "index_test")
"""Pairs of sets whose overlap a card states."""


@dataclass(frozen=True)
class Recorded:
    """What a home holds about one release.

    Attributes:
        release: the release.
        settings: the rules, as they are now.
        declared: the ledger entry that declared the family of its gates; None where none did.
        moves: how many rollbacks compared equal, and how many were refused.
        sources: the sources behind its facts.
        first: first and last day on which its facts begin, in words.
        freshness: the freshness audit as plain values.
        leakage: the verdicts of the leakage audit.
        made_at: when the card is made, ISO 8601.
        asked: what the audit asked by code and read of the weights.
        lineage: the releases that it was built on, the newest first.
    """

    release: Release
    settings: Settings
    declared: LedgerEntry | None
    moves: tuple[int, int]
    sources: tuple[str, ...]
    first: str
    freshness: Mapping[str, Any]
    leakage: Sequence[Verdict]
    made_at: str
    asked: Asked = field(default_factory=Asked)
    lineage: Sequence[Release] = ()

    @property
    def kin(self) -> list[Release]:
        """The releases that it was built on and whose weights are its own, edited ones; the newest first."""
        own = self.release
        return [one for one in self.lineage if own.deltas and one.weights_digest == own.weights_digest]

    def verdict(self, name: str) -> Verdict | None:
        """The verdict of the leakage audit of this name."""
        return next((one for one in self.leakage if one.guard == name), None)


def governance(found: Recorded) -> dict[str, Any]:
    """Windows and snapshots of what was trained on, indexed and tested."""
    cutoff, release = found.settings.policy.leakage.cutoff, found.release
    noted = found.verdict("cutoff")
    return {
        "train": {
            "window": f"the base model can have read nothing after {cutoff}" if cutoff else "not known",
            "snapshot": release.base_digest,
            "sources": [release.model],
        },
        "index_or_session_store": {
            "snapshot": release.index_snapshot,
            "dedup_strategy": "facts by the digest of their content; sources that copy each other count once",
            "update": {"last_time": release.created_at.isoformat(), "frequency": "with every release"},
        },
        "test": {
            "window": found.first,
            "snapshot": release.facts_snapshot,
            "contamination_notes": noted.explanation if noted is not None else "the leakage audit was not made",
        },
    }


def audited(found: Recorded) -> dict[str, Any]:
    """How overlap was looked for, and what share it touches."""
    policy = found.settings.policy.leakage.overlap
    impact = {name: _impact(found.verdict(f"overlap_{name.replace('_', '-')}"), name) for name in PAIRS}
    return {
        "methods": ["MinHash with Jaccard of word shingles", "shared runs of words", *_names(found.leakage)],
        "thresholds": {"near_dup_jaccard": policy.jaccard, "shared_run_words": policy.ngram},
        "exclusion_criteria": "what is fed or edited must not overlap with the tests; the index holds the answers",
        "impact_fraction": impact,
    }


def _impact(verdict: Verdict | None, pair: str) -> dict[str, Any]:
    """The share of the second set that overlaps with the first; "train" is what was fed, not the base's own text."""
    scores = [one for one in (verdict.scores if verdict is not None else ()) if one.n > 0]
    if not scores:
        return {"not_measured": f"the audit did not compare {pair.replace('_', ' and ')}"}
    (one, *_) = scores
    about = "what was fed here; the base model's own training text is not at hand" if "train" in pair else ""
    return Figure("impact fraction", one.value, one.low, one.high, one.n, about=about).to_dict()


def _names(verdicts: Sequence[Verdict]) -> list[str]:
    """The checks of the leakage audit, in words."""
    return [f"{one.guard.replace('_', ' ')}: {one.decision}" for one in verdicts]


def resources(found: Recorded) -> dict[str, Any]:
    """Model, versions, retrieval, and what the run took."""
    from pipelines.answering.indexing import retrieval_numbers

    summary, policy, retrieval = found.release.summary, found.settings.policy, retrieval_numbers()
    seconds = [float(value) for value in (summary.get("seconds") or {}).values()]
    return {
        "model": {
            "name": found.release.model,
            "checkpoint": found.release.weights_digest,
            "decoding": "greedy, free generation to its natural stop",
            "seeds": [policy.probes.seed, policy.gates.seed],
        },
        "script_versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "retrieval": {
            "type": "hybrid: BM25 and embeddings; code picks the fact by valid and recorded time",
            "k": retrieval.depth,
            "fusion": f"RRF@{retrieval.rrf_k}",
            "reranker": "none",
        },
        "hardware_cost": {
            "hardware": "not recorded with the release",
            "seconds": sum(seconds) if seconds else None,
            "peak_mb": float(summary["peak_rss_mb"]) if summary.get("peak_rss_mb") else None,
        },
    }


def regimes(found: Recorded) -> dict[str, Any]:
    """Which of the three settings were asked, and with whom they share their slice."""
    timed = found.freshness.get("timeliness") or {}
    asked = {one["setting"] for one in timed.get("scores") or ()}
    words = {"PO": "parametric", "Offline": "offline", "Online": "online"}
    return {
        name: {
            "measured": setting in asked,
            "shared_slice_with": [other for other, word in words.items() if other != name and word in asked]
            if setting in asked
            else [],
            "about": f"the setting {setting}, the same questions in all" if setting in asked else "not asked (--ask)",
        }
        for name, setting in words.items()
    } | ({} if asked or not found.asked.turns else {"Offline": BY_CODE})


def family(found: Recorded) -> dict[str, Any]:
    """The declared family of the gates."""
    entry = found.declared
    if entry is None:
        return {
            "digest": "none",
            "declared": "this release names no declared family",
            "correction": "Holm",
            "alpha": 0.05,
        }
    declared = entry.payload["family"]
    return {
        "digest": entry.payload["digest"],
        "declared": f"ledger entry {entry.seq}, {entry.recorded_at.isoformat()}, before anything was judged",
        "correction": declared["correction"],
        "alpha": declared["alpha"],
    }


def judged(gate: Mapping[str, Any]) -> dict[str, Any]:
    """A verdict, with its corrected probability where it has one."""
    evidence = {str(key): value for key, value in gate.get("evidence") or ()}
    plain = {"gate": gate["guard"], "decision": gate["decision"], "explanation": gate["explanation"] or "none given"}
    if "holm_p" in evidence:
        plain["family_p"] = float(evidence["holm_p"])
    return {**plain, "informs": gate["explanation"].startswith("informs only")}


def limits(found: Recorded, claimed: bool) -> Iterator[str]:
    """What the card does not show."""
    cutoff = found.verdict("cutoff")
    if not claimed:
        why = cutoff.explanation if cutoff is not None else "the leakage audit was not made"
        yield f"No claim of updating is made: it needs paired answers and facts that count as evidence ({why})."
    yield "Wilson's bounds of the gates count prompts; phrasings of one fact fall together: the bounds are too narrow."
    if found.release.deltas and found.verdict("delta_reveals") is None:
        yield "What the deltas reveal about their subjects was not asked for this card; dmmgov audit run asks it."
    for gate in found.release.gates:
        seen = dict((str(key), value) for key, value in gate.get("evidence") or ()).get("drop_seen_with_power_.8")
        if seen is not None:
            yield f"In {gate['guard']} a loss of {float(seen):.3f} would be seen with a power of .8, no smaller one."
    for one in found.leakage:
        if one.decision != "pass":
            yield f"{one.guard.replace('_', ' ')} ({one.decision}): {one.explanation}"
