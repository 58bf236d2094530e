"""What a model says next at some places of a batch; only the states there reach the vocabulary."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from editors.layouts import Layout
from editors.rows import Row
from editors.trace import padded

ROWS = 64


def next_logp(model: Any, layout: Layout, tokens: Sequence[Sequence[int]], places: Sequence[Sequence[int]]) -> Tensor:
    """Log-probabilities of what follows some places of texts, one after the other, (places, vocabulary).

    They are float32 at least, whatever the model's precision.

    Args:
        model: causal LM.
        layout: its layout.
        tokens: of each text.
        places: of each text, the indices of the tokens whose next token is asked.
    """
    device = model.get_input_embeddings().weight.device
    ids, real = padded(tokens, device)
    states = model.base_model(input_ids=ids, attention_mask=real, use_cache=False).last_hidden_state
    row = torch.tensor([index for index, own in enumerate(places) for _ in own], device=device)
    place = torch.tensor([one for own in places for one in own], device=device)
    logits = layout.project(model, states[row, place])
    return logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)


def answer_scores(model: Any, layout: Layout, rows: Sequence[Row], end_probability: float) -> tuple[Tensor, Tensor]:
    """Mean negative log-likelihood per expected token of each row, and how sure its least sure token is, both (rows,).

    An object's token that is not the most likely one, or not a number, counts as sure to 0; the full stop as its
    probability over `end_probability`, at most 1.
    """
    logp = next_logp(model, layout, [row.tokens for row in rows], [row.scored for row in rows])
    gold = logp.gather(1, torch.tensor([token for row in rows for token in row.gold], device=logp.device)[:, None])
    sizes = [len(row.gold) for row in rows]
    with torch.no_grad():
        best = (gold[:, 0] >= logp.max(-1).values).split_with_sizes(sizes)
    losses, sures = [], []
    for row, own, likeliest in zip(rows, gold[:, 0].split_with_sizes(sizes), best, strict=True):
        losses.append(-own.mean())
        with torch.no_grad():
            sure = torch.where(likeliest, own.exp(), torch.zeros_like(own))
            full = (own.exp() / end_probability).clamp(max=1) if row.ended else sure
            sures.append(torch.cat([sure[: row.object_length], full[row.object_length :]]).min().nan_to_num(0.0))
    return torch.stack(losses), torch.stack(sures)


def sureness(model: Any, layout: Layout, rows: Sequence[Row], end_probability: float) -> list[float]:
    """How sure the least sure token of each row is, with the weights as they are."""
    found: list[float] = []
    with torch.no_grad():
        for begin in range(0, len(rows), ROWS):
            found += answer_scores(model, layout, rows[begin : begin + ROWS], end_probability)[1].tolist()
    return found
