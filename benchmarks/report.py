"""The tables and curves of RESULTS.md, from the figures in results/.

    python -m benchmarks.report

Everything between the marks of a section is written anew; what stands outside them is left as it is.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.curves import Point, curves

HERE = Path(__file__).resolve().parent
SCORES = {
    "efficacy": "efficacy",
    "generalization": "generalisation",
    "chat": "chat",
    "neighbourhood": "neighbours",
    "same_subject": "same subject",
    "negation": "negation",
    "reversal": "reversal",
    "two_hop": "two-hop",
}
CURVES = ("efficacy", "generalization", "neighbourhood", "same_subject")
MODES = {
    "single": "each edit alone on the clean model",
    "batch": "all edits in one fit",
    "sequential": "one fit after another, all kept",
}


def share(score: Mapping[str, Any]) -> str:
    """A share with its interval; a dash where nothing was asked."""
    if not score["n"]:
        return "-"
    return f"{_short(score['mean'])} ({_short(score['low'])}-{_short(score['high'])})"


def _short(value: float) -> str:
    """A share with two decimals, without the leading zero."""
    return "1.00" if value >= 0.995 else f"{value:.2f}".removeprefix("0")


def table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def scores_table(cells: Sequence[Mapping[str, Any]]) -> str:
    """What was written and what it broke."""
    body = [
        [
            cell["editor"],
            str(cell["n"]),
            *(share(cell[kind]) for kind in SCORES),
            f"{ratio:.3f}" if (ratio := cell["perplexity"]["ratio"]) else "-",
        ]
        for cell in cells
    ]
    return table(["editor", "edits", *SCORES.values(), "perplexity"], body)


def costs_table(cells: Sequence[Mapping[str, Any]]) -> str:
    """What it took."""
    body = [
        [
            cell["editor"],
            cell["mode"],
            str(cell["n"]),
            f"{cell['cpu_seconds_per_edit']:.2f}",
            f"{cell['seconds_per_edit']:.2f}",
            f"{cell['peak_rss_mb']:.0f}",
            f"{cell['delta_bytes'] / cell['n'] / 1000:.1f}",
            " / ".join(str(cell["effects"][state]) for state in ("written", "no_effect", "failed")),
        ]
        for cell in cells
    ]
    head = ["editor", "mode", "edits", "CPU s per edit", "wall s per edit", "peak MB", "kB per edit"]
    return table([*head, "written / no effect / failed"], body)


def picture(cells: Sequence[Mapping[str, Any]], mode: str) -> str:
    """The curves of one mode; a single edit belongs to all of them."""
    chosen = [cell for cell in cells if cell["mode"] == mode or cell["n"] == 1]
    panels: dict[str, dict[str, list[Point]]] = {}
    for kind in CURVES:
        series: dict[str, list[Point]] = {}
        for cell in chosen:
            score = cell[kind]
            if score["n"]:
                point = Point(cell["n"], score["mean"], score["low"], score["high"])
                series.setdefault(cell["editor"], []).append(point)
        panels[SCORES[kind]] = series
    return curves(panels, f"edits ({MODES[mode]})")


def circumstances(cells: Sequence[Mapping[str, Any]]) -> str:
    """On what and with what the figures were measured, from the figures themselves."""
    one = cells[0]
    versions = ", ".join(f"{name} {number}" for name, number in sorted(one["versions"].items()))
    data = sorted({cell["digests"]["data"][:12] for cell in cells})
    models = sorted({f"{cell['model']} ({cell['digests']['model'][:12]})" for cell in cells})
    return (
        f"Model {', '.join(models)}, {one['dtype']}, {one['device']}, {one['threads']} thread; edits {', '.join(data)} "
        f"(`draw.py`), seed {one['seed']}; {versions}. Before any edit: efficacy {share(one['before']['efficacy'])}, "
        f"neighbours {share(one['before']['neighbourhood'])}."
    )


def editors_section(cells: Sequence[Mapping[str, Any]], folder: Path) -> str:
    """The tables of the editors, with their curves written into `folder`."""
    parts = [circumstances(cells)]
    for mode, meaning in MODES.items():
        chosen = [cell for cell in cells if cell["mode"] == mode]
        if not chosen:
            continue
        parts += [f"### {mode.capitalize()}: {meaning}", scores_table(chosen)]
        if len({cell["n"] for cell in chosen}) > 1:
            (folder / f"{mode}.svg").write_text(picture(cells, mode), encoding="utf-8")
            parts.append(f"![curves, {mode}](results/{mode}.svg)")
    return "\n\n".join([*parts, "### Cost", costs_table(cells)])


def with_section(text: str, name: str, body: str) -> str:
    """The text with what stands between the marks of a section replaced."""
    start, end = f"<!-- {name}: made by benchmarks/report.py -->", f"<!-- end of {name} -->"
    made = f"{start}\n{body}\n{end}"
    pattern = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.DOTALL)
    return pattern.sub(lambda _: made, text) if pattern.search(text) else f"{text.rstrip()}\n\n{made}\n"


def peers_section(comparisons: Sequence[Mapping[str, Any]]) -> str:
    """Ours beside EasyEdit's, on the same model and facts; a table for each file and number of edits."""
    head = ["run", "efficacy", "generalisation", "chat", "neighbours", "same subject", "perplexity"]
    head += ["CPU s per edit", "CPU s covariances", "peak MB"]
    return "\n\n".join(f"{peers['about']}\n\n{table(head, _peers(peers['runs']))}" for peers in comparisons)


