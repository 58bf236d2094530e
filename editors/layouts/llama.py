"""Llama: gated MLP, RMS norm before each half of a block, rotary positions. Most later families are built like it."""

from editors.layouts.base import Layout

LLAMA = Layout(
    family="llama",
    model_types=("llama",),
    blocks="model.layers",
    attention="self_attn",
    up="mlp.up_proj",
    down="mlp.down_proj",
    norm="model.norm",
    head="lm_head",
    bos=True,
    chat=True,
)
