"""A guard's verdict with its scores drawn."""

from collections.abc import Mapping
from typing import Any

from dashboards.charts import Interval, number, strip

TONES = {"pass": "good", "block": "bad", "escalate": "wait"}


def drawn(gate: Mapping[str, Any]) -> dict[str, Any]:
    """A gate's verdict with its scores drawn."""
    decision = str(gate.get("decision", "not recorded"))
    tone = TONES.get(decision, "quiet")
    scores = []
    for score in gate.get("scores") or ():
        value, low, high = (float(score.get(name, float("nan"))) for name in ("value", "low", "high"))
        threshold = score.get("threshold")
        words = f"{score.get('name')}: {number(value)}, interval {number(low)} to {number(high)}"
        held = f", threshold {number(threshold)}" if threshold is not None else ""
        plot = strip(Interval(value, low, high, threshold, tone), words + held)
        scores.append(
            {
                "name": "score",
                "n": "",
                **score,
                "value": value,
                "low": low,
                "high": high,
                "threshold": threshold,
                "plot": plot,
            }
        )
    return {
        "name": gate.get("guard", "gate"),
        "decision": decision,
        "tone": tone,
        "explanation": gate.get("explanation", ""),
        "scores": scores,
        "evidence": gate.get("evidence") or (),
    }
