"""The section of RESULTS.md on planted leaks, from results/leakage.json."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.report import table

ORDER = ("overlap", "build", "leaks", "deltas")


def leakage_section(found: Mapping[str, Any]) -> str:
    """Every part that was measured."""
    makers = {"overlap": _overlap, "build": _build, "leaks": _leaks, "deltas": _deltas}
    return "\n\n".join(makers[part](found[part]) for part in ORDER if part in found)


def _interval(values: Mapping[str, Any], digits: int = 3) -> str:
    """A figure with its interval."""
    value, low, high = (f"{values[name]:.{digits}f}" for name in ("value", "low", "high"))
    return f"{value} ({low}-{high})"


def _overlap(found: Mapping[str, Any]) -> str:
    """Planted overlap, and what it costs."""
    runs, scale = found["runs"], found["scale"]
    seeds = ", ".join(str(run["seed"]) for run in runs)
    body = [
        [kind, f"{sum(run['kinds'][kind][0] for run in runs)} of {sum(run['kinds'][kind][1] for run in runs)}"]
        for kind in runs[0]["kinds"]
    ]
    near = sum(run["near_misses_named"] for run in runs)
    own = sum(run["overlap_of_themselves"] for run in runs)
    return "\n\n".join(
        [
            "### Overlap planted in real paragraphs",
            f"3,000 train and 1,000 test paragraphs of Wikipedia per seed (seeds {seeds}). Recall "
            f"{_interval(found['recall'])}, n {found['recall']['n']}; precision {_interval(found['precision'])}, n "
            f"{found['precision']['n']}. Texts that overlap by themselves, before anything is planted, are left out "
            f"of precision ({own}); counted as false alarms they make it {_interval(found['precision_strict'])}. "
            f"Planted near misses (a run of 12 words; every 12th word changed) that were named: {near}.",
            table(["planted", "found"], body),
            f"At scale: {scale['train']:,} against {scale['test']:,} texts in {scale['cpu_seconds']:.0f} CPU s, "
            f"resident memory {scale['rss_before_mb']} to {scale['peak_rss_mb']} MB; {scale['touched']} overlap.",
        ]
    )


def _build(found: Mapping[str, Any]) -> str:
    """What was trained."""
    sizes = found["sizes"]
    told = "; ".join(
        f"{name}: {found[name]['texts']} texts, {found[name]['tokens']:,} tokens, {found[name]['epochs']:g} epochs, "
        f"{found[name]['steps']} steps"
        for name in ("leaky", "clean")
    )
    return (
        f"### Leaks planted in an adapter\n\nLoRA on the last 10 blocks, lr {found['leaky']['lr']:g}, seed "
        f"{found['seed']}, model {found['model'][:12]}. {told}. Canaries: {sizes['each']} for each of the counts 0, 1, "
        f"4, 16, 64, each with its twin, secrets of {sizes['digits']} digits (all {10 ** sizes['digits']:,} candidates "
        f"ranked); {sizes['passages']} passages {sizes['repeats']} times each; {sizes['members']} members once; as "
        f"many twins of each; {sizes['filler']} further passages, which alone are the clean text."
    )


def _leaks(found: Mapping[str, Any]) -> str:
    """What the guards make of both builds."""
    parts = []
    for guard in ("exposure", "membership", "extraction"):
        names = list(dict.fromkeys(score["name"] for build in found.values() for score in build[guard]["scores"]))
        scores = {name: {one["name"]: one for one in build[guard]["scores"]} for name, build in found.items()}
        body = [
            [
                name,
                *(_interval(scores[build][name]) if name in scores[build] else "-" for build in found),
                _n(scores, name),
            ]
            for name in names
        ]
        body.append(["**verdict**", *(f"**{build[guard]['decision']}**" for build in found.values()), ""])
        parts.append(table([HEADS[guard], *found, "n"], body))
    orders = "; ".join(
        f"{name}: tau {build['order']['tau']:.3f}, one-sided p {build['order']['p']:.2g}"
        for name, build in found.items()
    )
    twins = "; ".join(
        f"{name}: p {dict(map(tuple, build['exposure']['evidence'])).get('twins_uniform_p', '-')}"
        for name, build in found.items()
    )
    parts.insert(1, f"Order of exposure with the planted count (Kendall): {orders}. Twins uniform (KS): {twins}.")
    return "\n\n".join(parts)


HEADS = {
    "exposure": "exposure, bits (mean)",
    "membership": "AUC, members or fresh against twins (98.75 % intervals)",
    "extraction": "share extracted",
}


def _n(scores: Mapping[str, Mapping[str, Any]], name: str) -> str:
    """How many cases a score rests on."""
    return next(str(found[name]["n"]) for found in scores.values() if name in found)


def _deltas(found: Mapping[str, Any]) -> str:
    """What deltas tell of their subjects."""
    body: list[Sequence[str]] = []
    for editor, one in found.items():
        scores = one["verdict"]["scores"]
        first = sum(rank == 1 for rank in one["ranks"])
        body.append(
            [
                f"{editor}: {WAYS.get(editor, 'its numbers')}",
                _interval(scores[0]) if scores else "not asked",
                _interval(one["by_claims"]) if "by_claims" in one else "-",
                _interval(one["control"]) if "control" in one else "-",
                f"{first} of {one['edited']}" if scores else "-",
                f"{one['in_clear']} of {one['names']}",
            ]
        )
    some = next(iter(found.values()))
    head = ["editor, and what of its delta is read", "AUC of edited subjects", "by what the memory claims"]
    head += ["control: never edited", "ranked before all others", "names in its files"]
    words = (
        f"A delta of {some['edited']} subjects and a list of candidates ({some['others']} others that it was never "
        "given): how well each fits what the delta holds; and which names (subjects, objects) stand in its files as "
        "text or as token ids. Weights are asked with sentences that are not those fitted on. Of a side memory, what "
        "it stores is compared with what its method would store of each candidate; beside it, how strongly it claims "
        f"such sentences. The control is {some.get('controls', 0)} further subjects of the same draw (edits "
        f"{some.get('edits', '-')}) that the delta was not given, against the same others. SERAC stores the subjects "
        "as text: its AUC is 1 by construction, and is measured on its file all the same."
    )
    return f"### What deltas tell of their subjects\n\n{words}\n\n{table(head, body)}"


WAYS = {"wise": "its stored middles", "grace": "its stored keys", "serac": "its stored text"}
