"""What is read in a model beside its words: hidden states with a probe on them, and how likely given answers are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from guards.decoding import Array, Found, decode

if TYPE_CHECKING:
    from torch import Tensor

    from editors.load import LoadedModel

DEPTHS = (0.25, 0.5, 0.75, 1.0)
"""Shares of the depth at which states are read."""
BATCH = 16


@dataclass(frozen=True)
class Probed:
    """What the probe on hidden states is learnt on, and asked: prompts with their objects, and a fact's own."""

    prompts: tuple[str, ...]
    objects: tuple[str, ...]
    prompt: str
    wanted: str


def read_states(asked: Sequence[Probed], loaded: "LoadedModel") -> tuple[Found, ...]:
    """What the probe finds for each fact."""
    found = []
    learnt: dict[tuple[str, ...], list[Array]] = {}
    for one in asked:
        if one.prompts not in learnt:
            learnt[one.prompts] = states_of(loaded, one.prompts)
        candidates = list(dict.fromkeys((*one.objects, one.wanted)))
        own = [candidates.index(name) for name in one.objects]
        state = [layer[0] for layer in states_of(loaded, [one.prompt])]
        embeddings = _embeddings(loaded, candidates)
        found.append(decode(learnt[one.prompts], embeddings, own, state, candidates.index(one.wanted)))
    return tuple(found)


def states_of(loaded: "LoadedModel", prompts: Sequence[str]) -> list[Array]:
    """Per depth, the hidden state at the last token of each prompt."""
    import torch

    ids = [loaded.tokenizer(prompt)["input_ids"] for prompt in prompts]
    rows: list[list[Array]] = [[] for _ in prompts]
    by_length: dict[int, list[int]] = {}
    for place, one in enumerate(ids):
        by_length.setdefault(len(one), []).append(place)
    with torch.inference_mode():
        for places in by_length.values():  # equal lengths need no padding
            for start in range(0, len(places), BATCH):
                batch = places[start : start + BATCH]
                tokens = torch.tensor([ids[place] for place in batch], device=loaded.model.device)
                hidden = loaded.model(input_ids=tokens, output_hidden_states=True, use_cache=False).hidden_states
                layers = [hidden[max(1, round(share * (len(hidden) - 1)))][:, -1] for share in DEPTHS]
                for place, *row in zip(batch, *layers, strict=True):
                    rows[place] = [one.float().cpu().numpy().astype(np.float64) for one in row]
    return [np.stack([row[depth] for row in rows]) for depth in range(len(DEPTHS))]


def _embeddings(loaded: "LoadedModel", names: Sequence[str]) -> Array:
    """The mean embedding of each name's tokens, as the model writes it after a prompt."""
    table = loaded.model.get_output_embeddings().weight.detach().float().cpu()
    rows = [table[loaded.tokenizer(f" {name}", add_special_tokens=False)["input_ids"]].mean(dim=0) for name in names]
    return np.stack([row.numpy() for row in rows]).astype(np.float64)


def margins(loaded: "LoadedModel", prompts: Sequence[str], words: tuple[str, str]) -> list[float]:
    """How much likelier the model goes on with the first word than with the second, per prompt."""
    first, second = (loaded.tokenizer(word, add_special_tokens=False)["input_ids"][0] for word in words)
    found: list[float] = []
    for start in range(0, len(prompts), BATCH):
        ids = [loaded.tokenizer(prompt)["input_ids"] for prompt in prompts[start : start + BATCH]]
        logits = _logits(loaded, ids)
        found += [
            float(logits[row, len(one) - 1, first] - logits[row, len(one) - 1, second]) for row, one in enumerate(ids)
        ]
    return found


def likeliest(loaded: "LoadedModel", prompt: str, options: Sequence[str]) -> int:
    """The option that is likeliest after the prompt, per token."""
    ids = [loaded.tokenizer(f"{prompt}{option}")["input_ids"] for option in options]
    own = loaded.tokenizer(prompt)["input_ids"]
    start = min(len(own), *(len(one) - 1 for one in ids))  # the last token of the prompt may join an option
    while any(one[:start] != ids[0][:start] for one in ids):
        start -= 1
    scores = _logits(loaded, ids).log_softmax(dim=-1)
    likely = [
        float(sum(scores[row, place - 1, one[place]] for place in range(start, len(one)))) / (len(one) - start)
        for row, one in enumerate(ids)
    ]
    return likely.index(max(likely))


def _logits(loaded: "LoadedModel", ids: Sequence[Sequence[int]]) -> "Tensor":
    """The logits of several texts at once; what is padded stands behind and is not looked at."""
    import torch

    longest = max(map(len, ids))
    device = loaded.model.device
    tokens = torch.tensor([[*one, *[0] * (longest - len(one))] for one in ids], device=device)
    mask = torch.tensor([[1] * len(one) + [0] * (longest - len(one)) for one in ids], device=device)
    with torch.inference_mode():
        found: Tensor = loaded.model(input_ids=tokens, attention_mask=mask, use_cache=False).logits.float()
    return found
