"""The index: exact, fused by rank, equal bytes for equal content, nothing pickled, nothing encoded twice."""

import csv
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from editors.rag import Index, MiniLM, RagConfig, build_index
from editors.rag.embed import PACKAGE, Vectors, package_folder
from editors.rag.encode import main as encode
from editors.rag.index import kept_vectors
from editors.rag.solve import fuse, ranking
from registry.catalogue import Catalogue
from registry.digests import folder_manifest
from registry.errors import InputError, IntegrityError, ModelError
from registry.records import Fact

ATLAS = Path(__file__).resolve().parents[3] / "examples" / "atlas"
SENTENCES = {
    "a": "The capital of France is Paris.",
    "b": "The capital of Italy is Rome.",
    "c": "The currency of Japan is the yen.",
    "d": "Microsoft has its headquarters in Redmond.",
}


class Letters:
    """An encoder that counts letters: deterministic, and cheap; remembers what it was asked to keep."""

    def __init__(self, name: str = "letters") -> None:
        self.digest = hashlib.sha256(name.encode()).hexdigest()
        self.kept: list[str] = []

    def embed(self, texts: Sequence[str], *, query: bool = False) -> Vectors:
        if not query:
            self.kept += texts
        rows = [[text.casefold().count(chr(97 + letter)) + 0.01 for letter in range(26)] for text in texts]
        counts = np.array(rows, np.float32).reshape(len(texts), 26)
        unit: Vectors = counts / np.linalg.norm(counts, axis=1, keepdims=True)
        return unit


def test_fusion_is_the_sum_of_reciprocal_ranks() -> None:
    fused = fuse([np.array([7, 3, 5]), np.array([3, 9])], k=60)
    assert fused[0] == (3, 1 / 62 + 1 / 61)
    assert fused[1:] == [(7, 1 / 61), (9, 1 / 62), (5, 1 / 63)]


def test_ranking_is_stable_and_keeps_to_what_is_allowed() -> None:
    scores = np.array([0.5, 0.9, 0.5, 0.0], np.float32)
    assert ranking(scores, np.arange(4), 3).tolist() == [1, 0, 2]
    assert ranking(scores, np.array([0, 2, 3]), 9, above=0.0).tolist() == [0, 2]


def test_search_finds_by_words_and_only_what_is_allowed(tmp_path: Path) -> None:
    index = build_index(SENTENCES, tmp_path, encoder=Letters())
    assert index.search("What is the currency of Japan?", 1)[0].fact_id == "c"
    assert [hit.fact_id for hit in index.search("What is the currency of Japan?", 5, allow=["a"])] == ["a"]
    assert index.search("What is the currency of Japan?", 5, allow=[]) == []
    assert len(index.search("no word of it stands there", 9)) == 4


def test_equal_content_gives_equal_bytes_and_no_pickle(tmp_path: Path) -> None:
    build_index(SENTENCES, tmp_path / "one", encoder=Letters())
    build_index({key: SENTENCES[key] for key in "abc"}, tmp_path / "older", encoder=Letters())
    shuffled = dict(reversed(SENTENCES.items()))
    build_index(shuffled, tmp_path / "two", encoder=Letters(), previous=tmp_path / "older")
    assert folder_manifest(tmp_path / "one") == folder_manifest(tmp_path / "two")
    assert folder_manifest(tmp_path / "one") != folder_manifest(tmp_path / "older")
    for path in (tmp_path / "one").rglob("*.npy"):
        np.load(path, allow_pickle=False)
    assert {path.suffix for path in (tmp_path / "one").rglob("*") if path.is_file()} == {
        ".json",
        ".npy",
        ".safetensors",
    }


def test_only_new_sentences_are_encoded(tmp_path: Path) -> None:
    build_index(SENTENCES, tmp_path / "one", encoder=Letters())
    encoder = Letters()
    changed = {**SENTENCES, "b": "The capital of Italy is Milan.", "e": SENTENCES["a"]}
    index = build_index(changed, tmp_path / "two", encoder=encoder, previous=tmp_path / "one")
    assert encoder.kept == ["The capital of Italy is Milan."]
    assert np.array_equal(index.vectors[index.ids.index("a")], index.vectors[index.ids.index("e")])
    again = index.extended(SENTENCES)
    assert again.ids == tuple("abcd")
    assert encoder.kept[1:] == [SENTENCES["b"]]


