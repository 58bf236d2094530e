from typing import Any

import pytest

from editors.depth import by_depth, furthest_reaching, one_layer
from editors.layouts import layout_of
from editors.memit.config import FIRST_DEPTH, MemitConfig
from editors.rome.config import DEPTH, RomeConfig
from registry.errors import EditError


@pytest.mark.parametrize(
    ("depth", "memit", "rome"),
    [
        (30, (5, 6, 7, 8), (7,)),
        (12, (2, 3, 4, 5), (3,)),
        (48, (8, 9, 10, 11), (12,)),
        (4, (0, 1, 2), (1,)),
        (2, (0,), (0,)),
    ],
)
def test_layers_follow_the_depth(depth: int, memit: tuple[int, ...], rome: tuple[int, ...]) -> None:
    assert by_depth(depth, FIRST_DEPTH, 4) == memit
    assert by_depth(depth, DEPTH, 1) == rome


def test_wanted_layers_are_taken_as_they_are(tiny_llama: Any) -> None:
    assert MemitConfig(layers=(0, 2)).edited(tiny_llama.model) == (0, 2)
    assert MemitConfig(spread=2).edited(tiny_llama.model) == (0, 1)
    with pytest.raises(EditError, match="rising layers from 0 to 2"):
        MemitConfig(layers=(2, 3)).edited(tiny_llama.model)
    assert RomeConfig(layers=(2,)).edited(tiny_llama.model) == (2,)
    with pytest.raises(EditError, match="one layer for ROME"):
        RomeConfig(layers=(0, 2)).edited(tiny_llama.model)


@pytest.mark.parametrize("kind", ["gemma3_text", "olmo2"])
def test_rome_takes_a_near_layer_whose_norm_lets_it_reach_further(kind: str) -> None:
    model = deep(kind)
    layout = layout_of(model)

    def gain(place: int) -> Any:
        norm: Any = layout.post_norm(model, place)
        return norm.weight.data

    for place in range(16):
        gain(place).fill_(0.0 if kind == "gemma3_text" else 1.0)
    # All gains are one: what earlier blocks have added grows, so the first of those near reaches furthest.
    assert RomeConfig().edited(model) == (2,)
    gain(5).add_(9.0)
    assert RomeConfig().edited(model) == (5,)
    gain(7).add_(99.0)
    assert RomeConfig().edited(model) == (5,), "block 7 is not near"
    gain(3)[:4] += 999.0
    assert RomeConfig().edited(model) == (5,), "a few massive features say nothing about the others"
    assert RomeConfig(layers=(4,)).edited(model) == (4,), "one that is wanted is taken as it is"
    assert MemitConfig(spread=1).edited(model) == (2,), "a sixth of the depth, whatever the norms"
    assert one_layer((), model, 1 / 4, "WISE") == 4, "a quarter of it"


def deep(kind: str) -> Any:
    """A model of 16 blocks."""
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 1, "num_key_value_heads": 1}
    models: Any = AutoModelForCausalLM
    return models.from_config(AutoConfig.for_model(kind, vocab_size=8, num_hidden_layers=16, head_dim=16, **sizes))


def test_without_a_norm_behind_the_mlp_romes_layer_lies_where_depth_says(tiny_llama: Any) -> None:
    assert [furthest_reaching(tiny_llama.model, layer) for layer in range(3)] == [0, 1, 2]
