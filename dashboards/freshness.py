"""The report's part on freshness: how late, how old, what to ask again, and what the three settings answer."""

from collections.abc import Mapping
from typing import Any

from dashboards.charts import Interval, percent, strip

STAGES = {
    "arrival": "source looked at, to taken in",
    "handling": "taken in, to served",
    "total": "source looked at, to served",
}
SLICE_WORDS = {"answerable": "right answers (FreshHit)", "unanswerable": "right refusals"}
MINUTE, HOUR, DAY = 60, 3_600, 86_400


def freshness_page(audit: Mapping[str, Any]) -> dict[str, Any]:
    """What the template shows of a freshness audit; nothing where none was made."""
    if not audit or "problem" in audit:
        return dict(audit)
    found = audit["staleness"]
    lags = found["lags_s"]
    return {
        "day": audit["day"],
        "facts": found["facts"],
        "overdue_facts": found["overdue_facts"],
        "waiting": found["states"].get("waiting", 0),
        "lags": [_lag(lags[0], stage) for stage in STAGES] if lags else [],
        "observed": lags[0]["observed"] if lags else 0,
        "served": lags[0]["n"] if lags else 0,
        "relations": found["relations"],
        "overdue": found["overdue"],
        "due": audit["due"],
        "replay": _replay(audit["long_memory"]["p2"]),
        "half_life": audit["long_memory"]["p4"]["half_life"],
        "timeliness": _timeliness(audit.get("timeliness")),
        "verdicts": audit.get("verdicts") or [],
    }


def span(seconds: float | None) -> str:
    """A time span for people; a dash where there is none."""
    if seconds is None:
        return "\u2013"
    for size, unit in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if abs(seconds) >= size:
            return f"{seconds / size:.1f}\u202f{unit}"
    return f"{seconds:.0f}\u202fs"


def _lag(lags: Mapping[str, Any], stage: str) -> dict[str, str]:
    """One stage with its quantiles."""
    quantiles = {name: span(lags[f"{stage}_{name}"]) for name in ("median", "q90", "q99", "most")}
    return {"name": STAGES[stage], **quantiles}


def _replay(panel: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The shares of a replay, with their intervals drawn."""
    words = {
        "coverage": "logged fact events that can be replayed",
        "supported": "facts that an accepted row stands behind",
        "step_order": "pairs of steps in the declared order",
    }
    shares = [_share(text, panel[name]) for name, text in words.items() if panel[name] is not None]
    same = "the same state" if panel["same_state"] else "ANOTHER STATE than the one kept"
    return [*shares, {"name": "the replay comes to", "value": same, "bounds": "", "plot": "", "n": ""}]


def _share(name: str, interval: Mapping[str, Any]) -> dict[str, Any]:
    """A share in words and drawn."""
    value, low, high = (float(interval[key]) for key in ("value", "low", "high"))
    bounds = f"{percent(low)} to {percent(high)}"
    plot = strip(Interval(value, low, high), f"{name}: {percent(value)}, interval {bounds}")
    return {"name": name, "value": percent(value), "bounds": bounds, "plot": plot, "n": interval["n"]}


def _timeliness(run: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The three settings, by slice, with the comparisons that stand after Holm's correction."""
    if run is None:
        return None
    scores = []
    for one in run["scores"]:
        shares = [(SLICE_WORDS[one["slice"]], one["right"]), ("out of date", one["outcomes"]["out_of_date"])]
        for words, share in shares:
            if share["interval"] is not None:
                scores.append({"setting": one["setting"], "slice": one["slice"], **_share(words, share["interval"])})
    differ = [one for one in run["comparisons"] if one["differs"]]
    return {"scores": scores, "differ": differ, "frozen": run["frozen"], "release": run["release"], "n": run["n"]}
