"""Hidden states of prompts, and what the probe reads in them about what was forgotten."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from guards.decoding import Array, Found, decode

if TYPE_CHECKING:
    from editors.load import LoadedModel
    from pipelines.forget_exam import Probed

DEPTHS = (0.25, 0.5, 0.75, 1.0)
"""Shares of the depth at which states are read."""
BATCH = 16


def read_states(asked: Sequence["Probed"], loaded: "LoadedModel") -> tuple[Found, ...]:
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
