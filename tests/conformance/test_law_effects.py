"""Laws of what a fit says about each fact: nothing that failed or moved nothing is called written."""

from dataclasses import replace
from typing import Any

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import PreTrainedTokenizerFast

from editors import get_editor
from registry.errors import EditError, ModelError
from registry.records import EditRequest, Fact

WORDS = ("The", "So", "the", "capital", "of", "Italy", "Chad", "Rome", "is", "a", ".")


def test_a_fact_whose_prompt_lacks_its_subject_is_failed_and_the_others_go_on(case: Any) -> None:
    bad = EditRequest(Fact("Oslo", "capital", "Rome"), "ADD", "no such subject here", ("Rome",))
    delta = case.fit([case.asks()[0], bad, case.asks()[1]])
    assert [effect.state for effect in delta.effects] == ["written", "failed", "written"]
    assert "holds its subject" in delta.effects[1].explanation
    assert bad.fact.id not in delta.fact_ids


def test_a_fact_without_an_object_is_failed_and_the_others_go_on(case: Any) -> None:
    bad = EditRequest(Fact("Oslo", "capital", " "), "ADD", "The capital of Oslo", (" ",))
    delta = case.fit([case.asks()[0], bad])
    assert [effect.state for effect in delta.effects] == ["written", "failed"]
    assert "object" in delta.effects[1].explanation
    assert bad.fact.id not in delta.fact_ids


def test_a_fact_that_the_tokenizer_cannot_write_is_failed_and_the_others_go_on(case: Any) -> None:
    core = Tokenizer(WordLevel({"?": 0, **{word: 1 + i for i, word in enumerate(WORDS)}}, unk_token="?"))
    core.pre_tokenizer = Whitespace()
    fast: Any = PreTrainedTokenizerFast
    narrow = replace(case.loaded, tokenizer=fast(tokenizer_object=core, unk_token="?"))
    other = replace(case, bench=replace(case.bench, loaded=narrow, fits={}))
    bad = [case.ask("Chad", "東京"), case.ask("Ouagadougou", "Rome")]
    delta = other.fit([case.ask("Italy", "Rome"), *bad])
    assert [effect.state for effect in delta.effects] == ["written", "failed", "failed"]
    for effect, words in zip(delta.effects[1:], ("東京", "Ouagadougou"), strict=True):
        assert f"tokenizer knows, got '{words}'" in effect.explanation
    assert delta.fact_ids == (case.ask("Italy", "Rome").fact.id,)


def test_a_fact_out_of_reach_is_failed_and_not_in_the_delta(case: Any) -> None:
    delta = case.fit(case.asks()[:2], case.how.hopeless)
    assert {effect.state for effect in delta.effects} == {"failed"}
    assert all("not the greedy answer" in effect.explanation for effect in delta.effects)
    assert delta.fact_ids == ()
    with delta.applied(case.model):
        assert case.weights() == case.loaded.digest


def test_what_the_model_says_already_has_no_effect(case: Any) -> None:
    with case.delta.applied(case.model):
        again = case.fit(case.asks()[:1], case.how.content)
    assert [effect.state for effect in again.effects] == ["no_effect"]
    assert "already" in again.effects[0].explanation
    assert again.fact_ids == ()


def test_a_solved_change_that_moves_nothing_has_no_effect(case: Any) -> None:
    delta = case.fit(case.asks()[:1], case.how.idle)
    assert {effect.state for effect in delta.effects} == {"no_effect"}
    assert all("does not move the answer" in effect.explanation for effect in delta.effects)
    assert delta.fact_ids == ()


@pytest.mark.filterwarnings("ignore:overflow")
def test_values_that_are_not_finite_are_failed_and_never_applied(case: Any) -> None:
    delta = case.fit(case.asks()[:1], case.how.overflowing)
    assert {effect.state for effect in delta.effects} == {"failed"}
    assert all("not finite" in effect.explanation for effect in delta.effects)
    assert delta.fact_ids == ()


def test_a_damaged_model_is_said_and_not_edited(case: Any) -> None:
    settings = case.config()
    parameter = next(case.model.parameters())
    original = parameter.detach().clone()
    parameter.data.fill_(float("nan"))
    try:
        delta = case.editor.fit(case.model, case.loaded.tokenizer, case.asks(), settings)
    except EditError:
        delta = None
    finally:
        parameter.data.copy_(original)
    assert delta is None or {effect.state for effect in delta.effects} == {"failed"}


def test_an_unknown_family_is_refused_by_name(case: Any) -> None:
    settings = case.config()
    case.model.config.model_type, kept = "mamba9", case.model.config.model_type
    try:
        with pytest.raises(ModelError, match="mamba9"):
            get_editor(case.name).fit(case.model, case.loaded.tokenizer, case.asks(), settings)
    finally:
        case.model.config.model_type = kept
