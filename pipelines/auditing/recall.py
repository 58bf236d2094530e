"""Retention after later edits: what was written is asked again after every further group of edits.

Recall is free generation. Recognition is whether the right object is preferred among candidates of its kind: the mean
log-probability of its tokens is the highest. The candidates of an edit are its new object, its true one, and objects of
other edits of the same relation.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from guards.retention import Ability, Check
from pipelines.bench.rows import BenchRow
from registry.errors import InputError
from registry.progress import track
from registry.text import normalise, starts_with_answer

if TYPE_CHECKING:
    from editors.load import LoadedModel

CANDIDATES = 4
ROWS = 32


@dataclass(frozen=True)
class Followed:
    """A sequence of edits and what was kept of it.

    Attributes:
        checks: per ability, every check of every edit.
        written: how many edits came to which end.
    """

    checks: Mapping[Ability, tuple[Check, ...]]
    written: Mapping[str, int]


def candidates_of(rows: Sequence[BenchRow], *, count: int = CANDIDATES, seed: int = 0) -> list[tuple[str, ...]]:
    """Per edit the right object and others of its kind: the true one first, then objects of other edits, by seed."""
    by_relation: dict[str, dict[str, None]] = {}
    for row in rows:
        by_relation.setdefault(row.relation, {})[row.target_new] = None
    found = []
    for place, row in enumerate(rows):
        others = list(by_relation[row.relation])
        Random(f"{seed}:{place}").shuffle(others)
        unlike = {normalise(name): name for name in (row.target_true, *others) if name}
        unlike.pop(normalise(row.target_new), None)
        found.append((row.target_new, *list(unlike.values())[: count - 1]))
    return found


def preferences(loaded: "LoadedModel", asked: Sequence[tuple[str, Sequence[str]]]) -> list[int]:
    """Which candidate each prompt is most likely to go on with, by the mean log-probability of its tokens.

    Args:
        loaded: the model.
        asked: prompts, each with its candidates.

    Returns:
        Per prompt the place of the preferred candidate; of equal ones the first.

    Raises:
        InputError: a prompt has no candidate.
    """
    if any(not names for _, names in asked):
        raise InputError("candidates for every prompt", "a prompt without any", "give at least one")
    pairs = [(place, prompt, name) for place, (prompt, names) in enumerate(asked) for name in names]
    scores: list[list[float]] = [[] for _ in asked]
    values = _mean_logs(loaded, [(prompt, name) for _, prompt, name in pairs])
    for (place, _, _), value in zip(pairs, values, strict=True):
        scores[place].append(value)
    return [values.index(max(values)) for values in scores]


def _mean_logs(loaded: "LoadedModel", pairs: Sequence[tuple[str, str]]) -> list[float]:
    """Mean log-probability of each continuation; pairs of one shape run together, so that none is padded."""
    import torch

    tokenizer, model = loaded.tokenizer, loaded.model
    ids = [
        (
            tokenizer(prompt)["input_ids"],
            tokenizer(f" {name}", add_special_tokens=False)["input_ids"],
        )
        for prompt, name in pairs
    ]
    shapes: dict[tuple[int, int], list[int]] = {}
    for place, (given, wanted) in enumerate(ids):
        shapes.setdefault((len(given), len(wanted)), []).append(place)
    values = [0.0] * len(pairs)
    with torch.inference_mode():
        for (given_size, _), places in shapes.items():
            for start in range(0, len(places), ROWS):
                part = places[start : start + ROWS]
                batch = torch.tensor([[*ids[place][0], *ids[place][1]] for place in part], device=model.device)
                logits = model(input_ids=batch, use_cache=False).logits[:, given_size - 1 : -1].float()
                logs = logits.log_softmax(dim=-1).gather(2, batch[:, given_size:, None]).squeeze(2).mean(dim=1)
                for place, value in zip(part, logs.tolist(), strict=True):
                    values[place] = value
    return values


def follow(
    loaded: "LoadedModel", writer: Any, config: Any, rows: Sequence[BenchRow], group: int, *, seed: int = 0
) -> Followed:
    """Write edits in groups, one onto the other, and check all that were written so far after every group.

    Args:
        loaded: the model; it comes out as it went in.
        writer: the editor.
        config: its numbers.
        rows: the edits.
        group: edits per fit.
        seed: of the candidates.

    Raises:
        EditError: the editor cannot write a group.
    """
    candidates = candidates_of(rows, seed=seed)
    recalled: list[Check] = []
    recognised: list[Check] = []
    written: dict[str, int] = {}
    starts = range(0, len(rows), group)
    with ExitStack() as undo, track("retention", total=len(starts)) as advance:
        for start in starts:
            part = rows[start : start + group]
            delta = writer.fit(loaded.model, loaded.tokenizer, [row.request for row in part], config)
            for effect in delta.effects:
                written[effect.state] = written.get(effect.state, 0) + 1
            delta.apply(loaded.model)
            undo.callback(delta.revert, loaded.model)
            done = start + len(part)
            ages = [done - min(done, (place // group + 1) * group) for place in range(done)]
            said, chosen = _asked(loaded, rows[:done], candidates[:done])
            recalled += [Check(str(place), ages[place], right) for place, right in enumerate(said)]
            recognised += [Check(str(place), ages[place], right) for place, right in enumerate(chosen)]
            advance(1)
    return Followed({"recall": tuple(recalled), "recognition": tuple(recognised)}, written)


def _asked(
    loaded: "LoadedModel", rows: Sequence[BenchRow], candidates: Sequence[Sequence[str]]
) -> tuple[list[bool], list[bool]]:
    """Whether each edit is recalled, and whether it is recognised, by the model as it is."""
    from editors.generate import generate

    said = generate(loaded.model, loaded.tokenizer, [row.prompt for row in rows])
    recalled = [
        starts_with_answer(one.text, row.answers or (row.target_new,)) for row, one in zip(rows, said, strict=True)
    ]
    asked = [(row.prompt, names) for row, names in zip(rows, candidates, strict=True)]
    return recalled, [place == 0 for place in preferences(loaded, asked)]
