"""Gemma: Llama's parts; embeddings are scaled by sqrt(d) before the first block, norms weigh by 1 + w."""

from dataclasses import replace

from editors.layouts.llama import LLAMA

GEMMA = replace(LLAMA, family="gemma", model_types=("gemma",))
