"""Mistral: Llama's parts, with attention that looks back over a window."""

from dataclasses import replace

from editors.layouts.llama import LLAMA

MISTRAL = replace(LLAMA, family="mistral", model_types=("mistral",))
