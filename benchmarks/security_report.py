"""The section of RESULTS.md on attacks, from results/security.json."""

from collections.abc import Mapping
from typing import Any

from benchmarks.security_defences import READ

_OURS = ("ours", "ours, strict")
_HEAD = ("attack", "none", "perplexity", "majority", "A-MemGuard", "its code", "ours", "ours, strict")


def section(found: Mapping[str, Any]) -> str:
    """Attack success and benign loss by defence, and what gets through."""
    attacks = found["attacks"]
    missed = {way: [name for name, ways in attacks.items() if not _met(ways.get(way))] for way in _OURS}
    success = [
        [name, *(_cell(ways[way]["success"]) if way in ways else "-" for way in _HEAD[1:])]
        for name, ways in attacks.items()
    ]
    lost = [
        [name, *(_points(ways[way]) if way in ways else "-" for way in _HEAD[1:])] for name, ways in attacks.items()
    ]
    taken = ", ".join(
        f"{tier}: {' / '.join(str(count) for count in by_delay.values())}"
        for tier, by_delay in found["taken_over"].items()
    )
    return "\n\n".join(
        [
            f"`python -m benchmarks.security`, {_drawn(found)} (perplexity: the first seed, {READ} cases at most)."
            " Thresholds of the baselines are set on one half of the benign cases for 1 % loss; figures are of the"
            " other half. Strict is `guards/presets.py`: neither strangers nor one established source carry anything.",
            "Attack success (95 % interval):",
            _table([*_HEAD], success),
            "Benign loss in points, beyond what is lost without a guard (no attack present):",
            _table([*_HEAD], lost),
            "Ours reduces success by 95 % or more at one point of benign loss or less in"
            f" {len(attacks) - len(missed['ours'])} of {len(attacks)} attacks; not in:"
            f" {'; '.join(missed['ours']) or 'none'}.",
            f"Strict does so in {len(attacks) - len(missed['ours, strict'])}; not in:"
            f" {'; '.join(missed['ours, strict']) or 'none'}.",
            *_let_in(found),
            f"A listed source that is taken over and says one false thing a run for {found['runs']} runs, each found"
            f" false 1 / 3 / 6 runs later, brings in so many before its record costs it its tier: {taken}.",
        ]
    )


def _drawn(found: Mapping[str, Any]) -> str:
    """How many seeds and cases, by attack where they differ."""
    drawn = found.get("drawn") or {"all": {"n": found["n"], "seeds": found["seeds"]}}
    sizes: dict[tuple[int, int], list[str]] = {}
    for name, one in drawn.items():
        sizes.setdefault((one["seeds"], one["n"]), []).append(name)
    words = "{} seed(s) of {} cases (PoisonedRAG: of 50; passages: of 300)"
    if len(sizes) == 1:
        return words.format(*next(iter(sizes)))
    return "; ".join(f"{words.format(*size)}: {', '.join(names)}" for size, names in sizes.items())


def _let_in(found: Mapping[str, Any]) -> list[str]:
    """What being strict costs: true news of which nothing is known, by who says it."""
    told = found.get("let_in")
    if not told:
        return []
    body = [[who, *(f"{ways[way]:.2f}" for way in _OURS)] for who, ways in told.items()]
    return [
        "What comes in at once of true news of which nothing is known, by who says it; the rest waits for more sources"
        " or for a person:",
        _table(["said by", *_OURS], body),
    ]


def _met(way: Mapping[str, Any] | None) -> bool:
    """Whether the target is met."""
    return way is not None and way["reduction"] is not None and way["reduction"] >= 0.95 and way["loss_points"] <= 1.0


def _cell(share: Mapping[str, float]) -> str:
    return f"{share['mean']:.2f} ({share['low']:.2f}-{share['high']:.2f})"


def _points(way: Mapping[str, Any]) -> str:
    return f"{way['loss_points']:+.1f}"


def _table(head: list[str], body: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
