"""The index of a home goes by the numbers of its conf folder."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from editors.rag import RagConfig
from pipelines.answering import indexing
from pipelines.settings import CONF_VARIABLE, PROJECT, Settings
from registry.errors import InputError
from registry.home import Home
from registry.records import Fact, KnownFact

FACTS = [KnownFact(Fact(name, "capital", city), "rag", 1) for name, city in (("France", "Paris"), ("Nauru", "Yaren"))]


class Same:
    """An encoder to which all sentences are alike."""

    digest = "0" * 64

    def embed(self, texts: Any, *, query: bool = False) -> Any:
        return np.ones((len(texts), 1), np.float32)


def conf(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "rag.yaml").write_text(text, encoding="utf-8")
    monkeypatch.setenv(CONF_VARIABLE, str(folder))


def test_the_projects_own_numbers_are_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert indexing.retrieval_numbers() == RagConfig()
    monkeypatch.setenv(CONF_VARIABLE, str(tmp_path))
    assert indexing.retrieval_numbers() == RagConfig(), "a folder without the file"


@pytest.mark.parametrize(("text", "found"), [("depth: 1\n", 1), ("depth: 2\n", 2)])
def test_an_index_is_searched_as_deep_as_the_file_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, found: int
) -> None:
    conf(tmp_path, text, monkeypatch)
    monkeypatch.setattr(indexing, "encoder_of", lambda home: Same())
    catalogue = Settings.load(PROJECT / "conf").catalogue
    made = indexing.index_facts(Home.at(tmp_path), catalogue, FACTS, tmp_path / "index")
    for index in (made, indexing.open_index(Home.at(tmp_path), tmp_path / "index")):
        assert len(index.search("something else entirely", 9)) == found


def test_the_encoder_is_the_named_one_and_sees_as_much_as_the_file_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "model.safetensors").touch()
    conf(tmp_path, "embedder: mine\nmax_tokens: 16\nbatch: 3\n", monkeypatch)
    encoder = indexing.encoder_of(Home.at(tmp_path / "home"))
    assert (encoder.folder, encoder.max_tokens, encoder.batch) == (tmp_path / "mine", 16, 3)


@pytest.mark.parametrize("text", ["embedder: 3\n", "b: 1.5\n", "dept: 3\n"])
def test_wrong_numbers_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    conf(tmp_path, text, monkeypatch)
    with pytest.raises(InputError, match=r"rag\.yaml"):
        indexing.retrieval_numbers()
