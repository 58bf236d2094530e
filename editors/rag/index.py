"""The index: facts as sentences, found by BM25 and by meaning, both exact, fused by rank.

A folder holds `ids.json` (ids and sentences in order of id), `embeddings.safetensors` (float16, one row a sentence)
and `bm25/` (NumPy arrays without pickle, and JSON). Equal sentences give equal bytes, whatever was in `previous`.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from editors.rag.config import RagConfig
from editors.rag.embed import Encoder, MiniLM, Vectors
from editors.rag.solve import Rows, fuse, ranking, words
from registry.digests import canonical_json
from registry.errors import InputError, IntegrityError

IDS, VECTORS, LEXICAL = "ids.json", "embeddings.safetensors", "bm25"


@dataclass(frozen=True)
class Hit:
    """One sentence found.

    Attributes:
        fact_id: the fact that it states.
        score: fused score; higher is better, comparable within one search only.
        sentence: the sentence itself.
        cosine: similarity in meaning to the query, -1 to 1.
    """

    fact_id: str
    score: float
    sentence: str
    cosine: float


def default_encoder(config: RagConfig) -> MiniLM:
    """The encoder that `config` names.

    Raises:
        ModelError: it is not there.
    """
    return MiniLM(config.embedder, batch=config.batch, max_tokens=config.max_tokens)


def build_index(
    statements: Mapping[str, str],
    folder: Path,
    *,
    previous: Path | None = None,
    encoder: Encoder | None = None,
    config: RagConfig | None = None,
) -> "Index":
    """Write the index of `statements` (sentence by fact id) into `folder` and return it.

    Args:
        statements: what to index; may be empty.
        folder: where to write; made when missing.
        previous: folder of an older index, whose vectors of unchanged sentences are taken over where the same encoder
            made them.
        encoder: makes the vectors; the one that the config names by default.
        config: the numbers.

    Raises:
        ModelError: the encoder is not there.
    """
    config = config or RagConfig()
    encoder = encoder or default_encoder(config)
    index = Index.of(statements, encoder, config, kept_vectors(previous, encoder) if previous is not None else {})
    index.save(folder)
    return index


def kept_vectors(folder: Path, encoder: Encoder) -> dict[str, Any]:
    """The vectors (float32, shape (dimension,)) of the index in `folder` by sentence; none if another encoder made it.

    Raises:
        InputError: the folder holds no index.
        IntegrityError: its parts do not belong together.
    """
    content, vectors = _read(folder)
    return dict(zip(content["sentences"], vectors, strict=True)) if content["encoder"] == encoder.digest else {}


@dataclass(frozen=True)
class Index:
    """Sentences that can be searched; never changed, `extended` gives another one.

    Attributes:
        ids: fact ids, ascending.
        sentences: one per id.
        vectors: shape (n, dimension), float32 with the precision of float16, in which they are kept; rows of length 1.
        lexical: the BM25 model, None where there is no word to find.
        encoder: makes the vector of a query.
        encoder_digest: of the encoder that made `vectors`.
        config: the numbers.
    """

    ids: tuple[str, ...]
    sentences: tuple[str, ...]
    vectors: Vectors
    lexical: Any
    encoder: Encoder
    encoder_digest: str
    config: RagConfig

    @classmethod
    def of(cls, statements: Mapping[str, str], encoder: Encoder, config: RagConfig, kept: Mapping[str, Any]) -> Self:
        """The index of `statements` in memory; vectors of sentences in `kept` are taken from there."""
        ids = tuple(sorted(statements))
        sentences = tuple(statements[fact_id] for fact_id in ids)
        new = [sentence for sentence in dict.fromkeys(sentences) if sentence not in kept]
        made = dict(zip(new, encoder.embed(new), strict=True)) if new else {}
        rows = [kept[sentence] if sentence in kept else made[sentence] for sentence in sentences]
        vectors = np.stack(rows).astype(np.float16).astype(np.float32) if rows else np.zeros((0, 1), np.float32)
        return cls(ids, sentences, vectors, _lexical(sentences, config), encoder, encoder.digest, config)

    @classmethod
    def open(cls, folder: Path, *, encoder: Encoder | None = None, config: RagConfig | None = None) -> Self:
        """Read an index that `build_index` wrote.

        Raises:
            InputError: the folder holds none.
            IntegrityError: its parts do not belong together, or another encoder made its vectors.
        """
        config = config or RagConfig()
        content, vectors = _read(folder)
        encoder = encoder or default_encoder(config)
        if content["encoder"] != encoder.digest:
            raise IntegrityError(f"encoder of the index {folder.name}", content["encoder"], encoder.digest)
        sentences = tuple(content["sentences"])
        lexical = _read_lexical(folder / LEXICAL) if any(map(words, sentences)) else None
        return cls(tuple(content["ids"]), sentences, vectors, lexical, encoder, content["encoder"], config)

    def save(self, folder: Path) -> None:
        """Write the three parts into `folder`; equal content gives equal bytes."""
        self.save_vectors(folder)
        if self.lexical is not None:
            self.lexical.save(folder / LEXICAL, allow_pickle=False, show_progress=False)

    def save_vectors(self, folder: Path) -> None:
        """Write the sentences and their vectors alone: what `kept_vectors` reads."""
        from safetensors.numpy import save_file

        folder.mkdir(parents=True, exist_ok=True)
        content = {"ids": self.ids, "sentences": self.sentences, "encoder": self.encoder_digest}
        (folder / IDS).write_bytes(canonical_json(content))
        save_file({"embeddings": np.ascontiguousarray(self.vectors.astype(np.float16))}, folder / VECTORS)

    def extended(self, statements: Mapping[str, str]) -> Self:
        """The index of exactly `statements`, in memory; only sentences that this one lacks are encoded."""
        kept = (
            dict(zip(self.sentences, self.vectors, strict=True)) if self.encoder_digest == self.encoder.digest else {}
        )
        return type(self).of(statements, self.encoder, self.config, kept)

    def search(self, query: str, k: int, *, allow: Collection[str] | None = None) -> list[Hit]:
        """The `k` best sentences for `query`, best first; `allow` names the only facts that may be found."""
        return self.search_many([query], k, allow=allow)[0]

    def search_many(self, queries: Sequence[str], k: int, *, allow: Collection[str] | None = None) -> list[list[Hit]]:
        """`search` for several queries, which are encoded together."""
        allowed = self._rows(allow)
        if not len(allowed) or not queries or k < 1:
            return [[] for _ in queries]
        cosines = self.encoder.embed(queries, query=True) @ self.vectors.T  # (queries, n)
        return [self._fused(query, row, allowed, k) for query, row in zip(queries, cosines, strict=True)]

    def _rows(self, allow: Collection[str] | None) -> Rows:
        """Rows of the facts in `allow`, ascending; all rows for None."""
        if allow is None:
            return np.arange(len(self.ids))
        wanted = set(allow)
        return np.array([row for row, fact_id in enumerate(self.ids) if fact_id in wanted], dtype=np.int64)

    def _fused(self, query: str, cosines: Any, allowed: Rows, k: int) -> list[Hit]:
        """Both rankings of one query, fused."""
        rankings = [ranking(cosines, allowed, self.config.depth)]
        if self.lexical is not None:
            known = [word for word in words(query) if word in self.lexical.vocab_dict]
            scores = self.lexical.get_scores(known) if known else np.zeros(len(self.ids), np.float32)
            rankings.append(ranking(scores, allowed, self.config.depth, above=0.0))
        return [
            Hit(self.ids[row], score, self.sentences[row], float(cosines[row]))
            for row, score in fuse(rankings, self.config.rrf_k)[:k]
        ]


def _read(folder: Path) -> tuple[Mapping[str, Any], Vectors]:
    """What `ids.json` holds, and the vectors, shape (n, dimension), float32.

    Raises:
        InputError: the folder holds no index.
        IntegrityError: its parts do not belong together.
    """
    from safetensors.numpy import load_file

    if not (folder / IDS).is_file() or not (folder / VECTORS).is_file():
        raise InputError(f"a retrieval index ({IDS}, {VECTORS})", str(folder), "build it first")
    content = json.loads((folder / IDS).read_text(encoding="utf-8"))
    vectors = load_file(folder / VECTORS)["embeddings"].astype(np.float32)
    if len(vectors) != len(content["ids"]) or len(content["sentences"]) != len(content["ids"]):
        raise IntegrityError(f"rows of the index {folder.name}", str(len(content["ids"])), str(len(vectors)))
    return content, vectors


def _lexical(sentences: Sequence[str], config: RagConfig) -> Any:
    """BM25 over `sentences`, its vocabulary in alphabetical order; None when they hold no word."""
    from bm25s import BM25

    split = [words(sentence) for sentence in sentences]
    vocabulary = {word: number for number, word in enumerate(sorted({word for row in split for word in row}))}
    if not vocabulary:
        return None
    model = BM25(k1=config.k1, b=config.b)
    model.index(([[vocabulary[word] for word in row] for row in split], vocabulary), show_progress=False)
    return model


def _read_lexical(folder: Path) -> Any:
    """BM25 from its arrays; pickled ones are refused by NumPy."""
    from bm25s import BM25

    return BM25.load(folder, allow_pickle=False, show_progress=False)
