"""The key moments of the model at hand: kept in the home, taken from those that are shipped, or measured.

They are measured once per base model and set of layers; every later run reuses them, also when deltas are on the model.
"""

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipelines.workplace import Workplace
from registry.artifacts import staged
from registry.progress import track

if TYPE_CHECKING:
    from pathlib import Path

    from editors.moments import Moments

RECORD = "moments.json"


def editor_config(place: Workplace, editor: str, quick: bool = False) -> Any:
    """The config of a weight editor: its conf file, with the moments of the model at hand.

    Args:
        place: the workplace.
        editor: its name.
        quick: aim each fact once; what that does not bring lives in the index.
    """
    from editors import get_editor

    config = get_editor(editor).config_type.read(place.settings.conf / f"{editor}.yaml")
    if quick and hasattr(config, "corrections"):
        config = replace(config, corrections=0)
    return replace(config, moments=moments_for(place, config.edited(place.loaded.model)))


def moments_for(place: Workplace, layers: tuple[int, ...]) -> "Moments":
    """The moments of these layers of the base model.

    Raises:
        IntegrityError: the kept ones do not have the digest that they name.
    """
    from editors.layouts import layout_of
    from editors.moments import Moments, measure

    name = "-".join(map(str, layers))
    kept = place.home.moments / place.origin_digest[:16] / name
    if (kept / RECORD).is_file():
        before = Moments.load(kept)
        if before.per_output == bool(layout_of(place.loaded.model).post):
            return before
    shipped = place.settings.conf.parent / place.settings.policy.write.moments
    found = Moments.load(shipped) if (shipped / RECORD).is_file() else None
    if found is None or not _fits(place, found, layers):
        facts = place.settings.catalogue
        texts = [*place.settings.running_text, *(facts.statement(item.fact) for item in place.current)]
        with track(f"measure key moments of layers {name}"):
            source = "the running text and the sentences of the known facts"
            found = measure(place.loaded.model, place.loaded.tokenizer, texts, layers, source=source)
    _keep(found, kept)
    return found


def _fits(place: Workplace, moments: "Moments", layers: tuple[int, ...]) -> bool:
    """Whether the moments are of these layers of this very model."""
    from editors.delta import parameters_digest
    from editors.layouts import layout_of

    if not set(layers) <= set(moments.layers):
        return False
    names = [layout_of(place.loaded.model).down_name(layer) for layer in sorted(moments.layers)]
    return parameters_digest(place.loaded.model, names) == moments.model_digest


def _keep(moments: "Moments", folder: "Path") -> None:
    """Write the moments beside their place and move them there in one step; those of another form make room."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with staged(folder.parent) as made:
        content = made / "moments"
        moments.save(content)
        shutil.rmtree(folder, ignore_errors=True)
        content.rename(folder)
