"""Gemma 2: a norm on each side of attention and MLP, every other layer looks back over a window, logits are bounded."""

from dataclasses import replace

from editors.layouts.llama import LLAMA

GEMMA2 = replace(
    LLAMA,
    family="gemma2",
    model_types=("gemma2",),
    post="post_feedforward_layernorm",
    softcap="final_logit_softcapping",
)
