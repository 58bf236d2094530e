"""The evaluation card: DMM-Gov's minimum reproducibility disclosure, the eight metric families, the panels of E-MARS+.

arXiv 2509.18868, tables 4.1 and 4.3 and appendix A. A card holds figures, claims, and what was not measured, by name.
Its form is a JSON schema (`card.schema.json`): a figure states its interval, or that all cases were asked, or that it
is a cost; a claim states besides its control on the same slice and the test of both. What lacks one is refused.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guards.stats import CONFIDENCE
from registry.errors import InputError

SCHEMA = Path(__file__).with_name("card.schema.json")
MRD_VERSION = "1.0"
FAMILIES: Mapping[str, Sequence[str]] = {
    "accuracy": ("exact match of changed facts", "chat form"),
    "groundedness": ("citation coverage", "unsupported claim rate"),
    "retrieval": ("recall of known facts", "nDCG@10"),
    "sensitivity": ("mid-position drop", "length slope"),
    "timeliness_and_selective": ("FreshHit", "out of date", "correct refusal", "Brier", "ACE", "AURC"),
    "maintainability": ("edit success", "neighbourhood", "drawdown", "rollback"),
    "privacy": ("verbatim extraction", "canary exposure", "MIA AUC"),
    "efficiency": ("seconds per run", "peak memory", "tokens per turn"),
}
"""The eight families of table 4.1, each with the figures that a card either gives or names as not measured."""
PANELS: Mapping[str, Sequence[str]] = {
    "P1": ("event F1", "anchoring error", "order of dated facts"),
    "P2": ("replay coverage", "replay-supported fraction", "step order"),
    "P3": ("correct refusal", "FreshHit", "out of date", "conflict consistency", "AURC"),
    "P4": ("slope per 100 edits", "half-life in edits", "long-term retention"),
    "P5": ("seconds per run", "peak memory", "tokens per turn"),
}
"""The five panels of E-MARS+, likewise."""


@dataclass(frozen=True)
class Figure:
    """One measured figure.

    Attributes:
        name: one of the names of its family or panel, or a further one.
        value: the point.
        low: lower bound; None for a cost, or where all cases were asked.
        high: upper bound, likewise.
        n: cases; None for a cost.
        unit: "share" or what a cost is counted in.
        census: whether all cases there are were asked, so that the figure is exact.
        about: anything else worth knowing: slice, threshold, decision.
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    n: int | None = None
    unit: str = "share"
    census: bool = False
    about: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values in the form of the schema."""
        plain: dict[str, Any] = {"name": self.name, "value": self.value, "unit": self.unit}
        if self.n is not None:
            plain["n"] = self.n
        if self.census:
            plain["census"] = True
        elif self.low is not None and self.high is not None:
            plain["interval"] = interval(self.low, self.high)
        return {**plain, **({"about": self.about} if self.about else {})}


def interval(low: float, high: float) -> dict[str, float]:
    """Both bounds with their confidence."""
    return {"low": low, "high": high, "confidence": CONFIDENCE}


def section(names: Iterable[str], figures: Iterable[Figure], why: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A family or panel: its figures, and which of its names were not measured.

    Args:
        names: what belongs to it.
        figures: what was measured.
        why: reason by name where one is known.
    """
    found = list(figures)
    measured = {one.name for one in found}
    missing = [{"name": name, "why": (why or {}).get(name, "not measured")} for name in names if name not in measured]
    return {"figures": [one.to_dict() for one in found], "not_measured": missing}


def problems(card: Mapping[str, Any]) -> list[str]:
    """What the schema finds wrong with a card, one line each with the place; nothing where it is valid.

    Beyond the schema: a bound on the wrong side of its value, and a claim whose control is about another slice.
    """
    from jsonschema import Draft202012Validator

    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    found = [
        f"{'.'.join(map(str, error.absolute_path)) or 'card'}: {error.message}"
        for error in sorted(Draft202012Validator(schema).iter_errors(card), key=lambda one: str(one.absolute_path))
    ]
    return found or [*_disordered(card, "card"), *_uncontrolled(card)]


def checked(card: Mapping[str, Any]) -> Mapping[str, Any]:
    """The card itself, where it is valid.

    Raises:
        InputError: names the first place that is not, and how many there are.
    """
    found = problems(card)
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        raise InputError(
            "a card that the schema accepts", f"{found[0]}{more}", "give every claim its control and interval"
        )
    return card


def _disordered(value: Any, place: str) -> list[str]:
    """Figures whose value lies outside their interval."""
    found = []
    if isinstance(value, Mapping):
        bounds = value.get("interval")
        if isinstance(bounds, Mapping) and not bounds["low"] <= value["value"] <= bounds["high"]:
            found.append(f"{place}: the value {value['value']} lies outside {bounds['low']} to {bounds['high']}")
        found += [problem for key, one in value.items() for problem in _disordered(one, f"{place}.{key}")]
    elif isinstance(value, list):
        found += [problem for number, one in enumerate(value) for problem in _disordered(one, f"{place}.{number}")]
    return found


def _uncontrolled(card: Mapping[str, Any]) -> list[str]:
    """Claims whose control was measured on another slice, or on another number of cases."""
    return [
        f"claims.{number}: its control is about {claim['control']['slice']!r}, the claim about {claim['slice']!r}"
        for number, claim in enumerate(card["claims"])
        if claim["control"]["slice"] != claim["slice"] or claim["control"]["figure"]["n"] != claim["figure"]["n"]
    ]
