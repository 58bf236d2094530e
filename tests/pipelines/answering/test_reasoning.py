from types import SimpleNamespace
from typing import Any

import pytest

from guards.paths import TextReader
from pipelines.answering.reasoning import ModelReader, chain_of

QUERY, TEXT = "Who led Atlantis?", "Mara Quill led Atlantis from Nowhere."


def test_a_models_chain_is_read_and_its_ends_are_the_texts() -> None:
    path = chain_of(" Atlantis -> led by -> Mara Quill -> from -> Nowhere\n\nQuestion:", QUERY, TEXT)
    assert path is not None
    assert path.words == "Atlantis \u2192 led by \u2192 Mara Quill \u2192 from \u2192 Nowhere"
    assert path.ends == {"mara quill", "nowhere"}


@pytest.mark.parametrize(
    "said", ["", "I do not know", "Atlantis -> led by", "Atlantis -> led by -> King Otto", "a -> -> b"]
)
def test_other_words_and_invented_entities_are_no_chain(said: str) -> None:
    assert chain_of(said, QUERY, TEXT) is None


def test_the_rules_read_what_the_model_makes_no_chain_of(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def generate(model: Any, tokenizer: Any, prompts: list[str], max_new_tokens: int) -> list[Any]:
        asked.extend(prompts)
        return [SimpleNamespace(text="Otto -> led -> everything")]

    monkeypatch.setattr("editors.generate.generate", generate)
    reader = ModelReader(SimpleNamespace(model=None, tokenizer=None))  # type: ignore[arg-type]
    assert reader(QUERY, TEXT) == TextReader()(QUERY, TEXT) == reader(QUERY, TEXT)
    assert len(asked) == 1
    assert asked[0].endswith(f"Question: {QUERY}\nText: {TEXT}\nChain:")
