"""Llama and the families built from the same parts: gated MLP, RMS norm before each half of a block."""

from editors.layouts.base import Layout

LLAMA = Layout(
    family="llama",
    model_types=("llama", "mistral", "qwen2", "qwen3"),
    blocks="model.layers",
    up="mlp.up_proj",
    down="mlp.down_proj",
    norm="model.norm",
    head="lm_head",
    orientation="linear",
)
