"""Architecture facts as data: one file per family, found by the model's own `config.model_type`."""

from typing import Any

from editors.layouts.base import Layout, Orientation
from editors.layouts.gpt2 import GPT2
from editors.layouts.llama import LLAMA
from registry.errors import ModelError

__all__ = ["LAYOUTS", "Layout", "Orientation", "layout_of"]

LAYOUTS = (GPT2, LLAMA)
"""Every family that weights can be edited in."""


def layout_of(model: Any) -> Layout:
    """The layout of `model`'s family.

    Raises:
        ModelError: there is no layout for its `config.model_type`; the message says what to add.
    """
    kind = str(getattr(getattr(model, "config", None), "model_type", type(model).__name__))
    for layout in LAYOUTS:
        if kind in layout.model_types:
            return layout
    known = sorted(name for layout in LAYOUTS for name in layout.model_types)
    raise ModelError(
        f"a model of a family with a layout ({', '.join(known)})",
        f"model_type {kind!r}",
        f"add editors/layouts/{kind}.py with the names of its blocks, MLP projections, final norm and head, list it in "
        "editors/layouts/__init__.py and add it to the conformance matrix",
    )
