"""The model words the answer, and its words are held against the object."""

from collections.abc import Sequence
from typing import Any

import pytest

from editors.generate import Generation
from editors.load import LoadedModel
from pipelines.answering.reader import FORMS, WORKED, Example, ReaderPolicy, Reading, checked, read
from registry.errors import UnknownNameError

CASE = Example("The capital of France is Paris.", "What is the capital of France?", "The capital of France is", "Paris")
READING = Reading(CASE, ("Paris", "City of Paris"), WORKED)


def test_words_that_hold_the_object_are_the_answer() -> None:
    words = checked(READING, "the City of Paris, in the north", 0.9)
    assert (words.text, words.agrees, words.certainty) == ("the City of Paris, in the north", True, 0.9)


@pytest.mark.parametrize("said", ["Lyon", "", "Parisian", "I do not know"])
def test_other_words_are_replaced_and_counted(said: str) -> None:
    words = checked(READING, said, 0.9)
    assert (words.text, words.said, words.agrees) == ("Paris", said, False)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_shows_the_fact_once_and_never_the_answer_alone(form: str, tiny_llama: LoadedModel) -> None:
    prompt = FORMS[form](tiny_llama.tokenizer, READING)
    assert prompt.count(CASE.statement) == 1
    assert prompt.replace(CASE.statement, "").count("Paris") == 0
    assert prompt == prompt.rstrip()


def test_all_are_asked_in_one_batch(tiny_llama: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[Sequence[str]] = []

    def scripted(model: Any, tokenizer: Any, prompts: Sequence[str], *, max_new_tokens: int) -> list[Generation]:
        batches.append(prompts)
        return [Generation("Paris" if number == 0 else "Lyon", 0.5, max_new_tokens) for number in range(len(prompts))]

    monkeypatch.setattr("editors.generate.generate", scripted)
    words = read(tiny_llama, [READING, READING], ReaderPolicy())
    assert [one.agrees for one in words] == [True, False]
    assert [len(batch) for batch in batches] == [2]
    assert read(tiny_llama, []) == []


def test_a_random_model_does_not_agree(tiny_llama: LoadedModel) -> None:
    words = read(tiny_llama, [READING])
    assert [(one.agrees, one.text) for one in words] == [(False, "Paris")]


def test_an_unknown_form_is_named(tiny_llama: LoadedModel) -> None:
    with pytest.raises(UnknownNameError, match="reader form"):
        read(tiny_llama, [READING], ReaderPolicy(form="aloud"))
