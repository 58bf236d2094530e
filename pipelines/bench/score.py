"""Scores of an edited model: free generation with a natural stop, and teacher-forced figures beside it.

Free generation is the score. Teacher forcing gives the model the right beginning of every answer and counts tokens; it
reads far higher on models that do not say the answer, and stands here because published tables use it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from guards.stats import wilson
from pipelines.bench.rows import BenchRow
from registry.text import holds_answer, starts_with_answer

if TYPE_CHECKING:
    from editors.load import LoadedModel
    from registry.home import Home

ASKED = ("neighbourhood", "same_subject", "negation", "reversal", "two_hop", "portability")
"""Kinds of probe that a row brings with answers of their own."""
KINDS = ("efficacy", "generalization", "chat", *ASKED)
SPARE_TOKENS = 4
MIN_TOKENS = 12
CHAT_TOKENS = 24


@dataclass(frozen=True)
class Probe:
    """One scored prompt.

    Attributes:
        kind: one of `KINDS`.
        row: position of the edit that it belongs to.
        prompt: what is asked; a question where the kind is "chat".
        answers: what is right after the edit, what is wrong where the kind is "negation".
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
        probes += [Probe("chat", index, row.question, right)] if row.question else []
        probes += [Probe(kind, index, one.prompt, one.answers) for kind in ASKED for one in getattr(row, kind)]
    return probes


def prompt_of(tokenizer: Any, probe: Probe) -> str:
    """The text that a model goes on from."""
    from editors.generate import chat_prompt

    return chat_prompt(tokenizer, probe.prompt) if probe.kind == "chat" else probe.prompt


def room_of(tokenizer: Any, probes: Sequence[Probe]) -> int:
    """Tokens that the longest right answer needs, and some more."""
    longest = max(len(tokenizer(f" {text}")["input_ids"]) for probe in probes for text in probe.answers)
    least = CHAT_TOKENS if any(probe.kind == "chat" for probe in probes) else MIN_TOKENS
    return max(least, longest + SPARE_TOKENS)


def answers(model: Any, tokenizer: Any, probes: Sequence[Probe]) -> list[str]:
    """What the model says to every probe, with room for the longest right answer."""
    from editors.generate import generate

    said: dict[int, str] = {}
    for positions in by_form(probes):
        part = [probes[position] for position in positions]
        prompts = [prompt_of(tokenizer, probe) for probe in part]
        found = generate(model, tokenizer, prompts, max_new_tokens=room_of(tokenizer, part))
        said.update(zip(positions, (one.text for one in found), strict=True))
    return [said[position] for position in range(len(probes))]


def answers_before(loaded: "LoadedModel", probes: Sequence[Probe], home: "Home") -> list[str]:
    """`answers` of the model as it was loaded, from the home where it was asked before."""
    from pipelines.judging.beliefs import answers_of

    said: dict[int, str] = {}
    for positions in by_form(probes):
        part = [probes[position] for position in positions]
        prompts = [prompt_of(loaded.tokenizer, probe) for probe in part]
        found = answers_of(loaded, prompts, home=home, room=room_of(loaded.tokenizer, part))
        said.update(zip(positions, (one.text for one in found), strict=True))
    return [said[position] for position in range(len(probes))]


def by_form(probes: Sequence[Probe]) -> list[list[int]]:
    """Positions of the probes in completion form, and of those in chat form; neither is empty."""
    chat = [probe.kind == "chat" for probe in probes]
    parts = [[index for index, is_chat in enumerate(chat) if is_chat is form] for form in (False, True)]
    return [part for part in parts if part]


def right_of(probes: Sequence[Probe], texts: Sequence[str]) -> list[bool]:
    """Whether each answer is right.

    It begins with one of the probe's answers; in the chat form it holds one in its first sentence; to a negated prompt
    it does not begin with one.
    """
    return [_is_right(probe, text) for probe, text in zip(probes, texts, strict=True)]


def _is_right(probe: Probe, text: str) -> bool:
    """Whether one answer is right."""
    if probe.kind == "chat":
        return holds_answer(text, probe.answers)
    return starts_with_answer(text, probe.answers) is not (probe.kind == "negation")


def perplexity(loaded: "LoadedModel", texts: Sequence[str]) -> float | None:
    """Perplexity of the model as it is on running text; None where there is none."""
    from editors.generate import token_nll

    scored = token_nll(loaded.model, loaded.tokenizer, texts)
    count = sum(tokens for _, tokens in scored)
    return math.exp(sum(total for total, _ in scored) / count) if count else None


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
            given = tokenizer(prompt_of(tokenizer, probe))["input_ids"]
            wanted = tokenizer(f" {probe.answers[0]}", add_special_tokens=False)["input_ids"]
            ids = torch.tensor([[*given, *wanted]], device=model.device)
            best = model(input_ids=ids, use_cache=False).logits[0, len(given) - 1 : -1].argmax(dim=-1)
            results.append(fmean(float(one == other) for one, other in zip(best.tolist(), wanted, strict=True)))
    return results


def forced_means(probes: Sequence[Probe], values: Sequence[float]) -> Mapping[str, Any]:
    """Mean teacher-forced accuracy by kind; None where there is no probe, and everywhere where nobody was asked."""
    pairs = zip(probes, values, strict=True) if values else ()
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for probe, value in pairs:
        found[probe.kind].append(value)
    return {kind: fmean(kept) if kept else None for kind, kept in found.items()}
