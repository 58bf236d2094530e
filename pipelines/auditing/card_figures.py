"""The figures of a card, each from the part that measured it: gates, freshness audit, the run itself."""

from collections.abc import Mapping, Sequence
from typing import Any

from guards.card import Figure
from guards.stats import Interval
from pipelines.auditing.card_parts import Recorded
from registry.records import Release

GATES = {
    "efficacy": "edit success",
    "retrieval": "recall of known facts",
    "consistency": "conflict consistency",
    "same_subject": "same subject",
    "two_hop": "two hops",
}
"""Names of the card for those gates that bear another one there; `freshness` is told with the run's own figures."""
OF_WEIGHTS = (
    "efficacy",
    "generalisation",
    "neighbourhood",
    "drawdown",
    "capability",
    "fluency",
    "entropy",
    "same_subject",
    "alias",
    "reversal",
    "two_hop",
    "negation",
)
"""Gates that ask the weights alone, whatever the index holds."""
ALIKE = "all cases are alike, so that resamples have no spread"
"""Of an interval without width."""
UNITS = {"perplexity_ratio": "ratio", "entropy_loss": "bits"}
CENSUS = ("consistency",)
SLICES = {"answerable": "FreshHit", "unanswerable": "correct refusal"}


def gate_figures(gates: Sequence[Mapping[str, Any]], where: str = "") -> list[Figure]:
    """One figure per score of a gate, with its threshold in words; `where` says which release asked, if another one."""
    found = []
    for gate in gates:
        for score in gate.get("scores") or () if gate["guard"] != "freshness" else ():
            limit = score.get("threshold")
            held = "informs only" if limit is None else f"{gate['decision']} against {limit:g}"
            held += f"; {where}" if where else ""
            name = score["name"] if score["name"] in UNITS else GATES.get(gate["guard"], gate["guard"])
            found.append(
                Figure(
                    name.replace("_", " "),
                    score["value"],
                    score["low"],
                    score["high"],
                    score["n"],
                    UNITS.get(score["name"], "share"),
                    gate["guard"] in CENSUS,
                    held,
                )
            )
    return found


def gates_of(found: Recorded) -> list[Figure]:
    """The release's own gates; of those on weights that it did not ask, those of an older release of its weights."""
    figures = gate_figures(found.release.gates)
    asked = {gate["guard"] for gate in found.release.gates}
    for older in found.kin:
        gates = [one for one in older.gates if one["guard"] in OF_WEIGHTS and one["guard"] not in asked]
        asked |= {gate["guard"] for gate in gates}
        figures += gate_figures(gates, same_weights(older))
    return figures


def same_weights(older: Release) -> str:
    """Who measured a figure that is carried over."""
    return f"measured of release {older.number}, whose weights these are"


def spoken(found: Recorded) -> list[Figure]:
    """Facts in the weights as the run that wrote them asked for them in the chat form."""
    for one in (found.release, *found.kin):
        chat = one.summary.get("chat") or {}
        if chat.get("n"):
            about = "" if one is found.release else same_weights(one)
            return [Figure("chat form", chat["share"], chat["low"], chat["high"], chat["n"], about=about)]
    return []


def setting_figures(timed: Mapping[str, Any], setting: str, about: str) -> list[Figure]:
    """What the release answers in a setting, per slice; nothing where it was not asked.

    Args:
        timed: a measurement of timeliness as plain values.
        setting: which one.
        about: what the figures say of themselves.
    """
    found = []
    for one in timed.get("scores") or ():
        if one["setting"] != setting or not one["n"]:
            continue
        found.append(_shared(SLICES[one["slice"]], one["right"], one["n"], about))
        stale = one["outcomes"].get("out_of_date")
        if one["slice"] == "answerable" and stale:
            found.append(_shared("out of date", stale, one["n"], about))
    return found


def grounded_figures(rests: Mapping[str, Any], about: str) -> list[Figure]:
    """What answers rest on, from `guards.timeliness.grounded` as plain values."""
    names = {"cited": "citation coverage", "unsupported": "unsupported claim rate"}
    return [_figure(words, one, about) for key, words in names.items() for one in [rests.get(key)] if one]


def _shared(name: str, share: Mapping[str, Any], n: int, about: str) -> Figure:
    """A share with its interval, as the timeliness report has it."""
    bounds = share["interval"]
    return Figure(name, bounds["value"], bounds["low"], bounds["high"], n, about=about)


def memory_figures(freshness: Mapping[str, Any]) -> dict[str, list[Figure]]:
    """Panels P1, P2 and P4 from the record, those figures that have an interval or count every case."""
    panels = freshness.get("long_memory") or {}
    time = panels.get("p1") or {}
    names = {
        "P1": {"order": "order of dated facts"},
        "P2": {"coverage": "replay coverage", "supported": "replay-supported fraction", "step_order": "step order"},
        "P4": {"slope": "slope per 100 edits", "long_term": "long-term retention"},
    }
    abouts = {
        "order of dated facts": "facts of one relation that began one after the other, by the record's days",
        "slope per 100 edits": "facts in the weights, by the recorded checks",
        "long-term retention": "facts in the weights, by the recorded checks",
    }
    found = {
        panel: [_figure(words, values[key], abouts.get(words, "")) for key, words in keys.items() if values.get(key)]
        for panel, keys in names.items()
        for values in [panels.get(panel.lower()) or {}]
    }
    if time.get("anchoring_error"):
        about = "what the rows of the feeds say began on a day, against what the snapshot says"
        off, n = time["anchoring_error"]["value"], time["anchoring_error"]["n"]
        apart = f"days between a row's day and the record's, over {time['window_days']}, 1 at most"
        found["P1"] = [
            Figure("event F1", time["event_f1"], n=n, census=True, about=about),
            Figure("anchoring error", off, n=n, census=True, about=apart),
            *found["P1"],
        ]
    half = (panels.get("p4") or {}).get("half_life_edits")
    if half is not None:
        found["P4"].append(Figure("half-life in edits", float(half), unit="edits", about=panels["p4"]["half_life"]))
    return found


def _figure(name: str, values: Mapping[str, Any], about: str = "") -> Figure:
    """A figure from an interval as plain values."""
    return figure(name, Interval(values["value"], values["low"], values["high"], values["n"]), about)


def figure(name: str, found: Interval, about: str, unit: str = "share") -> Figure:
    """A figure from its interval; one without any width says that this is no certainty."""
    flat = found.low == found.high
    told = "; ".join(part for part in (about, ALIKE if flat else "") if part)
    return Figure(name, found.value, found.low, found.high, found.n, unit, about=told)


def cost_figures(summary: Mapping[str, Any]) -> list[Figure]:
    """What the run that made the release took."""
    seconds = [float(value) for value in (summary.get("seconds") or {}).values()]
    peak = summary.get("peak_rss_mb")
    return [
        *([Figure("seconds per run", sum(seconds), unit="s", about="wall time of the update")] if seconds else []),
        *([Figure("peak memory", float(peak), unit="MB")] if peak else []),
    ]
