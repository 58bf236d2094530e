"""GPT-J: attention and MLP read the same normed input side by side, and both are added to the stream."""

from editors.layouts.base import Layout

GPTJ = Layout(
    family="gptj",
    model_types=("gptj",),
    blocks="transformer.h",
    attention="attn",
    up="mlp.fc_in",
    down="mlp.fc_out",
    norm="transformer.ln_f",
    head="lm_head",
)
