from typing import Any

import pytest
import torch
from torch import Tensor

from editors.layouts import layout_of
from editors.load import weights_digest
from editors.sst.config import SstConfig
from editors.sst.editor import SstEditor, _Method
from editors.sst.module import SpectralLinear
from editors.sst.solve import SpectralProduct, chances, composed, decomposed, draw
from editors.training import TrainingConfig, projections, twin

Parts = tuple[Tensor, Tensor, Tensor]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def parts(rows: int = 7, columns: int = 5) -> Parts:
    left, values, right = torch.linalg.svd(random(rows, columns), full_matrices=False)
    return left.contiguous(), values, right.t().contiguous()


def layer(rank: int = 2, bias: Tensor | None = None) -> SpectralLinear:
    base = torch.nn.Linear(5, 7, bias=bias is not None)
    if bias is not None:
        base.bias = torch.nn.Parameter(bias)
    return SpectralLinear(parts(), base, rank, torch.Generator().manual_seed(0))


def product(*parts: Tensor) -> Tensor:
    out: Tensor = SpectralProduct.apply(*parts)  # type: ignore[no-untyped-call]
    return out


def loss(x: Tensor, left: Tensor, values: Tensor, right: Tensor) -> Tensor:
    return (x @ composed(left, values, right).t()).pow(4).sum()


def slope(function: Any, at: Tensor) -> Tensor:
    """Central differences."""
    found = torch.zeros_like(at)
    for index in range(at.numel()):
        step = torch.zeros_like(at).view(-1)
        step[index] = 1e-5
        step = step.view_as(at)
        found.view(-1)[index] = (function(at + step) - function(at - step)) / 2e-5
    return found


def test_gradients_by_finite_differences_with_the_singular_value_taken_out_of_the_vectors() -> None:
    (left, values, right), x, some = parts(), random(2, 3, 5, seed=1), torch.tensor([1, 4])
    trained = [part.clone().requires_grad_() for part in (x, values, left[:, some], right[:, some])]
    out = product(trained[0], left, trained[1], right, some, trained[2], trained[3])
    assert torch.allclose(out, x @ composed(left, values, right).t(), atol=1e-10, rtol=0)
    by_x, by_values, by_u, by_v = torch.autograd.grad(out.pow(4).sum(), trained)
    assert torch.allclose(by_x, slope(lambda at: loss(at, left, values, right), x), rtol=1e-6, atol=1e-6)
    assert torch.allclose(by_values, slope(lambda at: loss(x, left, at, right), values), rtol=1e-6, atol=1e-6)
    of_left = slope(lambda at: loss(x, at, values, right), left)[:, some]
    of_right = slope(lambda at: loss(x, left, values, at), right)[:, some]
    assert torch.allclose(by_u * values[some], of_left, rtol=1e-6, atol=1e-5)
    assert torch.allclose(by_v * values[some], of_right, rtol=1e-6, atol=1e-5)
    assert not torch.allclose(by_u, of_left, rtol=1e-2)


def test_the_gradients_are_the_papers() -> None:
    (left, values, right), x, some = parts(), random(3, 5, seed=1), torch.tensor([0, 2])
    weight = composed(left, values, right).requires_grad_()
    (g,) = torch.autograd.grad((x @ weight.t()).pow(4).sum(), weight)
    trained = [part.clone().requires_grad_() for part in (values, left[:, some], right[:, some])]
    out = product(x, left, trained[0], right, some, trained[1], trained[2])
    by_values, by_u, by_v = torch.autograd.grad(out.pow(4).sum(), trained)
    assert torch.allclose(by_values, torch.diag(left.t() @ g @ right), atol=1e-10)
    assert torch.allclose(by_u, g @ right[:, some], atol=1e-10)
    assert torch.allclose(by_v, g.t() @ left[:, some], atol=1e-10)


def test_half_of_the_chance_is_even_and_half_goes_by_size() -> None:
    assert chances(torch.tensor([3.0, 1.0, 0.0, 0.0])).tolist() == [0.5, 0.25, 0.125, 0.125]
    assert chances(torch.zeros(4)).tolist() == [0.25] * 4
    generator = torch.Generator().manual_seed(0)
    values = torch.tensor([30.0, 1.0, 1.0, 1.0])
    drawn = torch.stack([draw(values, 2, generator) for _ in range(400)])
    assert (drawn[:, 0] < drawn[:, 1]).all()
    often = [(drawn == index).any(1).double().mean().item() for index in range(4)]
    assert often[0] > 0.75
    assert min(often) > 0.2


def test_a_projection_starts_as_the_matrix_that_it_stands_for() -> None:
    bias, x = random(7, seed=4), random(3, 5, seed=1)
    assert torch.allclose(layer(bias=bias)(x), x @ random(7, 5).t() + bias, atol=1e-12, rtol=0)
    weight = random(30, 20).float()
    assert torch.allclose(composed(*decomposed(weight)), weight.double(), atol=1e-5)


