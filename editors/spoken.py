"""What a model says along a row, asked as generation asks: first the prompt, then what was said so far, on its cache.

Side memories decide at the prompt. A single call over prompt and object together would let them see the object when
they decide; here they do not.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from editors.rows import Group, Row
from editors.targets import TargetConfig


@dataclass(frozen=True)
class Spoken:
    """How a row's object stands with the model as it is.

    Attributes:
        nll: negative log-likelihood per token of the object.
        sure: smallest probability among the object's tokens, 0 where one of them is not the most likely next.
        end: probability of the full stop after it; 1 where the row has none.
    """

    nll: float
    sure: float
    end: float


def spoken(model: Any, row: Row) -> Spoken:
    """Ask the model, with whatever is switched on in it; `row` is an answer row."""
    device = model.get_input_embeddings().weight.device
    split = row.scored[0] + 1
    with torch.no_grad():
        out = model(torch.tensor([row.tokens[:split]], device=device), use_cache=True)
        logits = [out.logits[0, -1:]]
        for token in row.tokens[split:]:
            step = torch.tensor([[token]], device=device)
            out = model(step, past_key_values=out.past_key_values, use_cache=True)
            logits.append(out.logits[0, -1:])
    logp = torch.cat(logits).to(torch.float64).log_softmax(-1)
    gold = logp.gather(1, torch.tensor(row.gold, device=device)[:, None])[:, 0]
    own = gold[: row.object_length]
    first = bool((own >= logp[: row.object_length].max(-1).values).all())
    end = float(gold[-1].exp()) if row.ended else 1.0
    return Spoken(-float(own.mean()), float(own.min().exp()) if first else 0.0, end)


def plain_nll(model: Any, groups: Sequence[Group]) -> dict[str, float]:
    """Negative log-likelihood per token of each fact's object after its own prompt, by fact id."""
    return {row.fact_id: spoken(model, row).nll for group in groups for row in group.rows if row.plain}


def said_already(model: Any, group: Group, config: TargetConfig) -> bool:
    """Whether the model, with what is on in it, gives the group's objects in every context, as sure as is asked."""
    for row in group.rows:
        if row.kind == "answer":
            found, wanted = spoken(model, row), config.wanted(row)
            enough = found.sure > 0 and found.sure >= wanted and found.end >= config.end_probability * wanted
            if not (math.isfinite(found.nll) and enough):
                return False
    return True
