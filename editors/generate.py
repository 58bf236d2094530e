"""Free generation: greedy, with a key/value cache, stopped where the answer ends by itself.

Prompts of about one length in tokens run together, the shorter ones padded on the left and masked there, so that
neighbours do not see each other; a row whose answer has ended leaves the batch. The answers are those of
`model.generate` with greedy decoding, cut at their natural stop.
"""

import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from registry.errors import InputError
from registry.progress import track
from registry.text import answer_of, natural_stop

ROWS = 128
"""Rows that run together at most."""

PADDING = 1.25
"""Tokens of a batch with its padding, against those without, at most; or `SLACK` tokens more, whichever is more."""

SLACK = 64
"""Tokens of padding that cost less than the passes over the weights of one batch more."""

WINDOW = 512
"""Tokens of running text that are scored in one piece."""


Enough = Callable[[str, str], bool]


@dataclass(frozen=True)
class Generation:
    """One answer.

    Attributes:
        text: the answer, cut at its natural stop.
        certainty: geometric mean of the probabilities of the answer's tokens, 0 to 1; 0 for an empty answer.
        tokens: how many tokens the answer has.
    """

    text: str
    certainty: float
    tokens: int


@dataclass
class _Row:
    """One prompt on its way: the tokens said so far and their log-probabilities."""

    prompt: str
    ids: list[int]
    said: list[int]
    logs: list[float]


def generate(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    *,
    max_new_tokens: int = 12,
    enough: Enough | None = None,
) -> list[Generation]:
    """Answer every prompt by greedy decoding.

    Args:
        model: causal LM in evaluation mode.
        tokenizer: its tokenizer.
        prompts: texts to go on from, in completion form or from `chat_prompt`.
        max_new_tokens: where an answer that does not end by itself is cut.
        enough: says of a prompt and of the text said so far that nothing further is wanted; the answer is cut there.

    Returns:
        One generation per prompt, in their order. Equal prompts are answered once.

    Raises:
        InputError: a prompt is empty, or does not fit the model's context.
    """
    import torch

    from editors.workers import side_by_side, side_by_side_rows

    ends = _end_tokens(model, tokenizer)
    rows = [
        _Row(prompt, _encode(model, tokenizer, prompt, max_new_tokens), [], []) for prompt in dict.fromkeys(prompts)
    ]
    done: dict[str, Generation] = {}
    batches = list(_batches(rows, side_by_side_rows(model.device, len(rows), ROWS)))

    def decode(batch: list[_Row]) -> list[_Row]:
        with torch.inference_mode():
            _decode(model, tokenizer, batch, ends, max_new_tokens, enough)
        return batch

    with track("asking the model", total=len(rows)) as advance, side_by_side(model.device, len(batches)) as run:
        for batch in run(decode, batches):
            done.update((row.prompt, _finish(tokenizer, row)) for row in batch)
            advance(len(batch))
    return [done[prompt] for prompt in prompts]


def chat_prompt(tokenizer: Any, question: str, *, system: str | None = None, begin: str = "") -> str:
    """The text of one turn of a chat, up to where the answer begins.

    Args:
        tokenizer: whose chat template is used; without one, a plain "Question: ... Answer:" form.
        question: what the user says.
        system: instruction; put before the question where the template knows no system role.
        begin: first words of the answer, given.
    """
    if getattr(tokenizer, "chat_template", None) is None:
        head = f"{system}\n\n" if system else ""
        return f"{head}Question: {question}\nAnswer:{f' {begin}' if begin else ''}"
    user = [{"role": "user", "content": question}]
    turns = [{"role": "system", "content": system}, *user] if system else user
    options = {"tokenize": False, "add_generation_prompt": True}
    try:
        text = tokenizer.apply_chat_template(turns, **options)
    except Exception:
        # Templates refuse a role by raising an error of their own making.
        if not system:
            raise
        merged = [{"role": "user", "content": f"{system}\n\n{question}"}]
        text = tokenizer.apply_chat_template(merged, **options)
    return f"{text}{begin}"


def token_nll(model: Any, tokenizer: Any, texts: Sequence[str]) -> list[tuple[float, int]]:
    """Negative log-likelihood of running texts, for perplexity.

    A text longer than `WINDOW` tokens (or than the model's context) is scored in pieces of that length, each without
    the ones before it; the first token of a piece is given and not scored.

    Returns:
        Per text: the summed negative log-likelihood in nats, and how many tokens it is summed over (0 for a text of
        one token or none). Perplexity is exp(sum of the first / sum of the second).
    """
    import torch

    from editors.workers import side_by_side

    size = min(WINDOW, getattr(model.config, "max_position_embeddings", None) or WINDOW)

    def read(text: str) -> tuple[float, int]:
        ids = tokenizer(text, verbose=False)["input_ids"]
        total, count = 0.0, 0
        for start in range(0, len(ids), size):
            piece = torch.tensor([ids[start : start + size]], device=model.device)
            if piece.shape[1] > 1:
                with torch.inference_mode():
                    logits = model(input_ids=piece, use_cache=False).logits[0, :-1].float()
                    total += torch.nn.functional.cross_entropy(logits, piece[0, 1:], reduction="sum").item()
                count += piece.shape[1] - 1
        return total, count

    results: list[tuple[float, int]] = []
    with (
        track("reading running text", total=len(texts)) as advance,
        side_by_side(model.device, len(texts)) as run,
    ):
        for found in run(read, texts):
            results.append(found)
            advance(1)
    return results


