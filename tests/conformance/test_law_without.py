"""Laws of deltas that single facts are taken out of."""

from pathlib import Path
from typing import Any

import torch


def test_without_holds_the_others_only(case: Any, tmp_path: Path) -> None:
    delta, (first, second, third) = case.delta, case.asks()
    smaller = delta.without([second.fact.id])
    assert smaller.fact_ids == ((first.fact.id, third.fact.id) if case.separable else ())
    assert smaller.digest != delta.digest
    assert delta.without([]).digest == delta.digest == delta.without(["no such fact"]).digest
    smaller.save(tmp_path / "delta")
    assert case.editor.load(tmp_path / "delta").digest == smaller.digest


def test_without_all_is_the_model_as_it_was(case: Any) -> None:
    nothing, before = case.delta.without(case.delta.fact_ids), case.logits()
    assert nothing.fact_ids == ()
    with nothing.applied(case.model):
        assert case.weights() == case.loaded.digest
        assert torch.equal(case.logits(), before)


def test_without_takes_the_answer_away_and_leaves_the_others(case: Any) -> None:
    with case.delta.without([case.asks()[1].fact.id]).applied(case.model):
        said = case.said(case.asks())
    given = [text == request.target for text, request in zip(said, case.asks(), strict=True)]
    assert given == ([True, False, True] if case.separable else [False, False, False])


def test_without_a_fact_is_a_fit_that_never_had_it(case: Any) -> None:
    """Differences are those of logits after the facts' prompts, relative to what the smaller fit moves them by."""
    if case.scope == "context":
        assert case.delta.without([case.asks()[1].fact.id]).digest == case.others.digest != case.delta.digest
        return
    before = case.logits()
    found = {}
    for key, delta in {
        "all": case.delta,
        "without": case.delta.without([case.asks()[1].fact.id]),
        "never": case.others,
    }.items():
        with delta.applied(case.model):
            found[key] = case.logits()
    if case.how.apart == 0:
        assert torch.equal(found["without"], found["never"])
    size = float((found["never"] - before).norm())
    distance = float((found["without"] - found["never"]).norm()) / size
    assert distance <= case.how.apart
    assert float((found["all"] - found["never"]).norm()) / size > max(2 * case.how.apart, 0.05), "keeping it is seen"
