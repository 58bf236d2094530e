from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from editors.load import weights_digest
from editors.svfit.config import SvfitConfig
from editors.svfit.editor import SvfitDelta, SvfitEditor
from editors.svfit.module import SvfitModel
from editors.svfit.solve import added_output, changed, directions, rank_holding
from editors.training import TrainingConfig, twin
from registry.errors import EditError, IntegrityError

IDS = torch.tensor([[5, 6, 7, 8, 9], [9, 8, 7, 6, 5]])
EASY = TrainingConfig(steps=60, lr=0.1, warmup=1, end_probability=1e-9, anchors=0)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("energy", "rank"), [(0.5, 1), (0.65, 2), (0.9, 2), (0.91, 3), (1.0, 4)])
def test_the_rank_is_the_least_that_holds_the_energy(energy: float, rank: int) -> None:
    assert rank_holding(torch.tensor([8.0, 6.0, 3.0, 1.0]).double(), energy) == rank  # shares .582 .909 .991 1


@pytest.mark.parametrize("energy", [0.0, -1.0, 1.1, float("nan")])
def test_an_energy_that_is_no_share_is_refused(energy: float) -> None:
    with pytest.raises(EditError, match="above 0 and at most 1"):
        rank_holding(torch.ones(3), energy)


def test_the_energy_is_measured_not_assumed() -> None:
    flat, steep = random(12, 8), random(12, 2) @ random(2, 8, seed=1)
    assert directions(steep, 0.99).left.shape == (12, 2)
    found = directions(flat, 0.9)
    values = torch.linalg.svdvals(flat)
    assert found.energy == pytest.approx(float(values[: len(found.values)].square().sum() / values.square().sum()))
    assert 0.9 <= found.energy < 1
    assert directions(flat, 0.9, rank=3).left.shape == (12, 3)


def test_the_change_is_the_product_in_float64() -> None:
    weight, found = random(7, 5), directions(random(7, 5), 1.0)
    delta = random(5, seed=2)
    left, right = found.left.double(), found.right.double()
    wanted = weight + left @ torch.diag(delta) @ right.t()
    assert torch.allclose(changed(weight, left, delta, right), wanted, atol=1e-12, rtol=0)
    x = random(3, 5, seed=3)
    assert torch.allclose(x @ weight.t() + added_output(x, left, delta, right), x @ wanted.t(), atol=1e-10, rtol=0)


def test_the_gradient_of_the_singular_values_by_finite_differences() -> None:
    found = directions(random(7, 5), 0.9)
    left, right, x, goal = found.left.double(), found.right.double(), random(4, 5, seed=1), random(4, 7, seed=2)
    delta = (0.1 * random(len(found.values), seed=3)).requires_grad_()

    def loss(values: torch.Tensor) -> torch.Tensor:
        return (added_output(x, left, values, right) - goal).pow(4).sum()

    (gradient,) = torch.autograd.grad(loss(delta), delta)
    for index in range(len(delta)):
        step = torch.zeros_like(delta)
        step[index] = 1e-5
        slope = (loss(delta.detach() + step) - loss(delta.detach() - step)) / 2e-5
        assert float(gradient[index]) == pytest.approx(float(slope), rel=1e-6)
    assert torch.autograd.gradcheck(loss, (delta,))


@pytest.mark.parametrize("family", ["tiny_llama", "tiny_gpt2"])
def test_the_module_starts_as_the_exact_identity_and_leaves_no_trace(
    family: str, request: pytest.FixtureRequest
) -> None:
    loaded = request.getfixturevalue(family)
    model = loaded.model
    next(model.parameters()).requires_grad_(True)
    before = model(IDS).logits
    tuned = SvfitModel(model, SvfitConfig(energy=0.9))
    assert torch.equal(model(IDS).logits, before)
    assert not any(parameter.requires_grad for parameter in model.parameters())
    for delta in tuned.parameters():
        delta.data.normal_(generator=torch.Generator().manual_seed(1))
    assert not torch.allclose(model(IDS).logits, before, atol=1e-2)
    tuned.remove()
    assert torch.equal(model(IDS).logits, before)
    assert [parameter.requires_grad for parameter in model.parameters()][:2] == [True, False]
    next(model.parameters()).requires_grad_(False)
    assert weights_digest(model) == loaded.digest
    assert not any(module._forward_hooks for module in model.modules())


def changed_model(model: Any, size: float = 0.2) -> SvfitModel:
    tuned = SvfitModel(model, SvfitConfig(energy=0.9))
    generator = torch.Generator().manual_seed(3)
    for delta in tuned.parameters():
        delta.data.normal_(generator=generator).mul_(size)
    return tuned