def test_settling_keeps_vectors_at_length_one_and_values_at_zero_or_more() -> None:
    found = layer()
    found.redraw()
    before = found.left.clone()
    with torch.no_grad():
        found.values[:2] = torch.tensor([-1.0, -0.5])
        found.u.add_(random(7, 2, seed=5))
        found.v.mul_(3)
    found.settle()
    assert found.values[:2].tolist() == [0.0, 0.0]
    assert torch.allclose(found.left.norm(dim=0), torch.ones(5).double())
    assert torch.allclose(found.right.norm(dim=0), torch.ones(5).double())
    assert torch.equal(found.left[:, found.some], found.u)
    others = [index for index in range(5) if index not in found.some.tolist()]
    assert torch.equal(found.left[:, others], before[:, others])
    assert not torch.allclose(found.left[:, found.some], before[:, found.some])


def test_decomposing_again_keeps_the_matrix_and_makes_the_vectors_orthogonal() -> None:
    found = layer()
    found.redraw()
    with torch.no_grad():
        found.u.add_(random(7, 2, seed=5))
    found.settle()
    weight = found.product()
    apart = found.left.t() @ found.left - torch.eye(5)
    assert float(apart.abs().max()) > 0.1
    found.decompose_again()
    assert torch.allclose(found.product(), weight, atol=1e-5)
    assert torch.allclose(found.left.t() @ found.left, torch.eye(5).double(), atol=1e-5)


def method(model: Any, rank: int = 24, period: int = 3) -> _Method:
    matrices = projections(model, layout_of(model), (1,))
    found = {matrix.parameter: decomposed(matrix.weight(model)) for matrix in matrices}
    return _Method(twin(model), model, matrices, found, SstConfig(rank=rank, period=period))


def test_vectors_are_drawn_every_period_and_decomposed_when_all_had_their_turn(
    tiny_llama: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = method(tiny_llama.model)
    calls: list[int] = []
    monkeypatch.setattr(SpectralLinear, "decompose_again", lambda self: calls.append(len(self.values)))
    drawn = []
    for step in range(10):
        assert found.begin(step) == (step % 3 == 0)
        drawn.append([one.some.tolist() for one in found.layers.values()])
    assert drawn[0] == drawn[1] == drawn[2]
    assert len({str(drawn[step]) for step in (0, 3, 6, 9)}) == 4
    assert sorted(calls) == [32, 32, 64, 64, 64, 64, 64]  # 32 / 24 in two turns (step 6), 64 / 24 in three (step 9)


@pytest.mark.parametrize("family", ["tiny_llama", "tiny_gpt2"])
def test_without_a_step_the_new_weights_are_the_old_bit_for_bit(family: str, request: pytest.FixtureRequest) -> None:
    loaded = request.getfixturevalue(family)
    found = method(loaded.model)
    ids = torch.tensor([[5, 6, 7]])
    tensors = found.result().tensors
    for index, matrix in enumerate(found.matrices):
        assert torch.equal(tensors[f"{index}.weight"], loaded.model.get_parameter(matrix.parameter))
    next(iter(found.layers.values())).values.data.mul_(1.1)
    assert not torch.equal(found.result().tensors["0.weight"], tensors["0.weight"])
    assert weights_digest(loaded.model) == loaded.digest
    assert loaded.model(ids).logits.shape == (1, 3, 600)


def test_the_trained_twin_says_what_the_new_weights_say(tiny_gpt2: Any) -> None:
    model = tiny_gpt2.model
    matrices = projections(model, layout_of(model))
    copy = twin(model)
    parts = {matrix.parameter: decomposed(matrix.weight(model)) for matrix in matrices}
    found = _Method(copy, model, matrices, parts, SstConfig(rank=4))
    found.begin(0)
    for one in found.layers.values():
        one.values.data.mul_(1.05)
        one.u.data.add_(0.01)
    found.end()
    other = twin(model)
    for index, matrix in enumerate(matrices):
        other.get_parameter(matrix.parameter).data = found.result().tensors[f"{index}.weight"]
    ids = torch.tensor([[5, 6, 7, 8]])
    assert torch.allclose(copy(ids).logits, other(ids).logits, atol=1e-3)
    assert not torch.allclose(copy(ids).logits, model(ids).logits, atol=1e-1)


def test_a_fit_counts_what_it_trains(tiny_llama: Any, lab: Any) -> None:
    training = TrainingConfig(steps=40, lr=0.05, warmup=1, end_probability=1e-9, anchors=0)
    config = SstConfig(rank=4, layers=(0, 1, 2, 3), training=training)
    delta = SstEditor().fit(tiny_llama.model, tiny_llama.tokenizer, lab.requests(), config)
    shapes = [tuple(tiny_llama.model.get_parameter(name).shape) for name in delta.parameters]
    assert delta.notes["trained_parameters"] == sum(4 * (m + n) + min(m, n) for m, n in shapes)
    assert len(delta.fact_ids) == 3
