"""OLMo: Llama's parts, with layer norms that have no weights."""

from dataclasses import replace

from editors.layouts.llama import LLAMA

OLMO = replace(LLAMA, family="olmo", model_types=("olmo",), bos=False)
