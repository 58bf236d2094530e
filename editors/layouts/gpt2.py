"""GPT-2: plain MLP, layer norm before each half of a block, matrices stored transposed, learned positions."""

from editors.layouts.base import Layout

GPT2 = Layout(
    family="gpt2",
    model_types=("gpt2",),
    blocks="transformer.h",
    attention="attn",
    up="mlp.c_fc",
    down="mlp.c_proj",
    norm="transformer.ln_f",
    head="lm_head",
    orientation="conv1d",
)
