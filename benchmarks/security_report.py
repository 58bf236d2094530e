"""The section of RESULTS.md on attacks, from results/security.json."""

from collections.abc import Mapping
from typing import Any

_HEAD = ("attack", "none", "perplexity", "majority", "A-MemGuard", "its code", "ours")


def section(found: Mapping[str, Any]) -> str:
    """Attack success and benign loss by defence, and what gets through."""
    attacks = found["attacks"]
    failed = [name for name, ways in attacks.items() if not _met(ways["ours"])]
    success = [
        [name, *(_cell(ways[way]["success"]) if way in ways else "-" for way in _HEAD[1:])]
        for name, ways in attacks.items()
    ]
    lost = [
        [name, *(_points(ways[way]) if way in ways else "-" for way in _HEAD[1:])] for name, ways in attacks.items()
    ]
    met = len(attacks) - len(failed)
    taken = ", ".join(
        f"{tier}: {' / '.join(str(count) for count in by_delay.values())}"
        for tier, by_delay in found["taken_over"].items()
    )
    return "\n\n".join(
        [
            f"`python -m benchmarks.security`, {found['seeds']} seed(s) (perplexity: the first), {found['n']} cases"
            " each (PoisonedRAG and passages: half of that). Thresholds of the baselines are set on one half of the"
            " benign cases for 1 % loss; figures are of the other half.",
            "Attack success (95 % interval):",
            _table([*_HEAD], success),
            "Benign loss in points, beyond what is lost without a guard (no attack present):",
            _table([*_HEAD], lost),
            "Ours reduces success by 95 % or more at one point of benign loss or less in"
            f" {met} of {len(attacks)} attacks; not in: {'; '.join(failed) or 'none'}.",
            f"A listed source that is taken over and says one false thing a run for {found['runs']} runs, each found"
            f" false 1 / 3 / 6 runs later, brings in so many before its record costs it its tier: {taken}.",
        ]
    )


def _met(way: Mapping[str, Any]) -> bool:
    """Whether the target is met."""
    return way["reduction"] is not None and way["reduction"] >= 0.95 and way["loss_points"] <= 1.0


def _cell(share: Mapping[str, float]) -> str:
    return f"{share['mean']:.2f} ({share['low']:.2f}-{share['high']:.2f})"


def _points(way: Mapping[str, Any]) -> str:
    return f"{way['loss_points']:+.1f}"


def _table(head: list[str], body: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
