"""WISE: the margin loss and its gradient, masks, TIES, and memories that are merged from what a delta keeps."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from editors.layouts import layout_of
from editors.rows import request_rows
from editors.side import Keys
from editors.side_fit import keys_of
from editors.targets import TargetConfig
from editors.wise.config import WiseConfig
from editors.wise.editor import WiseEditor
from editors.wise.memory import FactMemory, MergedMemory, Update, claim, memories_of
from editors.wise.solve import PULL, Margins, activation, margin_loss, mask, ridge_reader, ties, trained_reader
from registry.errors import EditError
from registry.records import EditRequest, Fact

ROOT = Path(__file__).resolve().parents[2]
MARGINS = Margins(0.3, 0.8, 0.5)
TARGETS = TargetConfig(steps=40, lr=0.2, clamp=8.0, decay=0.0, drift=0.0, end_probability=1e-9)


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def asks() -> list[EditRequest]:
    pairs = [("New Zealand", "Rome"), ("Chad", "Tokyo"), ("Burkina Faso", "Paris")]
    return [EditRequest(Fact(s, "capital", o), "ADD", f"The capital of {s}", (o,)) for s, o in pairs]


def test_the_numbers_in_conf_are_the_defaults() -> None:
    assert WiseConfig.read(ROOT / "conf" / "wise.yaml") == WiseConfig()


def test_margin_loss_is_the_papers_sum_of_hinges() -> None:
    edited, irrelevant = numbers(5).abs(), numbers(7, seed=1).abs()
    expected = sum(max(0.0, float(d) - 0.3) for d in irrelevant) / 7 + sum(max(0.0, 0.8 - float(d)) for d in edited) / 5
    expected += sum(max(0.0, 0.5 - (float(e) - float(i))) for e in edited for i in irrelevant) / 35
    assert float(margin_loss(edited, irrelevant, MARGINS)) == pytest.approx(expected, abs=1e-12)
    assert float(margin_loss(torch.tensor([0.9]), torch.tensor([0.2]), MARGINS)) == 0.0


def test_gradient_of_the_margin_loss_by_finite_differences() -> None:
    subject, texts, u = numbers(4, 6), numbers(3, 5, 6, seed=1), numbers(6, seed=2) * 0.2

    def loss(reader: Tensor) -> Tensor:
        return margin_loss(subject @ reader, activation(reader, texts), MARGINS)

    point = u.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(point), point)
    for index in range(6):
        step = torch.zeros(6, dtype=torch.float64)
        step[index] = 1e-6
        slope = float(loss(u + step) - loss(u - step)) / 2e-6
        assert slope == pytest.approx(float(gradient[index]), abs=1e-7)
    assert float(gradient.norm()) > 0.1


def test_the_ridge_reader_is_the_plain_least_squares_solution() -> None:
    subject, others = numbers(4, 6) + 1, numbers(50, 6, seed=1)
    found = ridge_reader(subject, others, 0.1)
    rows = torch.cat([others / 50**0.5, subject * (PULL / 4) ** 0.5, torch.eye(6, dtype=torch.float64)])
    scale = 0.1 * float((others**2).mean())
    rows[-6:] *= scale**0.5
    wanted = torch.cat([torch.zeros(50), torch.full((4,), (PULL / 4) ** 0.5), torch.zeros(6)]).to(torch.float64)
    plain = torch.linalg.lstsq(rows, wanted[:, None]).solution[:, 0]
    assert torch.allclose(found, plain / (subject @ plain).mean(), atol=1e-10)


def test_steps_on_the_margin_loss_separate_what_the_ridge_does_not() -> None:
    subject, texts = numbers(6, 12) * 0.2 + 1.3 * numbers(12, seed=1), numbers(8, 4, 12, seed=2)
    start = ridge_reader(subject, texts.flatten(0, 1), 30.0)
    before = float(margin_loss(subject @ start, activation(start, texts), MARGINS))
    after = trained_reader(start, subject, texts, MARGINS, 200, 0.05)
    assert before > 0.1
    assert float(margin_loss(subject @ after, activation(after, texts), MARGINS)) < before / 2
    assert torch.equal(trained_reader(start, subject, texts, MARGINS, 0, 0.05), start)
    easy = ridge_reader(subject, texts.flatten(0, 1) * 1e-3, 0.01)
    assert torch.equal(trained_reader(easy, subject, texts * 1e-3, MARGINS, 50, 0.05), easy)


def test_masks_follow_from_their_seed() -> None:
    first = mask("0:a", 1000, 0.2)
    assert torch.equal(first, mask("0:a", 1000, 0.2))
    assert not torch.equal(first, mask("0:b", 1000, 0.2))
    assert len(first) == len(set(first.tolist())) == 200
    overlap = len(set(first.tolist()) & set(mask("0:b", 1000, 0.2).tolist()))
    assert overlap == pytest.approx(40, abs=20), "rho^2 of the neurons are shared"


def test_ties_against_a_plain_reference() -> None:
    updates = [numbers(4, 5, seed=s) for s in range(3)]
    found = ties(updates, 0.5)
    trimmed = []
    for update in updates:
        order = sorted(update.flatten().tolist(), key=abs, reverse=True)[:10]
        trimmed.append([[v if v in order else 0.0 for v in row] for row in update.tolist()])
    for i in range(4):
        for j in range(5):
            values = [t[i][j] for t in trimmed]
            agree = [v for v in values if v * sum(values) > 0]
            assert float(found[i, j]) == pytest.approx(sum(agree) / len(agree) if agree else 0.0, abs=1e-12)
    assert torch.equal(ties(updates[:1], 0.5), updates[0])


def update(seed: int, share: float = 0.3) -> Update:
    place = mask(str(seed), 40, share)
    allowed = torch.zeros(40).index_fill(0, place, 1.0)
    reader, key = numbers(40, seed=seed).float() * allowed, numbers(40, seed=seed + 50).float()
    reader = reader / (reader @ key)
    unit = torch.nn.functional.normalize(reader, dim=0)
    context, centre = (numbers(40, seed=seed + more).float() * allowed for more in (90, 70))
    context, centre = (part - unit * (unit @ part) for part in (context, centre))  # neither excites the reader
    context = torch.nn.functional.normalize(context, dim=0)
    return Update(numbers(8, seed=seed + 9).float(), reader, centre, context, allowed, torch.tensor(0.6), key)


def test_a_fact_is_served_where_subject_and_relation_fit() -> None:
    one = update(1)
    way = one.centre + one.context * 5  # of the relation, and nothing of the subject
    others = torch.zeros(40)
    sequences = torch.stack(
        [torch.stack(pair) for pair in [(one.key, way), (others, way), (one.key, one.centre - way)]]
    )
    keys = Keys(sequences, torch.ones(3, 2, dtype=torch.bool), True)
    scores = FactMemory.scores([FactMemory(one, 0.1), FactMemory(update(2), 0.1)], keys)
    assert scores.shape == (3, 2)
    assert [bool(score > 1) for score in scores[:, 0]] == [True, False, False]
    hidden = Keys(sequences, torch.tensor([[False, True]] * 3), True)
    assert not bool((FactMemory.scores([FactMemory(one, 0.1)], hidden) > 1).any()), "padding excites nothing"
    assert torch.allclose(
        FactMemory(one, 0.1).change(keys, torch.zeros(3, 2, 8))[0, 0], one.step * (one.reader @ one.key), atol=1e-5
    )


def test_a_claim_needs_both_and_grows_with_both() -> None:
    found = claim(torch.tensor([0.9, 0.9, 0.3, 5.0]), torch.tensor(0.6), torch.tensor([0.5, 0.05, 0.5, 0.5]), 0.1)
    assert [bool(score > 1) for score in found] == [True, False, False, True]
    assert float(found[3]) == pytest.approx(1 / 0.6 * 5), "beyond the full effect nothing is gained"


def test_merged_memories_hold_their_facts_and_part_without_one() -> None:
    updates = [update(seed) for seed in range(3)]
    record = {"capacity": 3, "context": 0.1, "density": 1.0}
    (merged,) = memories_of(updates, record)
    assert isinstance(merged, MergedMemory)
    plain = ties([torch.outer(one.step, one.reader) for one in updates], 1.0)
    assert torch.equal(merged.matrix, plain)
    keys = Keys(updates[0].key.expand(1, 1, 40), torch.ones(1, 1, dtype=torch.bool), True)
    assert torch.allclose(merged.change(keys, torch.zeros(1, 1, 8))[0, 0], plain @ updates[0].key, atol=1e-5)
    (smaller,) = memories_of([updates[0], updates[2]], record)
    again = ties([torch.outer(one.step, one.reader) for one in (updates[0], updates[2])], 1.0)
    assert isinstance(smaller, MergedMemory)
    assert torch.equal(smaller.matrix, again)
    assert [type(memory) for memory in memories_of(updates, {**record, "capacity": 1})] == [FactMemory] * 3


def test_facts_that_share_a_memory_are_answered_and_leave_one_by_one(tiny_llama: Any) -> None:
    config = WiseConfig(layers=(1,), mask=1.0, capacity=3, density=1.0, threshold=0.65, context=0.01, targets=TARGETS)
    model, tokenizer = tiny_llama.model, tiny_llama.tokenizer
    delta = WiseEditor().fit(model, tokenizer, asks(), config)
    assert delta.fact_ids, "at least one fact survives the merge"
    left = [request for request in asks() if request.fact.id in delta.fact_ids]
    never = WiseEditor().fit(model, tokenizer, left[1:], config)
    smaller = delta.without([left[0].fact.id])
    assert {name: tensor.tolist() for name, tensor in smaller.tensors.items()} == {
        name: tensor.tolist()
        for name, tensor in never.without(set(never.fact_ids) - set(smaller.fact_ids)).tensors.items()
    }


def test_the_reader_is_to_be_quiet_where_the_object_is_said(tiny_llama: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    quiet: list[Tensor] = []

    def spy(subject: Tensor, others: Tensor, ridge: float) -> Tensor:
        quiet.append(others)
        return ridge_reader(subject, others, ridge)

    monkeypatch.setattr("editors.wise.editor.ridge_reader", spy)
    config = WiseConfig(layers=(1,), mask=1.0, room=8, targets=TARGETS)
    WiseEditor().fit(tiny_llama.model, tiny_llama.tokenizer, [asks()[1]], config)
    rows = request_rows(tiny_llama.tokenizer, asks()[1], **TARGETS.contexts)
    keys = keys_of(tiny_llama.model, layout_of(tiny_llama.model), 1, [row.tokens for row in rows])
    for found, row in zip(keys, rows, strict=True):
        apart = torch.cdist(found.double(), quiet[0]).min(dim=1).values
        said = range(row.scored[0] + 1, len(row.tokens))
        assert len(said) >= 1
        assert float(apart[said].max()) < 1e-4
        assert float(apart[row.subject]) > 0.1


def test_a_reader_is_asked_for_no_more_silence_than_it_has_room_for(tiny_llama: Any) -> None:
    width = layout_of(tiny_llama.model).down_weight(tiny_llama.model, 1).shape[1]
    config = WiseConfig(layers=(1,), mask=1.0, room=8, targets=TARGETS)

    def fitted(others: int) -> Any:
        return WiseEditor().fit(tiny_llama.model, tiny_llama.tokenizer, asks(), replace(config, others=others))

    room = fitted(width // 8)
    assert room.fact_ids
    for many in (width // 8 + 1, 10_000):
        assert torch.equal(fitted(many).tensors["readers"], room.tensors["readers"])
    assert not torch.equal(fitted(width // 8 - 2).tensors["readers"], room.tensors["readers"])


def test_a_delta_is_far_smaller_than_its_matrix(tiny_llama: Any) -> None:
    config = WiseConfig(layers=(1,), mask=0.5, threshold=0.65, context=0.1, others=8, targets=TARGETS)
    delta = WiseEditor().fit(tiny_llama.model, tiny_llama.tokenizer, asks()[:1], config)
    size = sum(tensor.numel() for tensor in delta.tensors.values())
    assert size == 64 + 3 * 64 + 1 < 64 * 128 / 16


def test_settings_that_cannot_be_are_refused(tiny_llama: Any) -> None:
    for wrong in ({"mask": 0.0}, {"capacity": 0}, {"density": 1.5}, {"room": 0}):
        with pytest.raises(EditError, match="mend the config"):
            WiseEditor().fit(
                tiny_llama.model,
                tiny_llama.tokenizer,
                asks(),
                replace(WiseConfig(layers=(1,)), **wrong),
            )
    with pytest.raises(EditError, match="one layer for WISE"):
        WiseEditor().fit(tiny_llama.model, tiny_llama.tokenizer, asks(), WiseConfig(layers=(0, 1)))
