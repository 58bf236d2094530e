"""Gemma 3, text models: a norm on each side of attention and MLP; layers with a window have their own rotary base."""

from dataclasses import replace

from editors.layouts.llama import LLAMA

GEMMA3 = replace(LLAMA, family="gemma3", model_types=("gemma3_text",), post="post_feedforward_layernorm")
