"""Attacks on what the system believes, against no guard, three published defences and this project's.

    python -m benchmarks.security [--model DIR] [--encoder DIR] [--data FOLDER] [--n 100] [--seeds 3]

For each attack: how often it succeeds, and how many benign cases are lost without it, by defence. Thresholds are set on
one half of each benign set (1 % loss) and everything is reported on the other half; each seed draws halves, poison
and wording anew. Shares are over all seeds, their intervals (Wilson) as wide as for one seed alone, since seeds draw
from the same data. Figures go to results/security.json.
"""

import argparse
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import security_memories as memories
from benchmarks import security_rows as rows
from benchmarks.editors import keep_json
from benchmarks.security_defences import BASELINES, Embedding, Surprise, Tools
from benchmarks.sensitivity_data import DATA
from guards.stats import wilson

HERE = Path(__file__).resolve().parent
DEFENCES = (*BASELINES, "ours")
RUNS, HISTORY = 24, 1000


def share(counts: Sequence[Mapping[str, int]], lost: bool = False) -> dict[str, float]:
    """A share over all seeds with the interval of one seed; with `lost` the share that was not reached."""
    reached, n = sum(one["reached"] for one in counts), sum(one["n"] for one in counts)
    hit = n - reached if lost else reached
    one_seed = max(1, round(n / len(counts)))
    interval = wilson(round(hit / n * one_seed), one_seed)
    return {"mean": hit / n, "low": min(interval.low, hit / n), "high": max(interval.high, hit / n), "n": n}


def summary(found: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """Per attack and defence: attack success, benign loss beyond that of no guard, reduction against no guard."""
    attacks: dict[str, Any] = {}
    for name in found[0]:
        bare = share([run[name]["none"]["attacked"] for run in found])["mean"]
        free = share([run[name]["none"]["benign"] for run in found], lost=True)["mean"]
        attacks[name] = {}
        for defence in DEFENCES:
            runs = [run[name][defence] for run in found if defence in run[name]]
            if not runs:
                continue
            success = share([one["attacked"] for one in runs])
            lost = share([one["benign"] for one in runs], lost=True)
            told: dict[str, Any] = {"success": success, "lost": lost, "loss_points": 100 * (lost["mean"] - free)}
            told["reduction"] = 1 - success["mean"] / bare if bare else None
            attacks[name][defence] = told
    return attacks


def run(data: Path, n: int, seed: int, embed: Embedding, surprise: Surprise) -> dict[str, Any]:
    """All attacks of one seed."""
    tools = Tools(embed, surprise, random.Random(seed))
    found = {}
    made = (
        memories.agentpoison(data, n, tools),
        memories.poisonedrag(data, tools),
        memories.injected(data, n // 2, tools),
    )
    for attack in (one for several in made for one in several):
        found[attack.name] = memories.measured(attack, tools)
    found.update(rows.measured(rows.world(tools, n), data))
    return found


def main() -> None:
    """Read the arguments, run every seed, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder of the reference model, for the perplexity filter")
    parser.add_argument("--encoder", type=Path, help="folder of the sentence encoder; the installed one by default")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--n", type=int, default=100, help="attacked and benign cases of each attack and seed")
    parser.add_argument("--seeds", type=int, default=3, help="perplexity is read in the first alone")
    parser.add_argument("--results", type=Path, default=HERE / "results" / "security.json")
    given = parser.parse_args()
    from editors.load import load_model
    from editors.rag import MiniLM

    embed, read = (
        Embedding(MiniLM(given.encoder)),
        Surprise(load_model(given.model, device="cpu") if given.model else None),
    )
    compromised = {
        tier: {f"delay {delay}": rows.taken_over(tier, RUNS, delay, HISTORY) for delay in (1, 3, 6)}
        for tier in ("established", "authoritative")
    }
    found: list[dict[str, Any]] = []
    for seed in range(given.seeds):
        found.append(run(given.data, given.n, seed, embed, Surprise(None) if seed else read))
        kept = {"n": given.n, "seeds": len(found), "runs": RUNS, "attacks": summary(found), "taken_over": compromised}
        keep_json(given.results, kept)


if __name__ == "__main__":
    main()
