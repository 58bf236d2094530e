"""The cached, packed objective against the plain one: whole model, one context at a time, a hook that adds delta."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from editors.frame import Frame, Scores
from editors.layouts import layout_of
from editors.rows import Group, group_requests
from editors.targets import TargetConfig, evaluate, fit_targets
from registry.records import EditRequest, Fact

LAYER = 1
CONFIG = TargetConfig(drift=0.5, decay=0.3)
FAMILIES = ("tiny_llama", "tiny_gpt2")


def requests() -> list[EditRequest]:
    return [
        EditRequest(
            Fact(subject, "capital", value),
            "ADD",
            f"The capital of {subject} is",
            (value,),
            paraphrases=(f"{subject}'s capital is the city of", f"In {subject} the seat is in"),
        )
        for subject, value in (("New Zealand", "Wellington"), ("Chad", "N'Djamena"), ("東京", "Tokyo"))
    ]


def grouped(loaded: Any) -> list[Group]:
    return group_requests(loaded.tokenizer, requests(), prefixes=2, paraphrases=2, seed=0)[0]


def plain_logp(model: Any, group: Group, delta: Tensor) -> list[Tensor]:
    """Log-probabilities of every row at all positions: the whole model, unpadded, delta added by a hook."""
    found = []
    for row in group.rows:

        def add(module: Any, args: Any, out: Any, at: int = row.subject) -> Tensor:
            place = torch.zeros(1, out.shape[1], 1, dtype=out.dtype)
            place[:, at] = 1
            moved: Tensor = out + place * delta
            return moved

        hook = layout_of(model).block_list(model)[LAYER].register_forward_hook(add)
        found.append(model(torch.tensor([row.tokens]), use_cache=False).logits[0].log_softmax(-1))
        hook.remove()
    return found


def plain_states(model: Any, group: Group) -> Tensor:
    """h in the key rows, (rows, d)."""
    states = []
    for row in group.key_rows:
        out: list[Tensor] = []
        block = layout_of(model).block_list(model)[LAYER]
        hook = block.register_forward_hook(lambda module, args, value, out=out: out.append(value))
        model(torch.tensor([row.tokens]), use_cache=False)
        hook.remove()
        states.append(out[0][0, row.subject])
    return torch.stack(states)


def plain_length(model: Any, group: Group) -> Tensor:
    """|h|: mean over the key rows."""
    length: Tensor = plain_states(model, group).norm(dim=-1).mean()
    return length


def plain_loss(model: Any, group: Group, delta: Tensor, length: Tensor) -> Tensor:
    """Equation 4 of ROME with MEMIT's mean over contexts, written straight down."""
    now, start = plain_logp(model, group, delta), plain_logp(model, group, torch.zeros_like(delta))
    answers, drifts = [], []
    for row, logp, before in zip(group.rows, now, start, strict=True):
        if row.kind == "answer":
            terms = [-logp[i, gold] for i, gold in zip(row.scored, row.gold, strict=True)]
            answers.append(torch.stack(terms).mean())
        else:
            at = row.scored[0]
            drifts.append((logp[at].exp() * (logp[at] - before[at].detach())).sum())
    loss = torch.stack(answers).mean() + CONFIG.drift * torch.stack(drifts).mean()
    return loss + CONFIG.decay * delta.square().sum() / length.square()


