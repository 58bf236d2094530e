"""Scores of an edited model: free generation with a natural stop, and teacher-forced figures beside it.

Free generation is the score. Teacher forcing gives the model the right beginning of every answer and counts tokens; it
reads far higher on models that do not say the answer, and stands here because published tables use it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from guards.stats import wilson
from pipelines.bench_rows import BenchRow
from registry.text import starts_with_answer

KINDS = ("efficacy", "generalization", "neighbourhood", "same_subject", "portability")
SPARE_TOKENS = 4
MIN_TOKENS = 12


@dataclass(frozen=True)
class Probe:
    """One scored prompt.

    Attributes:
        kind: one of `KINDS`.
        row: position of the edit that it belongs to.
        prompt: what is asked.
        answers: what is right after the edit.
    """

    kind: str
    row: int
    prompt: str
    answers: tuple[str, ...]


def probes_of(rows: Sequence[BenchRow]) -> list[Probe]:
    """Every scored prompt of the rows."""
    probes = []
    for index, row in enumerate(rows):
        right = row.answers or (row.target_new,)
        probes.append(Probe("efficacy", index, row.prompt, right))
        probes += [Probe("generalization", index, prompt, right) for prompt in row.paraphrases]
        for kind in ("neighbourhood", "same_subject", "portability"):
            probes += [Probe(kind, index, one.prompt, one.answers) for one in getattr(row, kind)]
    return probes


def answers(model: Any, tokenizer: Any, probes: Sequence[Probe]) -> list[str]:
    """What the model says to every probe, with room for the longest right answer."""
    from editors.generate import generate

    if not probes:
        return []
    longest = max(len(tokenizer(f" {text}")["input_ids"]) for probe in probes for text in probe.answers)
    room = max(MIN_TOKENS, longest + SPARE_TOKENS)
    said = generate(model, tokenizer, [probe.prompt for probe in probes], max_new_tokens=room)
    return [one.text for one in said]


def right_of(probes: Sequence[Probe], texts: Sequence[str]) -> list[bool]:
    """Whether each answer begins with one of the probe's answers."""
    return [starts_with_answer(text, probe.answers) for probe, text in zip(probes, texts, strict=True)]


def shares(probes: Sequence[Probe], right: Sequence[bool], only: Sequence[bool] | None = None) -> dict[str, Any]:
    """Share of right answers by kind, with Wilson's 95 % interval; `only` keeps the probes that it marks."""
    found: dict[str, Any] = {}
    for kind in KINDS:
        kept = [
            good
            for index, (probe, good) in enumerate(zip(probes, right, strict=True))
            if probe.kind == kind and (only is None or only[index])
        ]
        if not kept:
            found[kind] = {"mean": None, "low": None, "high": None, "n": 0}
            continue
        interval = wilson(sum(kept), len(kept))
        found[kind] = {"mean": interval.value, "low": interval.low, "high": interval.high, "n": interval.n}
    return found


def forced(model: Any, tokenizer: Any, probes: Sequence[Probe]) -> list[float]:
    """Teacher-forced token accuracy of each probe's first answer: share of its tokens that are the most likely next."""
    import torch

    results = []
    with torch.inference_mode():
        for probe in probes:
            given = tokenizer(probe.prompt)["input_ids"]
            wanted = tokenizer(f" {probe.answers[0]}", add_special_tokens=False)["input_ids"]
            ids = torch.tensor([[*given, *wanted]], device=model.device)
            best = model(input_ids=ids, use_cache=False).logits[0, len(given) - 1 : -1].argmax(dim=-1)
            results.append(fmean(float(one == other) for one, other in zip(best.tolist(), wanted, strict=True)))
    return results


def forced_means(probes: Sequence[Probe], values: Sequence[float]) -> Mapping[str, Any]:
    """Mean teacher-forced accuracy by kind; None where there is no probe."""
    return {
        kind: fmean(kept) if (kept := [v for p, v in zip(probes, values, strict=True) if p.kind == kind]) else None
        for kind in KINDS
    }
