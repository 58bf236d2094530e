"""Attacks on what the system believes, against no guard, three published defences and this project's.

    python -m benchmarks.security [--model DIR] [--encoder DIR] [--data FOLDER] [--n 100] [--seeds 3] [--only GROUP ...]

For each attack: how often it succeeds, and how many benign cases are lost without it, by defence. Thresholds are set on
one half of each benign set (1 % loss) and everything is reported on the other half; each seed draws halves, poison
and wording anew. Shares are over all seeds, their intervals (Wilson) as wide as for one seed alone, since seeds draw
from the same data. Figures go to results/security.json. With `--only` the other groups of attacks keep the figures that
the file has, and without `--model` so does the perplexity filter; each group draws by itself, whatever else is run.
"""

import argparse
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import security_memories as memories
from benchmarks import security_price as price
from benchmarks import security_rows as rows
from benchmarks.editors import keep_json
from benchmarks.security_defences import BASELINES, Embedding, Surprise, Tools
from benchmarks.sensitivity_data import DATA
from guards.sources import Tier
from guards.stats import wilson

HERE = Path(__file__).resolve().parent
DEFENCES = (*BASELINES, *rows.PRESETS)
GROUPS = ("agentpoison", "poisonedrag", "passages", "rows")
RUNS, HISTORY = 24, 1000
LISTED: tuple[Tier, ...] = ("established", "authoritative")


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


def run(data: Path, n: int, seed: int, group: str, embed: Embedding, surprise: Surprise) -> dict[str, Any]:
    """The attacks of one group and seed."""
    tools = Tools(embed, surprise, random.Random(f"{seed} {group}"))
    if group == "rows":
        return rows.measured(rows.world(tools, n), data)
    if group == "agentpoison":
        made = memories.agentpoison(data, n, tools)
    else:
        made = memories.poisonedrag(data, tools) if group == "poisonedrag" else memories.injected(data, tools)
    return {attack.name: memories.measured(attack, tools) for attack in made}


def merged(old: Mapping[str, Any], found: Mapping[str, Any], n: int, seeds: int) -> dict[str, Any]:
    """The figures of a file with those of a new run in the place of the same attacks and defences."""
    attacks, drawn = dict(old.get("attacks", {})), dict(old.get("drawn", {}))
    for name in attacks:
        drawn.setdefault(name, {"n": old["n"], "seeds": old["seeds"]})
    for name, ways in found.items():
        attacks[name] = {**attacks.get(name, {}), **ways}
        drawn[name] = {"n": n, "seeds": seeds}
    return {**old, "n": n, "seeds": seeds, "attacks": attacks, "drawn": drawn}


def main() -> None:
    """Read the arguments, run every seed, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder of the reference model, for the perplexity filter")
    parser.add_argument("--encoder", type=Path, help="folder of the sentence encoder; the installed one by default")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--n", type=int, default=100, help="attacked and benign cases of each attack and seed")
    parser.add_argument("--seeds", type=int, default=3, help="perplexity is read in the first alone")
    parser.add_argument("--only", nargs="*", choices=GROUPS, default=GROUPS, help="groups of attacks to run")
    parser.add_argument("--results", type=Path, default=HERE / "results" / "security.json")
    given = parser.parse_args()
    from editors.load import load_model
    from editors.rag import MiniLM

    embed, read = (
        Embedding(MiniLM(given.encoder)),
        Surprise(load_model(given.model, device="cpu") if given.model else None),
    )
    old = json.loads(given.results.read_text(encoding="utf-8")) if given.results.is_file() else {}
    kept = old | {"runs": RUNS, "taken_over": {tier: _taken_over(tier) for tier in LISTED}}
    kept["let_in"] = price.waiting(rows.world(Tools(embed, read, random.Random(0)), given.n))
    for group in given.only:
        found: list[dict[str, Any]] = []
        for seed in range(given.seeds):
            found.append(run(given.data, given.n, seed, group, embed, Surprise(None) if seed else read))
            keep_json(given.results, merged(kept, summary(found), given.n, len(found)))
        kept = merged(kept, summary(found), given.n, given.seeds)


def _taken_over(tier: Tier) -> dict[str, int]:
    """False rows that a listed source brings in before its record costs it its tier, by when each is found false."""
    return {f"delay {delay}": price.taken_over(tier, RUNS, delay, HISTORY) for delay in (1, 3, 6)}


if __name__ == "__main__":
    main()
