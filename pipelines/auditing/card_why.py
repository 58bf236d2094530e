"""Why a name of the card has no figure, in words that say what would give it one."""

from collections.abc import Mapping
from typing import Any

from pipelines.auditing.card_figures import OF_WEIGHTS
from pipelines.auditing.card_parts import Recorded

NO_MODEL = "the model of the release was not loaded; `dmmgov audit run` rebuilds it"
TRAINING = "it needs a training run of its own, with planted text and twins: benchmarks/leakage.py"
READ = ("edit success", "conflict consistency")
"""What an audit reads of the weights itself."""
PILES = "the reader is given one fact alone, so that none stands in the middle of others; benchmarks/freshness.py piles"


def reasons(found: Recorded) -> dict[str, str]:
    """A reason for every name that this release may leave unmeasured."""
    number, asked = found.release.number, found.asked
    sample = asked.problem or "no question could be drawn about what this release knows"
    said = found.verdict("verbatim_extraction")
    undated = "no row of a feed whose columns are known says when its fact began"
    cost = f"what published release {number} recorded none; a release of an update does"
    return {
        "exact match of changed facts": _unchanged(found),
        "chat form": _of_weights(found, "the chat form"),
        **dict.fromkeys(("citation coverage", "unsupported claim rate"), asked.problem or "no question was answered"),
        **dict.fromkeys(("recall of known facts", "nDCG@10", "FreshHit", "out of date"), sample),
        **dict.fromkeys(("Brier", "ACE", "AURC", "correct refusal"), sample),
        "mid-position drop": PILES,
        "length slope": asked.problem or "no two passages of the sample differ in length",
        **{name: _of_weights(found, name) for name in ("edit success", "neighbourhood", "drawdown")},
        "rollback": "no rollback was made in this home",
        "verbatim extraction": said.explanation if said is not None else "the leakage audit was not made",
        **dict.fromkeys(("canary exposure", "MIA AUC"), TRAINING),
        **dict.fromkeys(("seconds per run", "peak memory"), cost),
        "tokens per turn": sample if asked.problem else NO_MODEL,
        **dict.fromkeys(("event F1", "anchoring error"), undated),
        "order of dated facts": f"{undated}, or no two of one relation began on different days",
        "replay coverage": "the log holds no fact of this release",
        "replay-supported fraction": "this release knows no fact",
        "step order": "no run in the log has two steps",
        "conflict consistency": _of_weights(found, "conflict consistency"),
        **_horizon(found),
    }


def _unchanged(found: Recorded) -> str:
    """Why no changed fact was asked about."""
    with_changes = [one.number for one in found.lineage if (one.summary.get("freshness_after") or {}).get("n")]
    if with_changes:
        return f"this release brought no changed fact; release {with_changes[0]} did last, and its card has the figure"
    return "nothing that was known has changed: a first release has nothing before it"


def _of_weights(found: Recorded, name: str) -> str:
    """Why a figure of the weights is not there."""
    release = found.release
    if not release.deltas:
        return f"no fact of release {release.number} lives in its weights: there is no edit to ask about"
    if name in READ and not found.asked.recalled:
        return found.asked.problem or NO_MODEL
    last = next((one for one in found.lineage if any(gate["guard"] in OF_WEIGHTS for gate in one.gates)), None)
    if last is None:
        return f"no release of its lineage asked {name} of edited weights"
    if last.weights_digest == release.weights_digest:
        return f"the gates of release {last.number}, whose weights these are, did not ask it"
    return f"its own gates did not ask it, and those of release {last.number} asked other weights than these"


def _horizon(found: Recorded) -> dict[str, str]:
    """Why P4 lacks what it lacks."""
    panel: Mapping[str, Any] = (found.freshness.get("long_memory") or {}).get("p4") or {}
    weights = _batches(found, "weights")
    index = _batches(found, "index")
    if found.asked.problem:
        return dict.fromkeys(("slope per 100 edits", "half-life in edits", "long-term retention"), found.asked.problem)
    words = panel.get("half_life") or ""
    half = f"in the weights: {words}" if words.startswith("not reached") and "within 0 " not in words else weights
    return {
        "slope per 100 edits": f"a slope needs two batches; {weights}; {index}",
        "half-life in edits": half,
        "long-term retention": f"it needs facts that were written before others; {weights}; {index}",
    }


def _batches(found: Recorded, memory: str) -> str:
    """How many batches of facts a memory holds, in words."""
    numbers = list(found.asked.batches.get(memory, {}))
    if not numbers:
        return f"no fact lives in the {memory}"
    if len(numbers) == 1:
        return f"one batch only is in the {memory} (release {numbers[0]})"
    if memory == "weights" and not found.asked.recalled:
        return f"{len(numbers)} batches are in the weights, but {NO_MODEL}"
    return f"{len(numbers)} batches are in the {memory}"
