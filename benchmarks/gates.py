"""How often the family of gates blocks without reason, and how often it sees a drop: simulated runs, really judged.

    python -m benchmarks.gates [--families 1000] [--out benchmarks/results/gates.json]

Every simulated run makes observations of all kinds with known chances and hands them to `guards.family.judge_family`
under the policy of `conf/policy.yaml`. Scenarios:

* *nothing changed*: what was written is answered, nothing that was right is lost, perplexity and entropy only jitter;
* *at the tolerance*: facts are lost exactly as often as the drop tests tolerate; phrasings of one fact fall together;
* *five points lost* in one kind: each of its facts is lost with a chance of .05 more than is tolerated, or of .05;
* *at the threshold*: one kind's true share is the threshold itself (a pass is then false), phrasings apart or together.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from guards.efficacy import GatePolicy
from guards.entropy import EntropyCase
from guards.family import drop_gates, judge_family
from guards.fluency import FluencyCase
from guards.observations import Observation, ObservationKind
from guards.power import DROP, POWER, needed
from guards.stats import wilson
from pipelines.settings import Settings

HERE = Path(__file__).resolve().parent
SEED = 20260101
WRITTEN = 12
"""Facts in the weights; each is asked in three prompts of the fit and two kept out of it."""
PHRASINGS = 2
TEXTS = 12
LONG = 6
TIERS = ("low", "medium", "high")
RIGHT_BEFORE = "right"

Draw = np.random.Generator
Sizes = Callable[[ObservationKind], Sequence[int]]


@dataclass(frozen=True)
class Truth:
    """Chances behind one simulated run.

    Attributes:
        facts: how many facts of each kind were right before.
        lost: chance that one of them is lost, by kind; 0 where it is not named.
        together: whether the phrasings of one fact fall together.
        written: chance that a written fact is answered in one prompt.
        nats: mean change of nats per token of running text.
    """

    facts: Mapping[ObservationKind, int]
    lost: Mapping[ObservationKind, float]
    together: bool = True
    written: float = 1.0
    nats: float = 0.0


def observed(truth: Truth, draw: Draw) -> list[Observation]:
    """The observations of one run."""
    seen = []
    prompts: dict[ObservationKind, int] = {"efficacy": 3, "generalisation": 2}
    for kind, count in prompts.items():
        right = draw.random((WRITTEN, count)) < truth.written
        seen += [_one(kind, fact, bool(ok)) for fact, line in enumerate(right) for ok in line]
    for kind, facts in truth.facts.items():
        phrasings = 1 if kind == "capability" else PHRASINGS
        shape = (facts, 1 if truth.together else phrasings)
        kept = np.broadcast_to(draw.random(shape) >= truth.lost.get(kind, 0.0), (facts, phrasings))
        seen += [_one(kind, fact, bool(ok)) for fact, line in enumerate(kept) for ok in line]
    return seen


def _one(kind: ObservationKind, fact: int, ok: bool) -> Observation:
    """One prompt that was right before (of what must stay) and is `ok` now."""
    return Observation(kind, f"{kind}{fact}", f"{kind} {fact}", True, ok, RIGHT_BEFORE, RIGHT_BEFORE if ok else "wrong")


def read(truth: Truth, draw: Draw) -> FluencyCase:
    """Running text whose likelihood jitters by a hundredth of a nat per token around the change."""
    tokens = draw.integers(60, 120, TEXTS)
    before = [(3.0 * int(count), int(count)) for count in tokens]
    shifts = draw.normal(truth.nats, 0.01, TEXTS)
    return FluencyCase(before, [(nll + float(by) * n, n) for (nll, n), by in zip(before, shifts, strict=True)])


def wrote(draw: Draw) -> EntropyCase:
    """Long texts of words from one small vocabulary, before and after."""

    def texts() -> list[str]:
        return [" ".join(f"w{word}" for word in draw.integers(0, 60, 48)) for _ in range(LONG)]

    return EntropyCase(texts(), texts())


def counted(families: int, seed: int, policy: GatePolicy, tier: Any, truth: Truth, gate: str = "") -> dict[str, Any]:
    """How many families pass, block and escalate; with `gate`, what that gate decides.

    Every family has a seed of its own, so that a scenario can be repeated alone.
    """
    decisions = {"pass": 0, "block": 0, "escalate": 0}
    by_gate: dict[str, int] = {}
    for number in range(families):
        draw = np.random.default_rng([seed, number])
        found = judge_family(observed(truth, draw), policy, tier, fluency=read(truth, draw), entropy=wrote(draw))
        for name in found.failed:
            by_gate[name] = by_gate.get(name, 0) + 1
        decision = found.decision
        if gate:
            decision = next(one.decision for one in found.verdicts if one.guard == gate)
        decisions[decision] += 1
    return {"n": families, **decisions, "failed": dict(sorted(by_gate.items()))}


def share(count: int, n: int) -> dict[str, float]:
    """A share with its interval."""
    found = wilson(count, n)
    return {"share": found.value, "low": found.low, "high": found.high}


def null_rows(families: int, policy: GatePolicy, facts: Mapping[ObservationKind, int]) -> list[dict[str, Any]]:
    """False blocks: nothing changed, and losses at the tolerance."""
    at_tolerance = {kind: policy.tolerated[kind] for kind in drop_gates(policy)}
    rows = []
    for tier in TIERS:
        for name, lost in (("nothing changed", {}), ("at the tolerance", at_tolerance)):
            found = counted(families, SEED, policy, tier, Truth(facts, lost))
            rows.append({"scenario": name, "tier": tier, **found, "blocked": share(found["block"], families)})
    return rows


def power_rows(families: int, policy: GatePolicy, sizes: Sizes) -> list[dict[str, Any]]:
    """Drops of five points that are seen, by kind and number of facts; the thresholds are those of the low tier."""
    rows: list[dict[str, Any]] = []
    enough = {kind: 400 for kind in drop_gates(policy)}
    for kind in drop_gates(policy):
        for n in sizes(kind):
            truth = Truth({**enough, kind: n}, {kind: DROP})
            found = counted(families, SEED + 1, policy, "low", truth, kind)
            bound = replace(policy, tolerated={})
            alone = counted(families, SEED + 1, bound, "low", truth, kind)
            rows.append(
                {
                    "gate": kind,
                    "facts": n,
                    "tolerated": policy.tolerated[kind],
                    "lost": DROP,
                    "seen": share(families - found["pass"], families),
                    "seen_by_bound_alone": share(families - alone["pass"], families),
                }
            )
    return rows


def threshold_rows(families: int, policy: GatePolicy, facts: Mapping[ObservationKind, int]) -> list[dict[str, Any]]:
    """False passes: one kind's true share is the threshold itself, its drop test left out."""
    bound = replace(policy, tolerated={})
    rows = []
    for kind in drop_gates(policy):
        for together in (False, True) if kind != "capability" else (False,):
            lost = 1 - getattr(policy.medium, kind)
            for test, chosen in (("bound alone", bound), ("with its drop test", policy)):
                truth = Truth(facts, {kind: lost}, together)
                found = counted(families, SEED + 2, chosen, "medium", truth, kind)
                row = {"gate": kind, "phrasings": "together" if together else "apart", "test": test}
                rows.append({**row, "passed": share(found["pass"], families)})
    return rows