def _peers(runs: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """One row a run."""
    return [
        [
            run["name"],
            *(share(run[kind]) for kind in ("efficacy", "generalization", "chat", "neighbourhood", "same_subject")),
            f"{run['perplexity']['ratio']:.3f}",
            f"{run['cpu_seconds_per_edit']:.2f}",
            f"{run['cpu_seconds_covariances']:.0f}" if run["cpu_seconds_covariances"] is not None else "-",
            f"{run['peak_rss_mb']:.0f}",
        ]
        for run in runs
    ]


def main() -> None:
    """Write RESULTS.md and the curves."""
    from benchmarks.admission_speed import section as speed_section
    from benchmarks.cost import section as cost_section
    from benchmarks.faults_report import section as faults_section
    from benchmarks.freshness_report import freshness_section
    from benchmarks.gates import section as gates_section
    from benchmarks.history_report import section as history_section
    from benchmarks.leakage_report import leakage_section
    from benchmarks.ledger import section as ledger_section
    from benchmarks.lines_report import ablations_section, domain_section, lines_section, router_section
    from benchmarks.moves import section as moves_section
    from benchmarks.passages import section as passages_section
    from benchmarks.persuasion import section as persuasion_section
    from benchmarks.scope import section as scope_section
    from benchmarks.security_report import section as security_section
    from benchmarks.sensitivity_report import section as sensitivity_section
    from benchmarks.streaming import section as streaming_section
    from benchmarks.tracing_report import section as tracing_section
    from benchmarks.volatility import section as volatility_section

    path = HERE / "RESULTS.md"
    text = path.read_text(encoding="utf-8")
    for name, make in (
        ("editors", lambda found: editors_section(found, HERE / "results")),
        ("lines", lines_section),
        ("clear", lines_section),
        ("second_family", lines_section),
        ("ablations", ablations_section),
        ("ablations_corrections", ablations_section),
        ("ablations_100", ablations_section),
        ("scope", scope_section),
        ("tracing", tracing_section),
        ("easyedit", peers_section),
        ("router", router_section),
        ("domain", domain_section),
        ("domain_longer", domain_section),
        ("cost", cost_section),
        ("streaming", streaming_section),
        ("leakage", leakage_section),
        ("freshness", freshness_section),
        ("sensitivity", sensitivity_section),
        ("passages", passages_section),
        ("volatility", volatility_section),
        ("persuasion", persuasion_section),
        ("security", security_section),
        ("history", history_section),
        ("admission_speed", speed_section),
        ("gates", gates_section),
        ("ledger", ledger_section),
        ("faults", faults_section),
        ("moves", moves_section),
    ):
        figures = HERE / "results" / f"{name}.json"
        if figures.is_file():
            text = with_section(text, name, make(json.loads(figures.read_text(encoding="utf-8"))))
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
