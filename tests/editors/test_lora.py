from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from editors.layouts import layout_of
from editors.load import weights_digest
from editors.lora.config import LoraSettings, Variant
from editors.lora.delta import ADAPTER, ADAPTER_CONFIG, LoraDelta
from editors.lora.editor import LoraEditor, _Method
from editors.lora.solve import factors, row_factors, sizes, taken_from
from editors.training import TrainingConfig, projections, twin
from registry.errors import IntegrityError

IDS = torch.tensor([[5, 6, 7, 8, 9], [9, 8, 7, 6, 5]])
EASY = TrainingConfig(steps=60, lr=0.05, warmup=1, end_probability=1e-9, anchors=0)
VARIANTS = get_args(Variant)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def fit(loaded: Any, lab: Any, variant: Variant, **more: Any) -> LoraDelta:
    settings = LoraSettings(variant=variant, rank=4, training=EASY, **more)
    return LoraEditor().fit(loaded.model, loaded.tokenizer, lab.requests(), settings)


def test_a_difference_of_products_is_one_product_of_twice_the_rank() -> None:
    now, start = (random(6, 2), random(2, 5, seed=1)), (random(6, 2, seed=2), random(2, 5, seed=3))
    left, right = taken_from(now, start)
    assert (left.shape, right.shape) == ((6, 4), (4, 5))
    assert torch.allclose(left @ right, now[0] @ now[1] - start[0] @ start[1], atol=1e-5)


def test_rows_get_the_lengths_that_were_trained() -> None:
    weight, left, right, magnitude = random(6, 5), random(6, 2, seed=1), random(2, 5, seed=2), random(6, seed=3).abs()
    new = (weight + left @ right) * row_factors(weight, left, right, magnitude)[:, None]
    assert torch.allclose(new.norm(dim=1), magnitude, atol=1e-5)


def test_a_unit_step_of_b_moves_the_product_by_the_length_of_the_matrix() -> None:
    weight, a = random(40, 30) * 0.3, random(8, 30, seed=1) * 0.05
    size_a, size_b = sizes(weight, a, torch.zeros(40, 8), 2.0)
    signs = random(40, 8, seed=2).sign()
    assert float((2.0 * size_b * signs @ a).norm() / weight.norm()) == pytest.approx(1.0, rel=0.1)
    assert size_a == pytest.approx(float(a.square().mean().sqrt()))
    assert sizes(weight, a, signs, 2.0)[1] == 1.0


def test_factors_carry_the_scale() -> None:
    a, b = random(3, 5), random(6, 3, seed=1)
    left, right = factors(a, b, 1.5)
    assert torch.allclose(left @ right, 1.5 * b @ a, atol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("family", ["tiny_llama", "tiny_gpt2"])
def test_the_adapter_starts_as_the_identity_and_peft_stays_in_the_twin(
    variant: Variant, family: str, request: pytest.FixtureRequest
) -> None:
    loaded = request.getfixturevalue(family)
    model, state = loaded.model, torch.random.get_rng_state()
    copy = twin(model)
    method = _Method(copy, model, projections(model, layout_of(model)), LoraSettings(variant=variant, rank=4))
    assert torch.allclose(copy(IDS).logits, model(IDS).logits, atol=1e-4)
    tensors = method.result().tensors
    assert torch.allclose(tensors["0.left"] @ tensors["0.right"], torch.zeros(()), atol=1e-6)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert weights_digest(model) == loaded.digest
    assert {type(module).__name__ for _, module in model.named_modules()}.isdisjoint({"Linear8bit", "ParameterDict"})
    assert not any("lora" in name for name, _ in model.named_parameters())
    assert any("lora" in name for name, _ in copy.named_parameters())


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("family", ["tiny_llama", "tiny_gpt2"])
def test_plain_peft_loads_what_was_saved_and_says_the_same(
    variant: Variant, family: str, request: pytest.FixtureRequest, lab: Any, tmp_path: Path
) -> None:
    from peft import PeftModel

    loaded = request.getfixturevalue(family)
    delta = fit(loaded, lab, variant)
    assert len(delta.fact_ids) == 3
    delta.save(tmp_path / "delta")
    tuned = PeftModel.from_pretrained(twin(loaded.model), str(tmp_path / "delta"))
    plain = loaded.model(IDS).logits
    with delta.applied(loaded.model):
        merged = loaded.model(IDS).logits
    size = float(merged.abs().max())
    assert float((tuned(IDS).logits - merged).abs().max()) < 1e-5 * size
    assert float((plain - merged).abs().max()) > 1e-2 * size
    assert weights_digest(loaded.model) == loaded.digest


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")
def test_an_adapter_of_some_layers_loads_too(tiny_llama: Any, lab: Any, tmp_path: Path) -> None:
    from peft import PeftModel

    delta = fit(tiny_llama, lab, "lora", layers=(1, 2))
    assert len(delta.parameters) == 14
    delta.save(tmp_path / "delta")
    said = PeftModel.from_pretrained(twin(tiny_llama.model), str(tmp_path / "delta"))(IDS).logits
    with delta.applied(tiny_llama.model):
        assert torch.allclose(said, tiny_llama.model(IDS).logits, atol=1e-4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_application_gives_the_same_bits(variant: Variant, tiny_llama: Any, lab: Any, tmp_path: Path) -> None:
    delta = fit(tiny_llama, lab, variant)
    delta.save(tmp_path / "delta")
    found = set()
    for one in (delta, delta, LoraEditor().load(tmp_path / "delta")):
        with one.applied(tiny_llama.model):
            found.add(weights_digest(tiny_llama.model))
    assert len(found) == 1
    assert weights_digest(tiny_llama.model) == tiny_llama.digest


def test_the_rank_of_what_is_saved(tiny_llama: Any, lab: Any) -> None:
    ranks = {variant: fit(tiny_llama, lab, variant).record["adapter"]["r"] for variant in VARIANTS}
    assert ranks == {"lora": 4, "dora": 4, "pissa": 8}


@pytest.mark.parametrize("name", [ADAPTER, ADAPTER_CONFIG])
def test_an_adapter_that_is_not_the_deltas_is_refused(name: str, tiny_llama: Any, lab: Any, tmp_path: Path) -> None:
    fit(tiny_llama, lab, "dora").save(tmp_path / "delta")
    path = tmp_path / "delta" / name
    data = path.read_bytes()
    place = len(data) - 40 if name == ADAPTER else data.index(b'"r": 4') + 5
    path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
    with pytest.raises(IntegrityError, match="adapter"):
        LoraEditor().load(tmp_path / "delta")
    path.write_bytes(data)
    LoraEditor().load(tmp_path / "delta")
    path.unlink()
    with pytest.raises(IntegrityError, match="adapter"):
        LoraEditor().load(tmp_path / "delta")


def test_taken_out_nothing_is_left_for_peft(tiny_llama: Any, lab: Any, tmp_path: Path) -> None:
    delta = fit(tiny_llama, lab, "lora")
    smaller = delta.without(delta.fact_ids[:1])
    smaller.save(tmp_path / "delta")
    assert not (tmp_path / "delta" / ADAPTER).exists()
    assert LoraEditor().load(tmp_path / "delta").digest == smaller.digest