def measured(families: int, policy: GatePolicy) -> dict[str, Any]:
    """All scenarios."""
    drops = drop_gates(policy)
    alpha = policy.family_alpha / len(drops)
    stated: dict[ObservationKind, int] = {kind: needed(policy.tolerated[kind], DROP, alpha) for kind in drops}
    return {
        "families": families,
        "seed": SEED,
        "policy": {"gates": list(policy.gates), "tolerated": dict(policy.tolerated), "alpha": policy.family_alpha},
        "power": POWER,
        "stated_n": stated,
        "null": null_rows(families, policy, stated),
        "drop": power_rows(families, policy, lambda kind: (50, 100, stated[kind])),
        "threshold": threshold_rows(families, policy, dict.fromkeys(drops, 100)),
    }


def section(found: Mapping[str, Any]) -> str:
    """The tables of RESULTS.md."""
    from benchmarks.report import table

    def told(one: Mapping[str, float]) -> str:
        return f"{one['share']:.3f} ({one['low']:.3f}-{one['high']:.3f})"

    null = [[row["scenario"], row["tier"], told(row["blocked"]), str(row["escalate"])] for row in found["null"]]
    drop = [
        [
            row["gate"],
            f"{row['tolerated']:g}",
            str(row["facts"]) + (" (stated)" if row["facts"] == found["stated_n"][row["gate"]] else ""),
            told(row["seen"]),
            told(row["seen_by_bound_alone"]),
        ]
        for row in found["drop"]
    ]
    passed = [[row["gate"], row["phrasings"], row["test"], told(row["passed"])] for row in found["threshold"]]
    return "\n\n".join(
        [
            f"{found['families']} simulated runs a line, seed {found['seed']}, judged by `guards.family` under "
            "`conf/policy.yaml` (`python -m benchmarks.gates`). What each gate's null is: "
            "[docs/gates.md](../docs/gates.md).",
            "### Blocked without reason",
            table(["what is true", "tier", "families blocked (95 %)", "undecided"], null),
            "### A drop of five points: of the facts right before, .05 are lost",
            table(["gate", "tolerated", "facts", "not passed (95 %)", "by the bound alone (low tier)"], drop),
            "### Passed without reason: the true share is the threshold itself (medium tier, 100 facts)",
            table(["gate", "phrasings of a fact fall", "test", "passed (95 %)"], passed),
            "Nominal is .025 for a gate alone. Wilson's bound counts prompts: where the phrasings of a fact fall "
            "together, it passes more often than it says; the drop test, which counts facts, stands behind it.",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulate and write; see the head of this module."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gates", description="Simulate families of gates.")
    parser.add_argument("--families", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "gates.json")
    given = parser.parse_args(arguments)
    found = measured(given.families, Settings.load().policy.gates)
    given.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