def both(loaded: Any, dtype: torch.dtype, groups: Sequence[Group]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Losses and gradients of the plain and of the cached objective at the same random delta."""
    model = loaded.model.to(dtype)
    try:
        frame = Frame(model, layout_of(model), [group.rows for group in groups], LAYER)
        scores = Scores(frame)
        torch.manual_seed(0)
        delta = (0.5 * torch.randn(len(groups), frame.hidden.shape[-1], dtype=dtype)).requires_grad_()
        length = torch.stack([plain_length(model, group) for group in groups])
        zero = torch.zeros_like(delta)
        initial = evaluate(frame, scores, zero, length, None, CONFIG).initial
        loss = evaluate(frame, scores, delta, length, initial, CONFIG).loss
        (gradient,) = torch.autograd.grad(loss.sum(), delta)
        plain = torch.stack([plain_loss(model, group, delta[i], length[i]) for i, group in enumerate(groups)])
        (plain_gradient,) = torch.autograd.grad(plain.sum(), delta)
        return loss.detach(), plain.detach(), gradient, plain_gradient
    finally:
        loaded.model.to(torch.float32)


@pytest.mark.parametrize("fixture", FAMILIES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-6)])
def test_loss_and_gradient_are_those_of_the_whole_model(
    fixture: str, dtype: torch.dtype, tolerance: float, request: pytest.FixtureRequest
) -> None:
    loaded = request.getfixturevalue(fixture)
    loss, plain, gradient, plain_gradient = both(loaded, dtype, grouped(loaded))
    assert float((loss - plain).abs().max()) < tolerance * float(plain.abs().max())
    assert float((gradient - plain_gradient).abs().max()) < tolerance * max(1.0, float(plain_gradient.abs().max()))
    assert float(plain_gradient.abs().min(dim=1).values.max()) > 0


def test_the_comparison_would_see_a_delta_at_a_neighbouring_token(tiny_llama: Any) -> None:
    groups = grouped(tiny_llama)[:1]
    moved = [replace(groups[0], rows=tuple(replace(row, subject=row.subject - 1) for row in groups[0].rows))]
    right, plain, _, _ = both(tiny_llama, torch.float64, groups)
    wrong, _, _, _ = both(tiny_llama, torch.float64, moved)
    assert float((right - plain).abs().max()) < 1e-10 < float((wrong - plain).abs().max())


@pytest.mark.parametrize("fixture", FAMILIES)
def test_optimising_makes_the_object_the_greedy_answer(lab: Any, fixture: str, request: pytest.FixtureRequest) -> None:
    loaded: Any = request.getfixturevalue(fixture)
    layout, config = layout_of(loaded.model), lab.targets
    groups = group_requests(loaded.tokenizer, lab.requests(), prefixes=2, paraphrases=2, seed=0)[0]
    for group, target in zip(groups, fit_targets(loaded.model, layout, groups, LAYER, config), strict=True):
        before = plain_logp(loaded.model, group, torch.zeros(target.delta.shape))
        after = plain_logp(loaded.model, group, target.delta.float())
        own = group.rows[0].object_length
        gold, scored = list(group.rows[0].gold[:own]), list(group.rows[0].scored[:own])
        assert target.reached == {group.fact_ids[0]: True}
        assert after[0][scored].argmax(-1).tolist() == gold
        assert before[0][scored].argmax(-1).tolist() != gold
        assert 0 < target.steps < config.steps
        nlls = [-lp[list(r.scored), list(r.gold)].mean() for r, lp in zip(group.rows, after, strict=True) if r.gold]
        assert target.losses[group.fact_ids[0]] == pytest.approx(float(torch.stack(nlls).mean()), rel=1e-3)
        assert target.shift == pytest.approx(float(target.delta.norm() / plain_length(loaded.model, group)), rel=1e-4)


@pytest.mark.parametrize("fixture", FAMILIES)
def test_batched_facts_get_what_each_gets_alone(lab: Any, fixture: str, request: pytest.FixtureRequest) -> None:
    loaded: Any = request.getfixturevalue(fixture)
    model = loaded.model.to(torch.float64)
    layout, config = layout_of(loaded.model), lab.targets
    groups = group_requests(loaded.tokenizer, lab.requests(), prefixes=2, paraphrases=2, seed=0)[0]
    try:
        alone, together = (
            fit_targets(model, layout, groups, LAYER, replace(config, batch=size)) for size in (1, len(groups))
        )
    finally:
        loaded.model.to(torch.float32)
    assert [target.steps for target in alone] == [target.steps for target in together]
    assert len({target.steps for target in alone}) > 1, "facts that leave at different steps are what is tested"
    for one, other in zip(alone, together, strict=True):
        assert float((one.delta - other.delta).abs().max()) < 1e-9


def test_equal_runs_give_equal_bits_and_the_model_stays(tiny_llama: Any) -> None:
    groups, layout = grouped(tiny_llama), layout_of(tiny_llama.model)
    before = {name: value.clone() for name, value in tiny_llama.model.state_dict().items()}
    one, other = (fit_targets(tiny_llama.model, layout, groups, LAYER, TargetConfig(steps=4)) for _ in range(2))
    assert all(torch.equal(a.delta, b.delta) for a, b in zip(one, other, strict=True))
    assert all(torch.equal(value, before[name]) for name, value in tiny_llama.model.state_dict().items())


def test_delta_stays_within_the_clamp_and_an_unreached_object_is_said(tiny_llama: Any) -> None:
    groups, layout = grouped(tiny_llama), layout_of(tiny_llama.model)
    targets = fit_targets(tiny_llama.model, layout, groups, LAYER, TargetConfig(steps=5, clamp=1e-3))
    assert all(0 < target.shift <= 1.001e-3 for target in targets)
    assert not any(value for target in targets for value in target.reached.values())


def test_a_feature_that_holds_most_of_a_state_does_not_lengthen_the_steps(tiny_llama: Any) -> None:
    groups, layout = grouped(tiny_llama), layout_of(tiny_llama.model)
    config = TargetConfig(steps=1, lr=0.1, stop_probability=1.0)
    weight = tiny_llama.model.get_input_embeddings().weight
    plain = weight.detach().clone()
    try:
        even = fit_targets(tiny_llama.model, layout, groups, LAYER, config)
        weight.data[:, 0] += 20 * plain_length(tiny_llama.model, groups[0])
        massive = fit_targets(tiny_llama.model, layout, groups, LAYER, config)
        states = [plain_states(tiny_llama.model, group) for group in groups]
    finally:
        weight.data.copy_(plain)
    others = [found.abs().sort(dim=-1).values[:, :-4].norm(dim=-1).mean() for found in states]
    shares = [float(2 * rest / found.norm(dim=-1).mean()) for rest, found in zip(others, states, strict=True)]
    assert max(shares) < 0.5, "one feature holds most of the states"
    assert [target.shift for target in massive] == pytest.approx([0.1 * share for share in shares], rel=1e-3)
    assert [target.shift for target in even] == pytest.approx([0.1] * len(groups), rel=1e-3)


def test_an_object_that_is_given_already_takes_no_step(tiny_llama: Any) -> None:
    ids = tiny_llama.tokenizer("The capital of Chad is", return_tensors="pt")["input_ids"]
    said = tiny_llama.tokenizer.decode([int(tiny_llama.model(ids).logits[0, -1].argmax())])
    row = replace(grouped(tiny_llama)[1].rows[0], tokens=tuple(ids[0].tolist()), scored=(ids.shape[1] - 1,))
    gold = int(tiny_llama.model(ids).logits[0, -1].argmax())
    group = Group("Chad", (row.fact_id,), (replace(row, gold=(gold,)), grouped(tiny_llama)[1].rows[-1]))
    layout = layout_of(tiny_llama.model)
    (target,) = fit_targets(tiny_llama.model, layout, [group], LAYER, TargetConfig(stop_probability=0.0))
    assert (target.steps, target.shift) == (0, 0.0), said


def test_in_a_chat_a_fact_has_converged_with_a_probability_of_its_own(tiny_llama: Any) -> None:
    groups, _ = group_requests(tiny_llama.tokenizer, requests(), prefixes=0, paraphrases=0, seed=0, chat=True)
    layout = layout_of(tiny_llama.model)

    def steps(**wanted: float) -> list[int]:
        config = TargetConfig(steps=3, **wanted)  # type: ignore[arg-type]
        return [target.steps for target in fit_targets(tiny_llama.model, layout, groups, LAYER, config)]

    assert steps(stop_probability=0.0, chat_probability=0.0) == [0] * len(groups)
    assert steps(stop_probability=0.0, chat_probability=1.0) == [3] * len(groups)
    assert steps(stop_probability=1.0, chat_probability=0.0) == [3] * len(groups)
