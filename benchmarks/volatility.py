"""Are expected lifetimes calibrated? Chances of a change of office, told before and held against what came.

    python -m benchmarks.volatility [--data FOLDER]

From the leader timeline, tenures of each country's offices are read as they stood on a day. On that day the chance that
an incumbent is gone a year later is told by the catalogue's lifetime alone, by the rate seen so far, by both together
(`guards.volatility.expected_lifetime`), and per country and office, shrunk towards the office's rate. The weight of the
shrinkage is chosen on New Year's days up to 2018 and every figure is of those from 2019 on, whose years the choice did
not see. Figures go to results/volatility.json.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from benchmarks.sensitivity_data import DATA, HERE
from guards.stats import bootstrap_mean, paired_bootstrap, wilson
from guards.volatility import Spell, chance_of_change, change_rate, expected_lifetime, spell

FILE = "temporal/leader_timeline_to_2023.jsonl"
ROLES = {"chief_of_state": 1500.0, "head_of_government": 1500.0}
"""Lifetime in days that the atlas's catalogue expects of each office."""
WATCHED = date(2015, 10, 26)
"""Day of the timeline's first snapshot; of earlier office holders only those are known who were in office then."""
CHOOSE = (date(2017, 1, 1), date(2018, 1, 1))
REPORT = tuple(date(year, 1, 1) for year in (2019, 2020, 2021, 2022))
WEIGHTS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
YEAR = timedelta(days=365)
Key = tuple[str, str]


@dataclass(frozen=True)
class Tenure:
    """Who held an office from when to when; an open end is None."""

    start: date
    end: date | None


def tenures(path: Path) -> dict[Key, list[Tenure]]:
    """The tenures of each country and office, in order of their start; an office holder who stays is one tenure."""
    starts: dict[Key, dict[str, date]] = defaultdict(dict)
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["role"] not in ROLES or row["kind"] not in ("initial", "person_change"):
            continue
        for person, since in ((row["person"], row["since"]), (row["prev_person"], row["prev_since"])):
            if person and since and len(since) == len("YYYY-MM-DD"):
                starts[(row["country"], row["role"])].setdefault(since, date.fromisoformat(since))
    found = {}
    for key, given in starts.items():
        days = sorted(given.values())
        found[key] = [Tenure(day, after) for day, after in zip(days, [*days[1:], None], strict=True)]
    return found


def spells(held: Sequence[Tenure], day: date) -> list[Spell]:
    """The tenures as they stood on a day."""
    seen = (spell(one.start, one.end, WATCHED, day) for one in held if one.start < day)
    return [one for one in seen if one is not None]


def cases(held: Mapping[Key, Sequence[Tenure]], days: Sequence[date], weight: float) -> list[dict[str, Any]]:
    """Each incumbent on each day: the chances told, and whether the office changed hands within a year."""
    rows = []
    for day in days:
        seen = {role: [one for key in held if key[1] == role for one in spells(held[key], day)] for role in ROLES}
        for key, line in held.items():
            now = next((one for one in line if one.start < day and (one.end is None or one.end > day)), None)
            if now is None:
                continue
            own, prior = spells(line, day), ROLES[key[1]]
            role = expected_lifetime(seen[key[1]], prior)
            told = {
                "catalogue": prior,
                "observed": change_rate(seen[key[1]]).lifetime_days,
                "both": role,
                "per subject": expected_lifetime(own, role, weight),
            }
            chances = {name: chance_of_change(YEAR.days, life) for name, life in told.items()}
            rows.append({"chances": chances, "changed": now.end is not None and now.end <= day + YEAR, "role": key[1]})
    return rows


def brier(rows: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    """Squared error of each told chance."""
    return [(row["chances"][name] - row["changed"]) ** 2 for row in rows]


def measured(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Brier score with interval, mean chance told, and the difference to the catalogue alone, paired."""
    told: dict[str, Any] = {}
    for name in rows[0]["chances"]:
        errors = brier(rows, name)
        score, gain = bootstrap_mean(errors), paired_bootstrap(brier(rows, "catalogue"), errors)
        told[name] = {
            "brier": [score.value, score.low, score.high],
            "less_than_catalogue": [gain.value, gain.low, gain.high],
            "mean_chance": sum(row["chances"][name] for row in rows) / len(rows),
        }
    came = wilson(sum(row["changed"] for row in rows), len(rows))
    return {"n": len(rows), "changed": [came.value, came.low, came.high], "by": told}


def bins(rows: Sequence[Mapping[str, Any]], name: str, count: int = 5) -> list[dict[str, Any]]:
    """Told against come, in bins of equally many cases."""
    ordered = sorted(rows, key=lambda row: float(row["chances"][name]))
    told = []
    for place in range(count):
        part = ordered[place * len(ordered) // count : (place + 1) * len(ordered) // count]
        came = wilson(sum(row["changed"] for row in part), len(part))
        mean = sum(row["chances"][name] for row in part) / len(part)
        told.append({"told": mean, "came": [came.value, came.low, came.high], "n": len(part)})
    return told


def section(found: Mapping[str, Any]) -> str:
    """The section of RESULTS.md."""
    from benchmarks.report import table

    def span(values: Sequence[float]) -> str:
        return f"{values[0]:.3f} ({values[1]:.3f}-{values[2]:.3f})"

    report = found["report"]
    body = [
        [name, span(one["brier"]), span(one["less_than_catalogue"]), f"{one['mean_chance']:.3f}"]
        for name, one in report["by"].items()
    ]
    curve = [[f"{one['told']:.3f}", span(one["came"]), str(one["n"])] for one in found["bins"]]
    return "\n\n".join(
        [
            f"{report['n']} incumbents on {len(REPORT)} New Year's days from {REPORT[0].year} on; an office changed "
            f"hands within a year in {span(report['changed'])} of them. Weight of the shrinkage: {found['weight']:g}, "
            "chosen on days up to 2018.",
            table(["chance told by", "Brier score", "less than the catalogue's", "mean chance told"], body),
            "Both, told against come:",
            table(["told", "came", "n"], curve),
        ]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Choose the weight, report, and write results/volatility.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the shared data")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "volatility.json")
    options = parser.parse_args(arguments)
    path = options.data / FILE
    if not path.is_file():
        parser.error(f"expected {FILE} in {options.data}; name the folder with --data")
    held = tenures(path)
    weight = min(WEIGHTS, key=lambda one: sum(brier(cases(held, CHOOSE, one), "per subject")))
    rows = cases(held, REPORT, weight)
    rates = {
        role: change_rate([one for key in held if key[1] == role for one in spells(held[key], REPORT[0])])
        for role in ROLES
    }
    told = {
        "weight": weight,
        "choose": measured(cases(held, CHOOSE, weight)),
        "report": measured(rows),
        "bins": bins(rows, "both"),
        "rates_before": {role: vars(rate) | {"lifetime_days": rate.lifetime_days} for role, rate in rates.items()},
    }
    options.out.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
