from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pipelines.answering.indexing
from editors.load import LoadedModel
from editors.rag.editor import ContextDelta, RagEditor
from pipelines.bench.context import fitted_shape, looked_up, system
from pipelines.bench.moments import CATALOGUE
from pipelines.bench.rows import BenchRow
from pipelines.bench.score import answers, probes_of
from registry.catalogue import Catalogue
from registry.home import Home

ROWS = (
    BenchRow("Burundi", "capital", "The capital of Burundi is the city of", "Gitega"),
    BenchRow("Bortka", "made_in", "Bortka is a machine that was made in", "Graz"),
)


class Letters:
    """Counts letters: enough to tell texts apart, blind to what they mean."""

    digest = "letters"

    def embed(self, texts: Sequence[str], *, query: bool = False) -> Any:
        counts = np.array([[text.count(letter) for letter in "abcdefghijklmnopqrstuvwxyz "] for text in texts])
        return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-9)


@pytest.fixture
def delta() -> ContextDelta:
    return RagEditor().fit(None, None, [row.request for row in ROWS])


def test_written_facts_are_found_by_their_prompts_and_nothing_else_is(delta: ContextDelta) -> None:
    asked = [row.prompt for row in ROWS] + ["The capital of Japan is the city of", "The currency of Burundi is the"]
    assert looked_up(asked, [delta], None) == ["Gitega", "Graz", None, None]
    assert looked_up(asked, [delta.without(delta.fact_ids[:1])], None) == [None, "Graz", None, None]
    assert looked_up(asked, [], None) == [None] * 4


def test_test_phrasings_are_not_among_the_templates() -> None:
    relation = Catalogue.read(CATALOGUE).relation("capital")
    templates = fitted_shape(relation).templates
    assert not {relation.question, *relation.held_out} & set(templates)
    assert {relation.prompt, *relation.paraphrases} == set(templates)


def test_the_model_answers_what_no_written_fact_does(
    delta: ContextDelta, tiny_llama: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipelines.answering.indexing, "encoder_of", lambda _: Letters())
    other = BenchRow("France", "capital", "The capital of France is the city of", "Lyon")
    probes = probes_of([*ROWS, other])
    said = system(tiny_llama, Home.at(tmp_path))(probes, [delta])
    assert said[:2] == ["Gitega", "Graz"]
    assert said[2:] == answers(tiny_llama.model, tiny_llama.tokenizer, probes[2:])
