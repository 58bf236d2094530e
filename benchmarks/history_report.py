"""The section of RESULTS.md on real errors in real histories, from results/history.json."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.history_said import HISTORIES

TITLES = {"leaders": "Leaders", "countries": "Countries", "sp500": "S&P 500"}
WAYS = {
    "all": "all rules",
    "none": "no rule (negative control)",
    "established": "all rules, the source not authoritative",
}


def section(found: Mapping[str, Any]) -> str:
    """Tables per history, of planted errors, and of names."""
    parts = [
        "Each share with Wilson's 95 % interval and its counts. Wrong: the history itself took the row back later"
        " (`history_rows.py` says how). Held: a good row that did not pass at its first admission."
        " Of leaders and the index few rows are wrong by that rule, and the intervals are wide.",
    ]
    for name in (each for each in HISTORIES if each in found):
        parts += [f"### {TITLES[name]} (split {found[name]['split']}, {found[name]['rows']} rows)", _ways(found[name])]
        parts += [_rules(found[name])]
    if "planted" in found:
        parts += [
            f"### Errors planted into the leaders after the split (seed {found['seed']})",
            _planted(found["planted"]),
        ]
    if "names" in found:
        parts += ["### One person or two: names of leaders", _names(found["names"])]
    return "\n\n".join(parts)


def _cell(one: Mapping[str, Any] | None) -> str:
    if one is None:
        return "-"
    value, low, high = (_number(one[key]) for key in ("value", "low", "high"))
    return f"{value} ({low}-{high}), {one['hits']} of {one['n']}"


def _number(value: float) -> str:
    return "1.000" if value >= 0.9995 else f"{value:.3f}".removeprefix("0")


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *body))


def _ways(one: Mapping[str, Any]) -> str:
    """What is caught and held with all rules and with none, before the split and after it."""
    body = []
    for way, words in WAYS.items():
        for half in ("before", "after"):
            score = one[way][half]
            delay, others = score["hours_of_delay_of_held"], score["hours_from_said_to_passed_of_others"]
            body.append(
                [
                    f"{words}, {half}",
                    *(_cell(score[key]) for key in ("wrong_caught", "by_hand_caught", "good_held", "good_never")),
                    f"{delay['median']:.0f} ({delay['n']})" if delay["n"] else "-",
                    f"{others['median']:.0f}" if others["n"] else "-",
                ]
            )
    head = ["", "wrong caught", "wrong by sight, caught", "good held", "of these never passed"]
    return _table([*head, "median hours of delay of held rows that passed (n)", "median hours, others"], body)


def _rules(one: Mapping[str, Any]) -> str:
    """What each rule is worth: without it."""
    body = [
        [
            f"`{rule}`",
            *(_cell(score[half][key]) for half in ("before", "after") for key in ("wrong_caught", "good_held")),
        ]
        for rule, score in one["without"].items()
    ]
    head = ["without", "wrong caught, before", "good held, before", "wrong caught, after", "good held, after"]
    silent = ", ".join(f"`{rule}`" for rule in one["silent"])
    return f"{_table(head, body)}\n\nRules that held no row here, so that nothing changes without them: {silent}."


def _planted(planted: Mapping[str, Any]) -> str:
    body = [[kind, _cell(one["all"]), _cell(one["none"])] for kind, one in planted.items()]
    return _table(["kind", "caught by all rules", "caught by none"], body) + (
        "\n\n`plausible` is another real name with a sound day from the one trusted source: nothing can tell it."
    )


def _names(names: Mapping[str, Any]) -> str:
    keys = {
        "false_splits": "one person taken for two",
        "false_merges_successors": "two in one office, one after the other, taken for one",
        "false_merges_same_office": "two in one office, otherwise",
        "false_merges_abroad": "two in different countries",
    }
    body = [[words, *(_rate(names[half][key]) for half in ("before", "after"))] for key, words in keys.items()]
    grid = "; ".join(
        f"{one['threshold']}: {one['false_splits']} and {one['false_merges']}" for one in names["grid_before_the_split"]
    )
    told = f"Splits and merges before the split, by threshold: {grid}. In use: {names['threshold']}."
    return f"{_table(['', 'before the split', 'after'], body)}\n\n{told}"


def _rate(one: Mapping[str, Any]) -> str:
    return f"{one['value']:.4f} ({one['low']:.4f}-{one['high']:.4f}), n = {one['n']}"
