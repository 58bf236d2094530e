"""How well admission finds personal data and instructions, and how often it finds them where there are none.

    python -m benchmarks.sensitivity [--data FOLDER] [--n 3000] [--seed 6] [--fit] [--attacks FILE ...]

`--fit` first fits the coefficients of `guards/instructions.py` anew on the half "choose" (scikit-learn's logistic
regression), and picks the lowest threshold with at most 1 % false alarms on every corpus of that half. All figures are
of the half "report", which neither saw (`sensitivity_data.py` says how halves are made). Figures go to
results/sensitivity.json.
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.sensitivity_data import (
    DATA,
    HERE,
    PERSONAL_TYPES,
    Attack,
    Half,
    Marked,
    attacks,
    good_rows,
    marked,
    missing,
    plain,
)
from guards.base import Guard
from guards.candidates import Candidate
from guards.instructions import COEFFICIENTS, FEATURES, InstructionModel, features, sentences
from guards.patterns import INSTRUCTIONS, PERSONAL
from guards.sensitivity import InstructionGuard, PersonalDataGuard, find, folded, hits
from guards.stats import wilson

FALSE_ALARMS = 0.01
"""Share of false alarms on the half "choose" up to which a threshold may be picked: half of what is allowed."""
GRID = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
FORMS: Mapping[str, Callable[[str], str]] = {
    "alone": str,
    "in a cell": "Paris. {}".format,
    "in a passage": (
        "It lies on a river and has two million inhabitants. {} The city was founded before the third century."
    ).format,
}
"""How an attack is hidden."""
ROWS = 100_000
Plain = Mapping[str, Sequence[tuple[Half, str]]]


@dataclass(frozen=True)
class Share:
    """A share with its Wilson interval.

    Attributes:
        share: the estimate.
        low: lower bound, 95 %.
        high: upper bound.
        n: how many cases.
    """

    share: float
    low: float
    high: float
    n: int


def share(found: Iterable[bool]) -> dict[str, Any]:
    """The share of what was found, as plain values."""
    seen = list(found)
    if not seen:
        return asdict(Share(float("nan"), 0.0, 1.0, 0))
    interval = wilson(sum(seen), len(seen))
    return asdict(Share(interval.value, interval.low, interval.high, interval.n))


def personal(texts: Sequence[Marked], corpora: Plain, half: Half = "report") -> dict[str, Any]:
    """Recall of texts and of spans by type, and false alarms."""
    texts = [one for one in texts if one.half == half]
    held = {one: is_personal(one.text) for one in texts}
    by_type: dict[str, list[bool]] = defaultdict(list)
    for one in texts:
        for kind, value in one.spans:
            by_type[kind].append(_touched(one.text, value))
    named = [one for one in texts if one.personal or any(kind == "PERSON" for kind, _ in one.spans)]
    return {
        "texts": share(held[one] for one in texts if one.personal),
        "texts_with_person": share(held[one] for one in named),
        "spans": {kind: share(by_type[kind]) for kind in PERSONAL_TYPES if kind in by_type},
        "spans_not_counted": {kind: share(found) for kind, found in by_type.items() if kind not in PERSONAL_TYPES},
        "other_texts_of_the_set": share(held[one] for one in texts if not one.personal),
        "false_alarms": {
            name: share(is_personal(text) for own, text in found if own == half) for name, found in corpora.items()
        },
    }


def is_personal(text: str) -> bool:
    """Whether the guard finds personal data in a text."""
    return PersonalDataGuard().judge(_case({"note": text})).decision != "pass"


def _touched(text: str, value: str) -> bool:
    """Whether any hit touches a value where it stands in the text."""
    where, part = folded(text), folded(value)
    start = where.find(part)
    return any(first < start + len(part) and start < last for _, first, last in hits(PERSONAL, where))


def instructions(found: Sequence[Attack], corpora: Plain, model: InstructionModel, half: Half) -> dict[str, Any]:
    """Recall by form, false alarms, and the curve over thresholds: rules alone, model alone, both."""
    ways: Mapping[str, Callable[[str], bool]] = {
        "rules": lambda text: find(INSTRUCTIONS, folded(text)) is not None,
        "model": lambda text: bool(model.hit(folded(text))),
        "both": partial(is_instruction, model),
    }
    own = [one for one in found if one.half == half]
    told: dict[str, Any] = {}
    for name, way in ways.items():
        told[name] = {
            "recall": {form: share(way(hide(one.text)) for one in own) for form, hide in FORMS.items()},
            "false_alarms": {
                corpus: share(way(text) for where, text in texts if where == half) for corpus, texts in corpora.items()
            },
        }
    hide = FORMS["in a cell"]
    kinds = sorted({one.kind for one in own})
    told["kinds"] = {
        kind: share(is_instruction(model, hide(one.text)) for one in own if one.kind == kind) for kind in kinds
    }
    told["curve"] = curve([hide(one.text) for one in own], corpora, model, half)
    return told


def is_instruction(model: InstructionModel, text: str) -> bool:
    """Whether the guard, with this model, finds an instruction in a text."""
    return InstructionGuard(model=model).judge(_case({"note": text})).decision != "pass"


def curve(attacked: Sequence[str], corpora: Plain, model: InstructionModel, half: Half) -> list[dict[str, float]]:
    """Recall and false alarms of the model alone at each threshold of `GRID`."""

    def highest(text: str) -> float:
        return max((model.probability(one) for one in sentences(folded(text))), default=0.0)

    bad = [highest(text) for text in attacked]
    good = {name: [highest(text) for own, text in texts if own == half] for name, texts in corpora.items()}
    return [
        {"threshold": bar, "recall": _over(bad, bar)} | {name: _over(odds, bar) for name, odds in good.items()}
        for bar in GRID
    ]


def _over(odds: Sequence[float], bar: float) -> float:
    """Share of probabilities that reach a threshold."""
    return sum(one >= bar for one in odds) / max(1, len(odds))


def fit(found: Sequence[Attack], corpora: Plain) -> InstructionModel:
    """Coefficients and threshold from the half "choose"."""
    from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

    rows, labels = [], []
    own = [one for one in found if one.half == "choose"]
    for one in own:
        rows.append(features(next(sentences(folded(one.text)))))
        labels.append(1)
    for texts in corpora.values():
        for half, text in texts:
            for sentence in sentences(folded(text)) if half == "choose" else ():
                rows.append(features(sentence))
                labels.append(0)
    values = [[float(row[name]) for name in FEATURES] for row in rows]
    fitted = LogisticRegression(C=1.0, class_weight="balanced", max_iter=1000).fit(values, labels)
    weights = {name: round(float(weight), 4) for name, weight in zip(FEATURES, fitted.coef_[0], strict=True)}
    model = InstructionModel(round(float(fitted.intercept_[0]), 4), weights, 1.0)
    points = curve([FORMS["in a cell"](one.text) for one in own], corpora, model, "choose")
    bars = [point["threshold"] for point in points if all(point[name] <= FALSE_ALARMS for name in corpora)]
    return InstructionModel(model.bias, weights, min(bars, default=1.0))


def write_coefficients(model: InstructionModel, about: str) -> None:
    """Keep coefficients where the guard reads them."""
    kept = {"about": about, "bias": model.bias, "weights": dict(model.weights), "threshold": model.threshold}
    COEFFICIENTS.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def speed(model: InstructionModel, names: Sequence[str]) -> dict[str, float]:
    """CPU seconds of each guard for `ROWS` rows of distinct names."""
    rows = [
        _case({"subject": f"{names[row % len(names)]} {row}", "object": names[-row % len(names)]})
        for row in range(ROWS)
    ]
    guards: Mapping[str, Guard[Candidate]] = {
        "personal_data": PersonalDataGuard(),
        "instruction": InstructionGuard(model=model),
    }
    told = {}
    for name, guard in guards.items():
        started = time.process_time()
        for row in rows:
            guard.judge(row)
        told[name] = round(time.process_time() - started, 2)
    return told


def _case(cells: Mapping[str, str]) -> Candidate:
    """A row with these cells."""
    return Candidate(1, cells, datetime(2026, 1, 1, tzinfo=UTC), "", None, None)


def good_rows_stopped(model: InstructionModel) -> dict[str, Any]:
    """Share of the atlas's good rows that a guard stops."""
    guards = (PersonalDataGuard(), InstructionGuard(model=model))
    return share(any(guard.judge(_case(row)).decision != "pass" for guard in guards) for row in good_rows())


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write results/sensitivity.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the shared data")
    parser.add_argument("--n", type=int, default=3000, help="sentences of each corpus and half")
    parser.add_argument("--seed", type=int, default=6, help="of the halves and draws")
    parser.add_argument("--fit", action="store_true", help="fit the coefficients anew")
    parser.add_argument(
        "--attacks", type=Path, nargs="*", default=[], help="further attacks in BIPIA's form, to report on"
    )
    parser.add_argument("--out", type=Path, default=HERE / "results" / "sensitivity.json")
    options = parser.parse_args(arguments)
    absent = missing(options.data)
    if absent:
        parser.error(f"expected {', '.join(absent)} in {options.data}; name the folder with --data")
    found, corpora = attacks(options.data, options.seed), plain(options.data, options.n, options.seed)
    if options.fit:
        about = f"python -m benchmarks.sensitivity --fit --n {options.n} --seed {options.seed}"
        write_coefficients(fit(found, corpora), about)
    model = InstructionModel.read(COEFFICIENTS)
    told: dict[str, Any] = {
        "n": options.n,
        "seed": options.seed,
        "threshold": model.threshold,
        "personal": personal(marked(options.data, options.seed), corpora),
        "instructions": instructions(found, corpora, model, "report"),
        "good_rows_stopped": good_rows_stopped(model),
        "cpu_s_for_100000_rows": speed(model, [text for _, text in corpora["names"]]),
    }
    for path in options.attacks:
        given = attacks(options.data, options.seed, [path])[len(found) :]
        told.setdefault("further_attacks", {})[path.name] = instructions(given, {}, model, "report")["both"]["recall"]
    options.out.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
