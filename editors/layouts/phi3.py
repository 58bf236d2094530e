"""Phi-3: Llama's parts, with gate and up projection in one matrix, and queries, keys and values in one."""

from dataclasses import replace

from editors.layouts.llama import LLAMA

PHI3 = replace(LLAMA, family="phi3", model_types=("phi3",), up="mlp.gate_up_proj", bos=False)
