from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from editors.fitting import object_nll
from editors.layouts import layout_of
from editors.load import weights_digest
from editors.rows import Row, request_rows
from editors.scores import answer_scores, sureness
from editors.training import (
    ROUNDS,
    SURE,
    Data,
    TrainingConfig,
    check_finite,
    converged,
    projections,
    rate,
    train,
    twin,
)
from editors.windows import chunked_loss, plain_loss, windows
from registry.errors import EditError

TEXTS = (
    "The capital of France is Paris. The capital of Italy is Rome.",
    "People in Brazil speak Portuguese. The largest city in Turkey is Istanbul.",
)


class Weights:
    """Full training of the model's matrices, recording what the loop asks."""

    def __init__(self, model: Any, forget: Sequence[int] = ()) -> None:
        self.forget, self.asked, self.ended = forget, list[int](), 0
        self.tensors = []
        for matrix in projections(model, layout_of(model)):
            weight = model.get_parameter(matrix.parameter)
            weight.data = weight.data.clone()
            self.tensors.append(weight.requires_grad_(True))

    def scaled(self) -> list[tuple[Tensor, float]]:
        return [(weight, float(weight.detach().square().mean().sqrt())) for weight in self.tensors]

    def begin(self, step: int) -> bool:
        self.asked.append(step)
        return step in self.forget

    def end(self) -> None:
        self.ended += 1


def test_a_twin_shares_tensors_and_keeps_changes_to_itself(tiny_gpt2: Any) -> None:
    model = tiny_gpt2.model
    copy = twin(model)
    ids = torch.tensor([[5, 6, 7]])
    assert copy.get_parameter("transformer.wte.weight").data_ptr() == model.transformer.wte.weight.data_ptr()
    assert copy.lm_head.weight is copy.transformer.wte.weight
    assert torch.equal(copy(ids).logits, model(ids).logits)
    copy.transformer.h[0].mlp.c_fc = torch.nn.Identity()
    copy.transformer.ln_f.weight.data = torch.zeros(64)
    copy.transformer.wte.weight.requires_grad_(True)
    assert weights_digest(model) == tiny_gpt2.digest
    assert type(model.transformer.h[0].mlp.c_fc).__name__ == "Conv1D"
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_a_twin_to_train_is_wide_and_one_to_look_is_not(tiny_llama: Any) -> None:
    half = twin(tiny_llama.model).to(torch.bfloat16)
    assert next(twin(half).parameters()).dtype == torch.bfloat16
    assert next(twin(half, train=True).parameters()).dtype == torch.float32
    assert next(half.parameters()).dtype == torch.bfloat16


def test_projections_are_all_linear_maps_of_the_chosen_blocks(tiny_llama: Any, tiny_gpt2: Any) -> None:
    found = projections(tiny_llama.model, layout_of(tiny_llama.model), (2, 0))
    assert len(found) == 14
    assert {m.module.split(".")[2] for m in found} == {"0", "2"}
    assert not any(m.transposed for m in found)
    turned = projections(tiny_gpt2.model, layout_of(tiny_gpt2.model))
    assert len(turned) == 16
    assert all(m.transposed for m in turned)
    assert {tuple(m.weight(tiny_gpt2.model).shape) for m in turned} == {(192, 64), (64, 64), (256, 64), (64, 256)}
    with pytest.raises(EditError, match="from 0 to 3"):
        projections(tiny_llama.model, layout_of(tiny_llama.model), (4,))


def test_a_damaged_matrix_is_named(tiny_llama: Any) -> None:
    copy = twin(tiny_llama.model)
    matrices = projections(copy, layout_of(copy))
    check_finite(copy, matrices)
    copy.model.layers[1].mlp.up_proj.weight.data = torch.full((128, 64), float("nan"))
    with pytest.raises(EditError, match=r"layers\.1\.mlp\.up_proj"):
        check_finite(copy, matrices)


