"""Greedy decoding of many prompts with a key/value cache.

Prompts of about one length in tokens run together, the shorter ones padded on the left and masked there, so that
neighbours do not see each other; a row that has ended leaves the batch.
"""

import inspect
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from registry.progress import track

ROWS = 192
"""Rows that run together at most."""

PADDING = 1.25
"""Tokens of a batch with its padding, against those without, at most; or `SLACK` tokens more, whichever is more."""

SLACK = 256
"""Tokens of padding that cost less than the passes over the weights of one batch more."""

SAID = 4
"""Tokens of an answer, about, by which batches are made to take equally long."""


@dataclass
class Row:
    """One prompt on its way.

    Attributes:
        ids: its tokens.
        prompt: its text, where a rule asks for it.
        said: tokens said so far.
        logs: their log-probabilities.
    """

    ids: list[int]
    prompt: str = ""
    said: list[int] = field(default_factory=list)
    logs: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Rules:
    """When a row has ended.

    Attributes:
        room: tokens that are said at most.
        ends: tokens that end a row and are not said.
        banned: tokens that are never said.
        over: whether a row is to say nothing further.
    """

    room: int
    ends: Collection[int] = ()
    banned: Sequence[int] = ()
    over: Callable[[Row], bool] = lambda row: False


def decode(model: Any, rows: Sequence[Row], rules: Rules) -> None:
    """Let every row speak until it has ended; fills their `said` and `logs`.

    Args:
        model: causal LM in evaluation mode.
        rows: each with a token at least.
        rules: when a row has ended.
    """
    from editors.workers import shares, side_by_side

    batches = _batches(rows, shares(model.device, len(rows), ROWS)) if rules.room > 0 else []

    def run(batch: list[Row]) -> int:
        _decode(model, batch, rules)
        return len(batch)

    with track("asking the model", total=len(rows)) as advance, side_by_side(model.device, len(batches)) as each:
        for done in each(run, batches):
            advance(done)


def end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """Tokens that end a text or a turn: what the model's generation config says, and every special token."""
    said = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    listed = said if isinstance(said, list | tuple) else [said]
    return frozenset(token for token in (*listed, *tokenizer.all_special_ids) if token is not None)


def _batches(rows: Sequence[Row], shares: int) -> list[list[Row]]:
    """Rows of about one length in tokens, in about `shares` batches that take equally long; the longest first."""
    share = sum(len(row.ids) + SAID for row in rows) / shares
    batches: list[list[Row]] = []
    tokens = work = 0
    for row in sorted(rows, key=lambda row: len(row.ids)):
        length, count = len(row.ids), len(batches[-1]) + 1 if batches else 1
        fits = 1 < count <= ROWS and work < share * len(batches)
        if fits and length * count <= max(PADDING * (tokens + length), tokens + length + SLACK):
            batches[-1].append(row)
        else:
            batches.append([row])
            tokens = 0
        tokens += length
        work += length + SAID
    return sorted(batches, key=lambda batch: -sum(len(row.ids) + SAID for row in batch))


def _padded(batch: Sequence[Row], device: Any) -> tuple[Any, Any]:
    """Tokens of a batch, and where they are tokens rather than padding, each (rows, tokens), padded on the left."""
    import torch

    longest = max(len(row.ids) for row in batch)
    ids = [[0] * (longest - len(row.ids)) + row.ids for row in batch]
    seen = [[0] * (longest - len(row.ids)) + [1] * len(row.ids) for row in batch]
    return torch.tensor(ids, device=device), torch.tensor(seen, device=device)


def _decode(model: Any, batch: Sequence[Row], rules: Rules) -> None:
    """Let the rows of one batch speak until each has ended."""
    import torch

    from editors.workers import go_on

    # Named, not counted: rows that a slice leaves strided reach the vocabulary one by one, ten times as slowly.
    last = {"logits_to_keep": torch.tensor([-1], device=model.device)}
    options = last if "logits_to_keep" in inspect.signature(model.forward).parameters else {}
    active, cache = list(batch), None
    with torch.inference_mode():
        step, seen = _padded(active, model.device)
        places = (seen.cumsum(-1) - 1).clamp(min=0)  # (rows, tokens)
        while True:
            go_on()
            inputs = {"input_ids": step, "attention_mask": seen, "position_ids": places}
            out = model(**inputs, past_key_values=cache, use_cache=True, **options)
            cache = out.past_key_values
            scores = out.logits[:, -1].float()  # (rows, vocabulary)
            scores[:, list(rules.banned)] = -torch.inf
            best = scores.argmax(dim=-1)
            logs = scores.gather(1, best[:, None]).squeeze(1) - scores.logsumexp(dim=-1)
            heard = [_hear(*item, rules) for item in zip(active, best.tolist(), logs.tolist(), strict=True)]
            stay = [index for index, goes_on in enumerate(heard) if goes_on]
            if not stay:
                return
            if len(stay) < len(active):
                keep = torch.tensor(stay, dtype=torch.long, device=model.device)
                cache.batch_select_indices(keep)
                best, active = best[keep], [active[index] for index in stay]
                seen, places = seen[keep], places[keep]
            step, places = best[:, None], places[:, -1:] + 1
            seen = torch.cat([seen, torch.ones_like(step)], dim=1)


def _hear(row: Row, token: int, log: float, rules: Rules) -> bool:
    """Take over what a row says next; whether it goes on after that."""
    if token in rules.ends:
        return False
    row.said.append(token)
    row.logs.append(log)
    return len(row.said) < rules.room and not rules.over(row)
