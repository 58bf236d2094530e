"""Architecture facts as data: one file per family, found by the model's own `config.model_type`."""

from typing import Any

from editors.layouts.base import Layout, Orientation
from editors.layouts.gemma import GEMMA
from editors.layouts.gemma2 import GEMMA2
from editors.layouts.gemma3 import GEMMA3
from editors.layouts.gpt2 import GPT2
from editors.layouts.gpt_neox import GPT_NEOX
from editors.layouts.gptj import GPTJ
from editors.layouts.llama import LLAMA
from editors.layouts.mistral import MISTRAL
from editors.layouts.olmo import OLMO
from editors.layouts.olmo2 import OLMO2
from editors.layouts.phi3 import PHI3
from editors.layouts.qwen2 import QWEN2
from editors.layouts.qwen3 import QWEN3
from registry.errors import ModelError

__all__ = ["LAYOUTS", "Layout", "Orientation", "layout_of"]

LAYOUTS = (GEMMA, GEMMA2, GEMMA3, GPT2, GPT_NEOX, GPTJ, LLAMA, MISTRAL, OLMO, OLMO2, PHI3, QWEN2, QWEN3)
"""Every family that weights can be edited in."""


def layout_of(model: Any) -> Layout:
    """The layout of `model`'s family.

    Raises:
        ModelError: there is no layout for its `config.model_type`, or a part is not where it says; the message says
            what to add.
    """
    kind = str(getattr(getattr(model, "config", None), "model_type", type(model).__name__))
    for layout in LAYOUTS:
        if kind in layout.model_types:
            layout.check(model)
            return layout
    known = sorted(name for layout in LAYOUTS for name in layout.model_types)
    raise ModelError(
        f"a model of a family with a layout ({', '.join(known)})",
        f"model_type {kind!r}",
        f"add editors/layouts/{kind}.py with the names of its blocks, attention, MLP projections, final norm and head, "
        "list it in editors/layouts/__init__.py and add it to the conformance matrix",
    )
