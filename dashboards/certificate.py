"""The change-audit certificate of a release as one page: F1 to F7 as signed, with the facts in words."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dashboards.charts import Interval, number, strip

PAGES = Path(__file__).parent / "pages"
TONES = {"pass": "good", "block": "bad", "escalate": "wait"}
TITLES = {
    "F1": "Target",
    "F2": "Time",
    "F3": "Method path and constraints",
    "F4": "Verification",
    "F5": "Regression",
    "F6": "Rollback and fallback",
    "F7": "Audit trail",
}


def render(certificate: Mapping[str, Any], words: Mapping[str, str]) -> str:
    """The page.

    Args:
        certificate: `body`, `public` and `signature`, as plain values.
        words: each fact in words, by id; what is not there any more is left out.

    Returns:
        HTML with its style and plots in it, without scripts and without outside requests.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    engine = Environment(
        loader=FileSystemLoader(PAGES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    body = certificate["body"]
    return engine.get_template("certificate.html.j2").render(
        body=body,
        signed=certificate,
        titles=TITLES,
        tones=TONES,
        facts=[
            {
                **one,
                "words": words.get(one["fact"], "not kept any more"),
                "holds": body["F2"]["holds"].get(one["fact"], [None, None]),
                "memory": body["F3"]["paths"].get(one["fact"], "rag"),
            }
            for one in body["F1"]["brought"]
        ],
        ended=[{**one, "words": words.get(one["fact"], "not kept any more")} for one in body["F1"]["ended"]],
        gates={name: [_gate(gate) for gate in body[name]["gates"]] for name in ("F4", "F5")},
    )


def _gate(gate: Mapping[str, Any]) -> dict[str, Any]:
    """A gate with its first score drawn where it has bounds."""
    score = next((one for one in gate["scores"] if one.get("low") is not None and one.get("high") is not None), None)
    if score is None:
        return {**gate, "bounds": "", "plot": ""}
    bounds = f"{number(score['low'])} to {number(score['high'])}"
    plot = strip(Interval(score["value"], score["low"], score["high"]), f"{gate['gate']}: {bounds}")
    return {**gate, "bounds": bounds, "plot": plot}
