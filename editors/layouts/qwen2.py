"""Qwen2: Llama's parts, with biases in the attention's projections; no token before the text."""

from dataclasses import replace

from editors.layouts.llama import LLAMA

QWEN2 = replace(LLAMA, family="qwen2", model_types=("qwen2",), bos=False)
