from types import SimpleNamespace
from typing import Any

import pytest
import torch

from editors.layouts import LAYOUTS, layout_of
from registry.errors import ModelError

FAMILIES = ("tiny_llama", "tiny_gpt2")


@pytest.mark.parametrize("fixture", FAMILIES)
def test_every_named_part_is_where_the_layout_says(fixture: str, request: pytest.FixtureRequest) -> None:
    model: Any = request.getfixturevalue(fixture).model
    layout = layout_of(model)
    blocks = layout.block_list(model)
    assert len(blocks) == model.config.num_hidden_layers
    assert all(block.get_submodule(part) for block in blocks for part in (layout.up, layout.down))
    weight = layout.down_weight(model, 1)
    assert weight.shape[0] == model.config.hidden_size
    assert weight.data_ptr() == model.get_parameter(layout.down_name(1)).data_ptr()


@pytest.mark.parametrize("fixture", FAMILIES)
def test_norm_and_head_give_the_models_own_logits(fixture: str, request: pytest.FixtureRequest) -> None:
    model: Any = request.getfixturevalue(fixture).model
    layout, ids = layout_of(model), torch.tensor([[5, 6, 7, 8]])
    states: list[torch.Tensor] = []
    hook = layout.block_list(model)[-1].register_forward_hook(lambda module, args, out: states.append(out))
    logits = model(input_ids=ids).logits
    hook.remove()
    assert torch.equal(layout.logits(model, states[0][0]), logits[0])


def test_the_key_times_the_matrix_is_the_value(tiny_llama: Any, tiny_gpt2: Any) -> None:
    for loaded in (tiny_llama, tiny_gpt2):
        layout = layout_of(loaded.model)
        module = layout.down_module(loaded.model, 0)
        weight = layout.down_weight(loaded.model, 0)
        key = torch.randn(1, weight.shape[1])
        bias = getattr(module, "bias", None)
        torch.testing.assert_close(module(key), key @ weight.t() + (0 if bias is None else bias))


def test_an_unknown_family_is_refused_by_name_with_what_to_add() -> None:
    with pytest.raises(ModelError, match=r"model_type 'mamba9'.*add editors/layouts/mamba9\.py"):
        layout_of(SimpleNamespace(config=SimpleNamespace(model_type="mamba9")))


def test_no_model_type_is_claimed_twice() -> None:
    names = [name for layout in LAYOUTS for name in layout.model_types]
    assert len(names) == len(set(names))