def test_windows_hold_the_texts_in_order_with_ends_between(tiny_llama: Any) -> None:
    tokenizer = tiny_llama.tokenizer
    line = [t for text in TEXTS for t in (*tokenizer(text)["input_ids"], tokenizer.eos_token_id)]
    found = windows(tokenizer, TEXTS, 8)
    assert found.shape == (len(line) // 8, 8)
    assert found.flatten().tolist() == line[: found.numel()]
    assert windows(tokenizer, TEXTS, 10_000).flatten().tolist() == line
    assert windows(tokenizer, (), 8).shape == (0, 8)
    with pytest.raises(EditError, match="two tokens"):
        windows(tokenizer, ("",), 8)


def test_scores_of_padded_rows_are_those_of_each_row_alone(tiny_llama: Any, lab: Any) -> None:
    model, tokenizer = tiny_llama.model, tiny_llama.tokenizer
    rows = [row for r in lab.requests() for row in request_rows(tokenizer, r, prefixes=2, paraphrases=1, seed=0)]
    loss, sure = answer_scores(model, layout_of(model), rows, 0.2)
    alone = [answer_scores(model, layout_of(model), [row], 0.2) for row in rows]
    assert torch.allclose(loss, torch.cat([one[0] for one in alone]), atol=1e-5)
    assert torch.allclose(sure, torch.cat([one[1] for one in alone]), atol=1e-5)
    plain = [row for row in rows if row.plain]
    unended = [replace(row, gold=row.gold[: row.object_length], scored=row.scored[: row.object_length], ended=False)
               for row in plain]  # fmt: skip
    wanted = object_nll(model, layout_of(model), plain)
    own = answer_scores(model, layout_of(model), unended, 0.2)[0].tolist()
    assert own == pytest.approx([wanted[row.fact_id] for row in plain], abs=1e-5)


def test_the_rate_warms_up_falls_and_warms_up_again() -> None:
    config = TrainingConfig(steps=100, warmup=4)
    assert [round(rate(0, since, config), 3) for since in range(6)] == [0.2, 0.4, 0.6, 0.8, 1.0, 1.0]
    assert rate(50, 50, config) == pytest.approx(0.55)
    assert rate(100, 100, config) == pytest.approx(0.1)
    assert rate(50, 0, config) == pytest.approx(0.11)


def test_training_lowers_the_loss_and_forgets_moments_when_asked(tiny_llama: Any) -> None:
    data = Data((), windows(tiny_llama.tokenizer, TEXTS, 24))
    config = TrainingConfig(steps=12, lr=0.02, warmup=0, batch=8)
    found = {}
    for forget in ((), (6,)):
        copy = twin(tiny_llama.model)
        weights = Weights(copy, forget)
        outcome = train(copy, weights, data, config)
        assert (outcome.steps, outcome.finite, weights.asked, weights.ended) == (12, True, list(range(12)), 12)
        found[forget] = outcome.text_losses
        assert outcome.text_losses[-1] < outcome.text_losses[0] - 0.5
    assert found[()][:6] == found[6,][:6]
    assert found[()][7:] != found[6,][7:]


def test_a_step_is_relative_to_the_matrix(tiny_llama: Any) -> None:
    copy = twin(tiny_llama.model)
    weights = Weights(copy)
    before = [weight.detach().clone() for weight in weights.tensors]
    config = TrainingConfig(steps=1, lr=0.01, warmup=0)
    train(copy, weights, Data((), windows(tiny_llama.tokenizer, TEXTS, 24)), config)
    moved = [float((new.detach() - old).norm() / old.norm()) for new, old in zip(weights.tensors, before, strict=True)]
    assert moved == pytest.approx([0.01] * len(moved), rel=0.02)


def test_a_loss_that_is_not_finite_ends_the_training(tiny_llama: Any) -> None:
    def lost(model: Any, ids: Tensor, trained: Sequence[Tensor]) -> Tensor:
        return plain_loss(model, ids, trained) * float("nan")

    copy = twin(tiny_llama.model)
    data = Data((), windows(tiny_llama.tokenizer, TEXTS, 24))
    outcome = train(copy, Weights(copy), data, TrainingConfig(steps=5), lost)
    assert (outcome.steps, outcome.finite) == (0, False)


class Watched:
    """Which contexts each step scored, with how sure they were, and how often all had been asked by then."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps: list[dict[Row, float]] = []
        self.asked: list[list[float]] = []
        self.known: list[int] = []
        monkeypatch.setattr("editors.training.answer_scores", self.scores)
        monkeypatch.setattr("editors.training.sureness", self.ask)

    def scores(self, model: Any, layout: Any, rows: Sequence[Row], end: float) -> tuple[Tensor, Tensor]:
        found = answer_scores(model, layout, rows, end)
        self.steps.append(dict(zip(rows, found[1].tolist(), strict=True)))
        self.known.append(len(self.asked))
        return found

    def ask(self, model: Any, layout: Any, rows: Sequence[Row], end: float) -> list[float]:
        self.asked.append(sureness(model, layout, rows, end))
        return self.asked[-1]


FACTS = TrainingConfig(steps=300, lr=0.01, warmup=1, batch=3, end_probability=1e-9, anchors=0)


def contexts(tiny: Any, lab: Any) -> tuple[Row, ...]:
    return tuple(
        row for one in lab.requests() for row in request_rows(tiny.tokenizer, one, prefixes=1, paraphrases=1, seed=0)
    )


def test_sure_contexts_sit_out_and_all_are_sure_in_the_end(
    tiny_llama: Any, lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched, rows, copy = Watched(monkeypatch), contexts(tiny_llama, lab), twin(tiny_llama.model)
    outcome = train(copy, Weights(copy), Data(rows, torch.zeros(0, 8, dtype=torch.long)), FACTS)
    assert outcome.finite
    assert outcome.steps < FACTS.steps
    assert min(sureness(copy, layout_of(copy), rows, FACTS.end_probability)) >= FACTS.stop_probability
    assert min(watched.asked[-1]) >= FACTS.stop_probability
    for asked in set(watched.known):
        sitting: set[Row] = set()
        for step in [step for step, known in zip(watched.steps, watched.known, strict=True) if known == asked]:
            assert not sitting & set(step), "nobody who is sure has a turn before all are asked"
            sitting |= {row for row, sure in step.items() if sure >= SURE}
    assert any(sure >= SURE for step in watched.steps[:-2] for sure in step.values())


def test_what_was_sure_once_and_is_not_any_more_goes_on(
    tiny_llama: Any, lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    for forgotten in (0, 1):
        watched, rows, copy = Watched(monkeypatch), contexts(tiny_llama, lab), twin(tiny_llama.model)
        left = [forgotten]

        def ask(*given: Any, watched: Watched = watched, left: list[int] = left) -> list[float]:
            found = watched.ask(*given)
            if left[0] and min(found) >= FACTS.stop_probability:
                left[0] -= 1
                return [0.0, *found[1:]]
            return found

        monkeypatch.setattr("editors.training.sureness", ask)
        steps.append(train(copy, Weights(copy), Data(rows, torch.zeros(0, 8, dtype=torch.long)), FACTS).steps)
        assert rows[0] in watched.steps[-1] or not forgotten
    assert steps[0] < steps[1]


def test_a_context_that_is_never_sure_does_not_let_the_others_be_forgotten(
    tiny_llama: Any, lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched, rows, copy = Watched(monkeypatch), contexts(tiny_llama, lab), twin(tiny_llama.model)

    def stubborn(model: Any, layout: Any, rows: Sequence[Row], end: float) -> tuple[Tensor, Tensor]:
        losses, sure = watched.scores(model, layout, rows, end)
        return losses, torch.where(torch.tensor([row == first for row in rows]), torch.zeros_like(sure), sure)

    def ask(model: Any, layout: Any, rows: Sequence[Row], end: float) -> list[float]:
        asked_at.append(len(watched.steps))
        return [0.0, 0.0, *watched.ask(model, layout, rows, end)[2:]]

    first, asked_at = rows[0], list[int]()
    monkeypatch.setattr("editors.training.answer_scores", stubborn)
    monkeypatch.setattr("editors.training.sureness", ask)
    again = ROUNDS * -(-len(rows) // FACTS.batch)
    config = replace(FACTS, steps=3 * again)
    outcome = train(copy, Weights(copy), Data(rows, torch.zeros(0, 8, dtype=torch.long)), config)
    assert outcome.steps == config.steps
    assert asked_at == [again - 1, 2 * again - 1, 3 * again - 1]
    later = watched.steps[asked_at[1] : asked_at[2]]
    assert any(rows[1] in step for step in later), "what was forgotten has its turn again"


def test_beside_text_no_context_sits_out(tiny_llama: Any, lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    watched, rows, copy = Watched(monkeypatch), contexts(tiny_llama, lab), twin(tiny_llama.model)
    data = Data(rows, windows(tiny_llama.tokenizer, TEXTS, 24))
    assert train(copy, Weights(copy), data, replace(FACTS, steps=60)).steps == 60
    assert {len(step) for step in watched.steps} == {FACTS.batch}
    assert not watched.asked


@pytest.mark.parametrize("least", [0.0, 0.59, float("nan")])
def test_only_a_sure_fact_has_converged(least: float) -> None:
    assert not converged(least, TrainingConfig(stop_probability=0.6))
    assert converged(0.61, TrainingConfig(stop_probability=0.6))
    assert not converged(0.0, TrainingConfig(stop_probability=0.0))


def test_the_chunked_loss_is_the_plain_one(tiny_llama: Any) -> None:
    ids = windows(tiny_llama.tokenizer, TEXTS, 24)[:2]
    copy = twin(tiny_llama.model)
    tensors = Weights(copy).tensors
    found = []
    for loss in (plain_loss, chunked_loss(5)):
        value = loss(copy, ids, tensors)
        found.append((float(value.detach()), torch.autograd.grad(value, tensors)))
    assert found[0][0] == pytest.approx(found[1][0], abs=1e-5)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(found[0][1], found[1][1], strict=True))