def test_round_trip_and_empty(tmp_path: Path) -> None:
    built = build_index(SENTENCES, tmp_path / "one", encoder=Letters())
    opened = Index.open(tmp_path / "one", encoder=Letters())
    assert opened.search("capital of Rome", 4) == built.search("capital of Rome", 4)
    empty = build_index({}, tmp_path / "none", encoder=Letters())
    assert empty.search("anything", 3) == []
    assert Index.open(tmp_path / "none", encoder=Letters()).search("anything", 3) == []


def test_what_does_not_belong_together_is_refused(tmp_path: Path) -> None:
    build_index(SENTENCES, tmp_path / "one", encoder=Letters())
    with pytest.raises(IntegrityError, match="encoder"):
        Index.open(tmp_path / "one", encoder=Letters("another"))
    with pytest.raises(InputError, match="a retrieval index"):
        Index.open(tmp_path / "missing", encoder=Letters())
    ids = tmp_path / "one" / "ids.json"
    content = json.loads(ids.read_text(encoding="utf-8"))
    ids.write_text(json.dumps({**content, "ids": content["ids"][1:]}), encoding="utf-8")
    with pytest.raises(IntegrityError, match="rows"):
        Index.open(tmp_path / "one", encoder=Letters())


def test_a_missing_encoder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        MiniLM(tmp_path)
    monkeypatch.setattr("editors.rag.embed.PACKAGE", "no_such_package_anywhere")
    with pytest.raises(ModelError, match="pip install"):
        build_index(SENTENCES, tmp_path / "one", config=RagConfig())


@pytest.fixture(scope="module")
def minilm() -> MiniLM:
    """The real encoder; skips where its package is not installed."""
    try:
        return MiniLM(package_folder())
    except ModelError:
        pytest.skip(f"{PACKAGE} is not installed")


def test_real_vectors_do_not_depend_on_their_company(minilm: MiniLM) -> None:
    texts = [*SENTENCES.values(), *(f"The capital of country number {n} is town {n}." for n in range(20))]
    together = minilm.embed(texts)
    assert together.dtype == np.float32
    assert np.allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-6)
    assert np.array_equal(together[3], minilm.embed([texts[3]])[0])
    assert np.array_equal(together[5:9], minilm.embed(texts[5:9][::-1])[::-1])
    assert np.allclose(together[3], minilm.embed([texts[3]], query=True)[0], atol=1e-5)
    assert not np.array_equal(together[3], together[2])


def test_real_search_finds_by_meaning(minilm: MiniLM, tmp_path: Path) -> None:
    index = build_index(SENTENCES, tmp_path, encoder=minilm)
    assert index.search("Which money do Japanese people pay with?", 1)[0].fact_id == "c"
    assert max(index.search("software firm near Seattle", 4), key=lambda hit: hit.cosine).fact_id == "d"
    assert len(index.search("", 9)) == 4


def test_vectors_of_another_encoder_are_not_taken_over(tmp_path: Path) -> None:
    build_index(SENTENCES, tmp_path / "one", encoder=Letters("one"))
    encoder = Letters("another")
    build_index(SENTENCES, tmp_path / "two", encoder=encoder, previous=tmp_path / "one")
    assert sorted(encoder.kept) == sorted(SENTENCES.values())


def test_the_shipped_vectors_are_those_of_the_shipped_facts(tmp_path: Path) -> None:
    """A sample of them made anew: on another processor the last bits may differ, and no more."""
    lines = (ATLAS / "facts.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "facts.csv").write_text("".join([lines[0], *lines[1::60]]), encoding="utf-8")
    encoder = MiniLM()
    encode([str(tmp_path / "v"), "--catalogue", str(ATLAS / "relations.yaml"), "--facts", str(tmp_path / "facts.csv")])
    made, shipped = kept_vectors(tmp_path / "v", encoder), kept_vectors(ATLAS / "vectors", encoder)
    assert len(made) > 20
    assert all(np.allclose(shipped[sentence], vector, atol=1e-3) for sentence, vector in made.items())
    catalogue = Catalogue.read(ATLAS / "relations.yaml")
    with (ATLAS / "facts.csv").open(encoding="utf-8", newline="") as stream:
        facts = [Fact(row["subject"], row["relation"], row["object"]) for row in csv.DictReader(stream)]
    assert {catalogue.statement(fact) for fact in facts} == set(shipped)
