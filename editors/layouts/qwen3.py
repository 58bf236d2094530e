"""Qwen3: Llama's parts, with norms on queries and keys; no token before the text."""

from dataclasses import replace

from editors.layouts.llama import LLAMA

QWEN3 = replace(LLAMA, family="qwen3", model_types=("qwen3",), bos=False)