def _end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """Tokens that end a text or a turn: what the model's generation config says, and every special token."""
    said = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    listed = said if isinstance(said, list | tuple) else [said]
    return frozenset(token for token in (*listed, *tokenizer.all_special_ids) if token is not None)


def _encode(model: Any, tokenizer: Any, prompt: str, room: int) -> list[int]:
    """Token ids of a prompt; a text that writes out its own start token gets no second one.

    Raises:
        InputError: no token, or more than the context holds.
    """
    start = tokenizer.bos_token
    marked = bool(start) and prompt.startswith(start)
    ids: list[int] = tokenizer(prompt, add_special_tokens=not marked, verbose=False)["input_ids"]
    if not prompt.strip() or not ids:
        raise InputError("a prompt with text in it", repr(prompt), "ask something")
    limit = getattr(model.config, "max_position_embeddings", None)
    if limit is not None and len(ids) + room > limit:
        raise InputError(f"a prompt of at most {limit - room} tokens", f"{len(ids)}", "shorten it")
    return ids


def _batches(rows: Sequence[_Row], size: int) -> Iterator[list[_Row]]:
    """Rows of about one length in tokens, `size` at a time, the shortest first."""
    batch: list[_Row] = []
    tokens = 0
    for row in sorted(rows, key=lambda row: len(row.ids)):
        tokens += len(row.ids)
        padded = len(row.ids) * (len(batch) + 1)
        if batch and (len(batch) == size or padded > max(PADDING * tokens, tokens + SLACK)):
            yield batch
            batch, tokens = [], len(row.ids)
        batch.append(row)
    if batch:
        yield batch


def _padded(batch: Sequence[_Row], device: Any) -> tuple[Any, Any]:
    """Tokens of a batch, and where they are tokens rather than padding, each (rows, tokens), padded on the left."""
    import torch

    longest = max(len(row.ids) for row in batch)
    ids = [[0] * (longest - len(row.ids)) + row.ids for row in batch]
    seen = [[0] * (longest - len(row.ids)) + [1] * len(row.ids) for row in batch]
    return torch.tensor(ids, device=device), torch.tensor(seen, device=device)


def _decode(
    model: Any, tokenizer: Any, batch: Sequence[_Row], ends: frozenset[int], room: int, enough: Enough | None
) -> None:
    """Let the rows of one batch speak until each has ended or is enough; fills their `said` and `logs`."""
    import torch

    options = {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}
    active = list(batch)
    step, seen = _padded(active, model.device)
    places = (seen.cumsum(-1) - 1).clamp(min=0)  # (rows, tokens)
    cache = None
    for _ in range(room):
        inputs = {"input_ids": step, "attention_mask": seen, "position_ids": places}
        out = model(**inputs, past_key_values=cache, use_cache=True, **options)
        cache = out.past_key_values
        scores = out.logits[:, -1].float()  # (rows, vocabulary)
        best = scores.argmax(dim=-1)
        logs = scores.gather(1, best[:, None]).squeeze(1) - scores.logsumexp(dim=-1)
        stay: list[int] = []
        for index, (token, log) in enumerate(zip(best.tolist(), logs.tolist(), strict=True)):
            row = active[index]
            if token in ends:
                continue
            row.said.append(token)
            row.logs.append(log)
            text = tokenizer.decode(row.said)
            if natural_stop(text) is None and not (enough is not None and enough(row.prompt, text)):
                stay.append(index)
        if not stay:
            return
        if len(stay) < len(active):
            keep = torch.tensor(stay, device=model.device)
            cache.batch_select_indices(keep)
            best, active = best[keep], [active[index] for index in stay]
            seen, places = seen[keep], places[keep]
        step, places = best[:, None], places[:, -1:] + 1
        seen = torch.cat([seen, torch.ones_like(step)], dim=1)


def _finish(tokenizer: Any, row: _Row) -> Generation:
    """Cut a row at its natural stop and average over the tokens that the answer takes up."""
    text = tokenizer.decode(row.said)
    answer = answer_of(text)
    if not answer:
        return Generation("", 0.0, 0)
    end = text.find(answer) + len(answer)
    tokens = 1
    while tokens < len(row.said) and len(tokenizer.decode(row.said[:tokens])) < end:
        tokens += 1
    return Generation(answer, math.exp(sum(row.logs[:tokens]) / tokens), tokens)
