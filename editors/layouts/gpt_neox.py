"""GPT-NeoX and Pythia: attention and MLP side by side, each with its norm, or in turn (`use_parallel_residual`).

Either way the MLP's output is added to the stream as it is, so that editing needs to know no difference.
"""

from editors.layouts.base import Layout

GPT_NEOX = Layout(
    family="gpt_neox",
    model_types=("gpt_neox",),
    blocks="gpt_neox.layers",
    attention="attention",
    up="mlp.dense_h_to_4h",
    down="mlp.dense_4h_to_h",
    norm="gpt_neox.final_layer_norm",
    head="lm_head",
)
