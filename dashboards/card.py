"""The evaluation card of a release as one page: the same values as its YAML, drawn, for the screen and for paper."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dashboards.charts import Interval, number, strip
from dashboards.gates import TONES

PAGES = Path(__file__).parent / "pages"
TITLES = {
    "accuracy": "Accuracy",
    "groundedness": "Groundedness",
    "retrieval": "Retrieval",
    "sensitivity": "Sensitivity",
    "timeliness_and_selective": "Timeliness and selective answering",
    "maintainability": "Maintainability",
    "privacy": "Privacy",
    "efficiency": "Efficiency",
    "P1": "P1 · write and temporal anchoring",
    "P2": "P2 · replay and attribution",
    "P3": "P3 · inhibition, freshness, conflict",
    "P4": "P4 · long horizon",
    "P5": "P5 · cost",
}


def render(card: Mapping[str, Any]) -> str:
    """The page.

    Args:
        card: a valid card as plain values.

    Returns:
        HTML with its style and plots in it, without scripts and without outside requests.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    engine = Environment(
        loader=FileSystemLoader(PAGES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    engine.filters["number"] = number
    return engine.get_template("card.html.j2").render(
        card=card,
        **sections(card),
        claims=[
            {**one, "shown": figure(one["figure"]), "against": figure(one["control"]["figure"])}
            for one in card["claims"]
        ],
        impact={name: one.get("not_measured") or figure(one) for name, one in _impact(card).items()},
        tones=TONES,
        disclosed=_disclosed(card),
    )


def sections(card: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The metric families and the panels of a card, each with its figures drawn and what nobody measured."""
    places = {"families": "metric_families", "panels": "e_mars"}
    return {name: [_section(*one) for one in card[place].items()] for name, place in places.items()}


def figure(values: Mapping[str, Any]) -> dict[str, Any]:
    """A figure with its bounds in words and its plot."""
    bounds = values.get("interval")
    words = "all cases" if values.get("census") else "a cost"
    plot: Any = ""
    if bounds:
        words = f"{number(bounds['low'])} to {number(bounds['high'])}"
        plot = strip(Interval(values["value"], bounds["low"], bounds["high"]), f"{values['name']}: {words}")
    return {"n": "", "about": "", **values, "bounds": words, "plot": plot}


def _section(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """One family or panel."""
    return {
        "title": TITLES.get(name, name),
        "figures": [figure(one) for one in values["figures"]],
        "not_measured": values["not_measured"],
    }


def _impact(card: Mapping[str, Any]) -> Mapping[str, Any]:
    """Shares that overlap, by pair."""
    found: Mapping[str, Any] = card["leakage_overlap_auditing"]["impact_fraction"]
    return found


def _disclosed(card: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The plain parts of the disclosure, as pairs of a name and a value."""
    parts = {
        "temporal governance": card["temporal_governance"],
        "implementation": card["implementation_resources"],
        "memory": card["memory_settings"],
        "leakage audit": {**card["leakage_overlap_auditing"], "impact_fraction": "below"},
    }
    return [(name, value) for part, values in parts.items() for name, value in _flat(part, values)]


def _flat(place: str, value: Any) -> list[tuple[str, str]]:
    """Every leaf with its place."""
    if isinstance(value, Mapping):
        return [pair for key, one in value.items() for pair in _flat(f"{place} · {str(key).replace('_', ' ')}", one)]
    if isinstance(value, list):
        return [(place, "; ".join(map(str, value)) or "none")]
    return [(place, "not recorded" if value is None else number(value) if isinstance(value, float) else str(value))]