@pytest.mark.parametrize("family", ["tiny_llama", "tiny_gpt2"])
def test_merged_says_the_same_and_unmerge_restores_every_bit(family: str, request: pytest.FixtureRequest) -> None:
    loaded = request.getfixturevalue(family)
    tuned = changed_model(loaded.model)
    try:
        hooked = loaded.model(IDS).logits
        tuned.merge()
        assert weights_digest(loaded.model) != loaded.digest
        assert torch.allclose(loaded.model(IDS).logits, hooked, atol=1e-3)
        with pytest.raises(EditError, match="unmerge"):
            tuned.merge()
        tuned.unmerge()
        assert weights_digest(loaded.model) == loaded.digest
        assert torch.equal(loaded.model(IDS).logits, hooked)
        next(iter(tuned.parameters())).data.fill_(float("inf"))
        with pytest.raises(EditError, match="not finite"):
            tuned.merge()
        assert weights_digest(loaded.model) == loaded.digest
    finally:
        tuned.remove()


def test_saved_and_loaded_it_is_the_same_change_in_a_few_numbers(tiny_llama: Any, tmp_path: Path) -> None:
    model = twin(tiny_llama.model)
    tuned = changed_model(model)
    said = model(IDS).logits
    tuned.save(tmp_path / "a")
    with pytest.raises(EditError, match="empty folder"):
        tuned.save(tmp_path / "a")
    other = twin(tiny_llama.model)
    back = SvfitModel.load(other, tmp_path / "a")
    assert all(torch.equal(value, back.state_dict()[name]) for name, value in tuned.state_dict().items())
    assert torch.allclose(other(IDS).logits, said, atol=1e-5)
    numbers = sum(value.numel() for value in tuned.state_dict().values())
    assert (tmp_path / "a" / "svfit.safetensors").stat().st_size < 4 * numbers + 4000
    tuned.merge()
    with pytest.raises(EditError, match="unmerge"):
        tuned.save(tmp_path / "b")


def test_a_changed_byte_and_another_base_are_refused(tiny_llama: Any, tmp_path: Path) -> None:
    changed_model(twin(tiny_llama.model)).save(tmp_path / "a")
    moved = twin(tiny_llama.model)
    moved.model.layers[0].mlp.up_proj.weight.data = moved.model.layers[0].mlp.up_proj.weight.data * 1.01
    with pytest.raises(IntegrityError, match="trained on"):
        SvfitModel.load(moved, tmp_path / "a")
    path = tmp_path / "a" / "svfit.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[:-20] + bytes([data[-20] ^ 1]) + data[-19:])
    with pytest.raises(IntegrityError, match="numbers"):
        SvfitModel.load(twin(tiny_llama.model), tmp_path / "a")
    with pytest.raises(EditError, match=r"svfit\.json"):
        SvfitModel.load(twin(tiny_llama.model), tmp_path)


def test_a_delta_keeps_factors_where_they_are_smaller(tiny_llama: Any, lab: Any) -> None:
    fits = {
        rank: SvfitEditor().fit(
            tiny_llama.model, tiny_llama.tokenizer, lab.requests(), SvfitConfig(rank=rank, training=EASY)
        )
        for rank in (10, 60)
    }
    assert {name.partition(".")[2] for name in fits[10].tensors} == {"delta", "left", "right"}
    assert {name.partition(".")[2] for name in fits[60].tensors} == {"delta", "weight"}
    assert fits[10].notes["trained_parameters"] == 28 * 10
    for delta in fits.values():
        assert len(delta.fact_ids) == 3
        apart = sum(float(v.abs().sum()) for n, v in delta.tensors.items() if n.endswith("delta"))
        assert apart > 0


def test_the_delta_is_the_module_merged(tiny_llama: Any, lab: Any) -> None:
    config = SvfitConfig(rank=10, training=EASY)
    delta: SvfitDelta = SvfitEditor().fit(tiny_llama.model, tiny_llama.tokenizer, lab.requests(), config)
    model = twin(tiny_llama.model)
    tuned = SvfitModel(model, config)
    for index, name in enumerate(delta.parameters):
        tuned.deltas[name].data.copy_(delta.tensors[f"{index}.delta"])
    new = delta.new_weights(tiny_llama.model)
    for name, value in tuned.new_weights().items():
        assert torch.allclose(new[name], value, atol=1e-6)
        assert not torch.equal(value, tiny_llama.model.get_parameter(name))


def test_ranks_and_energies_are_reported(tiny_llama: Any, lab: Any) -> None:
    config = SvfitConfig(energy=0.8, training=replace(EASY, steps=100))
    notes = SvfitEditor().fit(tiny_llama.model, tiny_llama.tokenizer, lab.requests(), config).notes
    assert len(notes["rank_of_energy"]) == 28
    for name, (rank, full, energy) in notes["rank_of_energy"].items():
        values = torch.linalg.svdvals(tiny_llama.model.get_parameter(name).double()).square()
        assert full == len(values)
        assert energy == pytest.approx(float(values[:rank].sum() / values.sum()), abs=1e-5)
        assert energy >= 0.8 > float(values[: rank - 1].sum() / values.sum())
