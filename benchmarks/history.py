"""Real errors in real histories: what admission catches before it is published, and what good rows pay for it.

    python -m benchmarks.history [--data FOLDER] [--seed N] [--history leaders|countries|sp500]

Each history is replayed month by month (history_replay.py); which rows were wrong is read from the history itself
(history_rows.py). Every figure is given for the rows before the split, on which thresholds were chosen, and for those
after it. Each rule that spoke is switched off in turn. Figures go to results/history.json.
"""

import argparse
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.history_names import names_part
from benchmarks.history_planted import KINDS, planted
from benchmarks.history_replay import Fate, replay
from benchmarks.history_rows import read_history
from benchmarks.history_said import CHOOSE_BEFORE, HISTORIES, History
from guards.admission import AdmissionPolicy
from guards.stats import wilson

HERE = Path(__file__).resolve().parent
DATA = HERE.parent.parent / "shared" / "data"
RULES = (
    *("structure", "lessons", "provenance", "dates", "relation", "declared_sensitivity", "personal_data"),
    *("instruction", "type", "revision", "withdrawn", "elsewhere", "subject", "joined", "returning", "slip", "office"),
    "consensus",
)
SPEAK_AS = {"disputed": "consensus", "quorum": "consensus", "contradiction": "consensus", "older": "consensus"}
"""Rules of a reason that are another rule's words."""
RETURNING = (0.0, 0.01, 0.02, 0.05, 0.1)
ALWAYS = ("revision",)
"""Rules that speak by letting a row pass, and are switched off in any case."""


def score(fates: Iterable[Fate]) -> dict[str, Any]:
    """What became of wrong and good rows: shares with Wilson's interval.

    A wrong row is caught when it is refused or quarantined. A good row is held when it did not pass the first time; of
    these, `never` are those that never did.
    """
    found = list(fates)
    wrong = [each for each in found if each.row.gold == "wrong"]
    good = [each for each in found if each.row.gold == "good"]
    held = [each for each in good if each.published is None or each.delay_hours > 0]
    by_hand = [each for each in found if each.row.gold == "by hand"]
    waits = [(each.published - each.first_seen).total_seconds() / 3600 for each in held if each.published]
    month = [_since_said(each) for each in good if each.published and each not in held]
    return {
        "wrong_caught": _share(sum(_caught(each) for each in wrong), len(wrong)),
        "by_hand_caught": _share(sum(_caught(each) for each in by_hand), len(by_hand)),
        "good_held": _share(len(held), len(good)),
        "good_never": _share(sum(each.published is None for each in held), len(good)),
        "unclear": sum(each.row.gold in ("unclear", "wrong day") for each in found),
        "hours_of_delay_of_held": {"n": len(waits), "median": median(waits) if waits else None},
        "hours_from_said_to_passed_of_others": {"n": len(month), "median": median(month) if month else None},
    }


def _caught(fate: Fate) -> bool:
    return fate.decision in ("refused", "quarantined")


def _since_said(fate: Fate) -> float:
    """Hours from the day of observation to the month's admission."""
    assert fate.published is not None, "only rows that passed are asked"
    return (fate.published.date() - fate.row.observed).total_seconds() / 3600


def _share(hits: int, n: int) -> dict[str, Any] | None:
    return {**vars(wilson(hits, n)), "hits": hits} if n else None


def halves(fates: Sequence[Fate]) -> dict[str, Any]:
    """The score before the split and after it."""
    return {
        "before": score(each for each in fates if each.row.chosen_on),
        "after": score(each for each in fates if not each.row.chosen_on),
    }


def history_part(history: History) -> dict[str, Any]:
    """One history with all rules, with none, and with each that spoke switched off."""
    policy = AdmissionPolicy()
    full = replay(history, policy)
    spoke = {SPEAK_AS.get(each.rule, each.rule) for each in full if each.published is None or each.delay_hours}
    asked = [rule for rule in RULES if rule in spoke or rule in ALWAYS]
    without = {rule: halves(replay(history, replace(policy, skipped=(rule,)))) for rule in asked}
    without["spelling"] = halves(replay(history, replace(policy, spelling=1.01)))
    return {
        "split": CHOOSE_BEFORE[history.name].isoformat(),
        "rows": len(history.rows),
        "all": halves(full),
        "none": halves(replay(history, replace(policy, skipped=RULES))),
        "established": halves(replay(history, policy, "established")),
        "without": without,
        "silent": [rule for rule in RULES if rule not in asked],
        "returning_before_the_split": {
            str(each): score(one for one in replay(history, replace(policy, returning=each)) if one.row.chosen_on)
            for each in RETURNING
        },
        "held_after": [_told(each) for each in full if _is_held(each)],
        "missed_after": [_told(each) for each in full if not each.row.chosen_on and _is_missed(each)],
    }


def _is_held(fate: Fate) -> bool:
    return not fate.row.chosen_on and fate.row.gold == "good" and (fate.published is None or fate.delay_hours > 0)


def _is_missed(fate: Fate) -> bool:
    return fate.row.gold in ("wrong", "by hand") and not _caught(fate)


def _told(fate: Fate) -> dict[str, str]:
    """Which row it is, without what it says: the data are not kept here."""
    row = fate.row
    return {"row": str(row.place), "day": row.observed.isoformat(), "relation": row.relation, "rule": fate.rule}


def planted_part(history: History, seed: int) -> dict[str, Any]:
    """Planted errors by kind: caught with all rules, and with none."""
    changed, kinds = planted(history, seed)
    with_all = replay(changed, AdmissionPolicy())
    with_none = replay(changed, AdmissionPolicy(skipped=RULES))

    def caught(fates: Sequence[Fate], kind: str) -> dict[str, Any] | None:
        own = [fates[place] for place, each in kinds.items() if each == kind]
        return _share(sum(each.decision in ("refused", "quarantined") for each in own), len(own))

    return {kind: {"all": caught(with_all, kind), "none": caught(with_none, kind)} for kind in KINDS}


def main() -> None:
    """Measure and write results/history.json; a history that is asked for alone leaves the others' figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--history", choices=HISTORIES)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "history.json")
    args = parser.parse_args()
    found: dict[str, Any] = json.loads(args.out.read_text(encoding="utf-8")) if args.out.is_file() else {}
    for name in (args.history,) if args.history else HISTORIES:
        started, history = time.process_time(), read_history(name, args.data)
        found[name] = history_part(history)
        if name == "leaders":
            found["planted"] = planted_part(history, args.seed)
            found["names"] = names_part(history, args.seed)
        found[name]["cpu_seconds"] = round(time.process_time() - started, 1)
    found["seed"] = args.seed
    args.out.write_text(f"{json.dumps(found, indent=1)}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
