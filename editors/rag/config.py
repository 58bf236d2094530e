"""The numbers of the retrieval memory; `conf/rag.yaml` holds the same ones for people to change."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from editors.config import read_config
from registry.ranges import Amount, Share, Some


@dataclass(frozen=True)
class RagConfig:
    """How sentences are indexed and found.

    Attributes:
        embedder: folder of the sentence encoder; None finds the installed package.
        rrf_k: constant of reciprocal rank fusion (60 in Cormack et al., SIGIR 2009).
        depth: how many sentences each of the two searches hands to the fusion.
        k1: saturation of a word's frequency in BM25.
        b: weight of a sentence's length in BM25.
        batch: sentences encoded at once.
        max_tokens: longest sentence in tokens; what is beyond is not seen by the encoder.
    """

    embedder: Path | None = None
    rrf_k: Some = 60
    depth: Some = 50
    k1: Amount = 1.2
    b: Share = 0.75
    batch: Some = 8
    max_tokens: Some = 128

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the numbers from YAML; unknown keys are refused. `embedder` is looked for from the file's folder on."""
        return read_config(cls, path, folder="embedder")
