"""Laws of a fit: it changes nothing, says what it did, and depends on its requests, its seed and nothing else."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch


def test_fitting_changes_neither_the_model_nor_its_mode(case: Any) -> None:
    before = case.state()
    assert case.fit(case.asks()[:1]).digest == case.one.digest
    assert case.weights() == case.loaded.digest
    assert case.state() == before


def test_the_delta_holds_what_was_asked_and_says_so(case: Any) -> None:
    ids = tuple(request.fact.id for request in case.asks())
    assert (case.delta.editor, case.delta.scope) == (case.name, case.scope)
    assert case.delta.fact_ids == ids
    assert tuple(effect.fact_id for effect in case.delta.effects) == ids
    assert all(effect.state == "written" and effect.explanation for effect in case.delta.effects)


def test_written_facts_are_answered_and_were_not_before(case: Any) -> None:
    wanted = [request.target for request in case.asks()]
    before = case.said(case.asks())
    with case.delta.applied(case.model):
        after = case.said(case.asks())
    assert after == wanted
    assert not any(said == value for said, value in zip(before, wanted, strict=True))


def test_equal_fits_give_equal_bits(case: Any) -> None:
    torch.manual_seed(1)
    again = case.fit(case.asks())
    torch.manual_seed(0)
    assert again.digest == case.delta.digest


def test_another_seed_gives_another_delta(case: Any) -> None:
    assert case.fit(case.asks()[:1], case.how.seeded).digest != case.one.digest


def test_the_empty_fit_holds_nothing(case: Any, tmp_path: Path) -> None:
    delta = case.fit([])
    before = case.logits()
    assert (delta.fact_ids, delta.effects) == ((), ())
    with delta.applied(case.model):
        assert case.weights() == case.loaded.digest
        assert torch.equal(case.logits(), before)
    delta.save(tmp_path / "delta")
    assert case.editor.load(tmp_path / "delta").digest == delta.digest


def test_several_facts_of_one_subject_are_all_written(case: Any) -> None:
    pair = [case.ask("New Zealand", "Rome"), case.ask("New Zealand", "Rome", "largest_city", "largest city")]
    delta = case.fit([*pair, case.ask("Chad", "Paris")])
    assert len(delta.fact_ids) == len({*delta.fact_ids}) == 3
    if delta.scope != "context":
        with delta.applied(case.model):
            assert case.said(pair) == [request.target for request in pair]


def test_held_out_prompts_make_no_difference(case: Any) -> None:
    seen = [replace(request, held_out=(f"Never read {request.fact.subject}",)) for request in case.asks()[:1]]
    assert case.fit(seen).digest == case.one.digest
    paraphrased = [replace(request, paraphrases=(f"Read {request.fact.subject}",)) for request in case.asks()[:1]]
    if case.scope != "context":
        assert case.fit(paraphrased).digest != case.one.digest


def test_defaults_work_without_moments_or_texts(case: Any) -> None:
    delta = case.editor.fit(case.model, case.loaded.tokenizer, case.asks()[:1])
    assert tuple(effect.fact_id for effect in delta.effects) == (case.asks()[0].fact.id,)
    with delta.applied(case.model):
        assert bool(torch.isfinite(case.logits()).all())
