"""Free generation: greedy, stopped where the answer ends by itself.

The answers are those of `model.generate` with greedy decoding, cut at their natural stop; how they come about is said
in `editors.decoding`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from editors.decoding import Row, Rules, decode, end_tokens
from registry.errors import InputError
from registry.progress import track
from registry.text import answer_of, natural_stop

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
    rows = [Row(_encode(model, tokenizer, prompt, max_new_tokens), prompt) for prompt in dict.fromkeys(prompts)]

    def over(row: Row) -> bool:
        text = tokenizer.decode(row.said)
        return natural_stop(text) is not None or (enough is not None and enough(row.prompt, text))

    decode(model, rows, Rules(max_new_tokens, ends=end_tokens(model, tokenizer), over=over))
    done = {row.prompt: _finish(tokenizer, row) for row in rows}
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

    from editors.workers import go_on, side_by_side

    size = min(WINDOW, getattr(model.config, "max_position_embeddings", None) or WINDOW)

    def read(text: str) -> tuple[float, int]:
        ids = tokenizer(text, verbose=False)["input_ids"]
        total, count = 0.0, 0
        for start in range(0, len(ids), size):
            go_on()
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


def _finish(tokenizer: Any, row: Row) -> Generation:
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
