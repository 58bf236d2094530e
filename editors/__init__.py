"""WRITES: editors that put facts into a model's memories; one folder each, one line each in `EDITORS`.

    from editors import get_editor
    delta = get_editor("memit").fit(model, tokenizer, requests)
    with delta.applied(model):
        ...

Needs torch, transformers, peft and safetensors only, so that it runs on a bare GPU node.
"""

from importlib import import_module
from pathlib import Path
from typing import cast

from editors.base import EditDelta, Editor
from registry.errors import UnknownNameError

__all__ = ["EDITORS", "EditDelta", "Editor", "get_editor", "read_delta"]

EDITORS = {
    "grace": "editors.grace.editor:GraceEditor",
    "lora": "editors.lora.editor:LoraEditor",
    "memit": "editors.memit.editor:MemitEditor",
    "mend": "editors.mend.editor:MendEditor",
    "rag": "editors.rag.editor:RagEditor",
    "rome": "editors.rome.editor:RomeEditor",
    "serac": "editors.serac.editor:SeracEditor",
    "sst": "editors.sst.editor:SstEditor",
    "svfit": "editors.svfit.editor:SvfitEditor",
    "wise": "editors.wise.editor:WiseEditor",
}
"""Every editor by name; its module is imported when it is asked for."""


def get_editor(name: str) -> Editor:
    """The editor called `name`.

    Raises:
        UnknownNameError: there is none of that name; the message names the nearest.
    """
    if name not in EDITORS:
        raise UnknownNameError("editor", name, EDITORS)
    module, _, attribute = EDITORS[name].partition(":")
    return cast(Editor, getattr(import_module(module), attribute)())


def read_delta(folder: Path) -> EditDelta:
    """Read a saved delta of any editor.

    Raises:
        EditError: there is no delta in the folder.
        IntegrityError: the content does not have the digests that it names.
    """
    from editors.store import read_record

    return get_editor(str(read_record(folder)["editor"])).load(folder)
