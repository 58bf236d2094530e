"""The sections of RESULTS.md on fixed numbers of edits, on the router's choice, and on learning a domain."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.report import circumstances, costs_table, scores_table, share, table


def lines_section(cells: Sequence[Mapping[str, Any]]) -> str:
    """The runs at the numbers of edits that the project has set itself, each file of edits with its own tables."""
    parts = [circumstances(cells)]
    for data in sorted({str(cell["data"]) for cell in cells}):
        chosen = [cell for cell in cells if cell["data"] == data]
        named = [{**cell, "editor": _name(cell)} for cell in chosen]
        parts += [f"### {data}", scores_table(named), costs_table(chosen)]
    return "\n\n".join(parts)


def _name(cell: Mapping[str, Any]) -> str:
    """An editor with how its edits were written."""
    return f"{cell['editor']}, {cell['mode']}" + (f" of {cell['group']}" if cell["mode"] == "sequential" else "")


LOOKED_AT = {"efficacy": "its own prompt", "generalization": "unseen phrasings", "neighbourhood": "neighbours"}
"""What ablations are compared in."""
DECIDES = 0.05
"""Chance of a split at least as uneven, under which a variant is said to differ."""


def verdict(run: Mapping[str, Any], base: Mapping[str, Any]) -> str:
    """In what a variant differs from the one that it is compared with, prompt by prompt (exact McNemar)."""
    from guards.stats import mcnemar_exact

    if run["name"] == base["name"]:
        return ""
    told = []
    for kind, words in LOOKED_AT.items():
        old, new = ([mark == "1" for mark in one["right"][kind]] for one in (base, run))
        found = mcnemar_exact(old, new)
        if found.p < DECIDES:
            told.append(f"{'better' if found.gained > found.lost else 'worse'} in {words}")
    return "; ".join(told) or "no difference seen"


def ablations_section(found: Mapping[str, Any]) -> str:
    """MEMIT with one number changed at a time."""
    runs = {run["name"]: run for run in found["runs"]}
    body = []
    for run in runs.values():
        base = runs.get(run["against"])
        flips = [_flips(run, base, kind) if base else "" for kind in ("generalization", "neighbourhood")]
        body.append(
            [
                f"{run['group']}: {run['name']}" if run["group"] else run["name"],
                *(share(run[kind]) for kind in LOOKED_AT),
                *flips,
                f"{run['cpu_seconds_per_edit']:.2f}",
                verdict(run, base) if base else "",
            ]
        )
    what = found.get("file", "counterfactual edits")
    about = (
        f"{found['n']} {what} in one batch (seed {found['seed']}, edits {found['data'][:12]}, model "
        f"{found['model'][:12]}), one number changed at a time. The flips are prompts gained and lost against the "
        "defaults (blocks 2 to 5 and 9 to 12: against the atlas's text alone; a column per context: against no "
        "corrections; what has (no mentions) behind it was run before mentions were a default: against no mentions). "
        f"A difference is named where a split as uneven has a chance under {DECIDES} by exact McNemar; "
        "with so many comparisons one of twenty such verdicts is chance."
    )
    head = ["variant", "efficacy", "generalisation", "neighbours", "gen. +/-", "neigh. +/-", "CPU s per edit", "so"]
    return f"{about}\n\n{table(head, body)}"


def _flips(run: Mapping[str, Any], base: Mapping[str, Any], kind: str) -> str:
    """Prompts gained and lost against another run."""
    pairs = list(zip(base["right"][kind], run["right"][kind], strict=True))
    return f"+{pairs.count(('0', '1'))} -{pairs.count(('1', '0'))}"


def router_section(found: Mapping[str, Any]) -> str:
    """What the router made of mixed updates, by the share of neighbours that repair was to keep."""
    kinds = [kind for kind in found["before"] if kind != "perplexity"]
    states = {"before": found["before"], **{_level(name): one for name, one in found["levels"].items()}}
    body = [
        [
            when,
            *(share(one[kind]) for kind in kinds),
            f"{one['perplexity'] / found['before']['perplexity']:.4f}",
            ", ".join(f"{name} {n}" for name, n in sorted(one.get("memories", {}).items())),
            f"{one['cpu_seconds_repair']:.0f}" if "cpu_seconds_repair" in one else "-",
        ]
        for when, one in states.items()
    ]
    counted = {"routed to": found["routes"], "because": found["reasons"]}
    counted |= {f"moved to the index, {_level(name)}": one["moved"] for name, one in found["levels"].items()}
    told = [f"* {what}: {', '.join(f'{name} {n}' for name, n in of.items()) or 'none'}" for what, of in counted.items()]
    about = (
        f"{found['n']} updates, seed {found['seed']}, model {found['model'][:12]}; the whole system is asked. Repair "
        f"is that of the loop; it asked {found['asked_by_repair']} sure facts: neighbours, and all other facts of the "
        "edited subjects. The neighbours scored are others, about other subjects; facts of the edited subjects are "
        "scored in a phrasing in which they were not asked. Each level begins with what the weights answer. Perplexity "
        "is that of every second paragraph of the running text, repair reads the others; it is that with the weight "
        f"delta on, over that of before ({found['before']['perplexity']:.2f}). {found['cpu_seconds_write']:.0f} CPU s "
        "for all writes."
    )
    head = ["", *kinds, "perplexity", "live in", "CPU s of repair"]
    return "\n\n".join([about, table(head, body), "\n".join(told)])


def _level(name: str) -> str:
    """A level in words."""
    return "only what the weights answer" if name == "answered" else f"{name} of neighbours kept"


def domain_section(found: Mapping[str, Any]) -> str:
    """Perplexity of held-out text of a domain by method, with the rates that were tried."""
    setting = ", ".join(f"{name} {value}" for name, value in found["setting"].items())
    body, told = [], []
    for name, run in found["methods"].items():
        if isinstance(run, list):
            told.append(f"* {name.replace('_', ' ')}: {run[0]:.2f} ({run[1]:.2f}-{run[2]:.2f})")
            continue
        value, low, high = run["perplexity"]
        gain = run.get("share_of_full_gain")
        tried = ", ".join(f"{rate}: {loss:.3f}" for rate, loss in run.get("sweep", {}).items())
        body.append(
            [
                name,
                f"{value:.2f} ({low:.2f}-{high:.2f})",
                f"{gain[0]:.2f} ({gain[1]:.2f}-{gain[2]:.2f})" if gain else "-",
                f"{run['trained_parameters']:,}" if "trained_parameters" in run else "-",
                f"{run['cpu_s']:.0f}" if "cpu_s" in run else "-",
                f"{run['lr']}" if "lr" in run else "-",
                tried or "-",
            ]
        )
    head = ["method", "perplexity", "share of full fine-tuning's gain", "trained numbers", "CPU s", "rate"]
    parts = [f"{setting}.", table([*head, "rates tried, loss on other pages"], body), "\n".join(told)]
    return "\n\n".join(part for part in parts if part)
