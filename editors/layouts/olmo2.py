"""OLMo 2: norms after attention and MLP instead of before them."""

from dataclasses import replace

from editors.layouts.llama import LLAMA

OLMO2 = replace(LLAMA, family="olmo2", model_types=("olmo2",), post="post_feedforward_layernorm", bos=False)
