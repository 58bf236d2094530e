"""How hard each edit of a delta pulls at given prompts.

A column of a delta adds left_i (right_i . k) to the output of its matrix for a key k. Its pull at a prompt is the
length of that, the largest over the prompt's tokens, summed over the edited layers: one forward pass up to the last.
"""

from collections.abc import Sequence
from typing import Any

from editors.delta import WeightDelta
from editors.layouts import layout_of
from editors.trace import evaluating, inputs_of


def pull(model: Any, tokenizer: Any, delta: WeightDelta, prompts: Sequence[str]) -> dict[str, float]:
    """The pull of every column, summed over the prompts, by the first fact of the column.

    Args:
        model: in the state in which the delta is judged; comes out as it went in.
        tokenizer: its tokenizer.
        delta: whose columns are weighed.
        prompts: at which they pull.
    """
    import torch

    layout = layout_of(model)
    names = {layout.down_name(index): index for index in range(len(layout.block_list(model)))}
    modules = {
        layer.parameter: model.get_submodule(layer.parameter.removesuffix(".weight"))
        for layer in delta.layers
        if layer.parameter in names
    }
    strength = torch.zeros(len(delta.columns), dtype=torch.float64)
    with torch.inference_mode(), evaluating(model):
        for prompt in prompts:
            ids = torch.tensor([tokenizer(prompt)["input_ids"]], device=model.device)
            with inputs_of(modules) as keys:
                model(input_ids=ids, use_cache=False)
            for layer in delta.layers:
                key = keys[layer.parameter][0].double().cpu()  # (tokens, d_in)
                weight = (layer.right.double() @ key.t()).abs().amax(dim=1)  # (columns,)
                strength += weight * layer.left.double().norm(dim=0)
    return {column[0]: float(value) for column, value in zip(delta.columns, strength, strict=True)}
