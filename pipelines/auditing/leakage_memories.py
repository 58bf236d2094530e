"""What the files of a side memory tell of its subjects, to somebody who knows how its method makes what it stores.

A side memory keeps what it looks things up by, and that can be made again from a guessed name: WISE the middle of each
fact's keys under sentences that stand in its code, GRACE the key of each fact's own prompt, SERAC the subject itself,
as text. So each candidate's is made and compared with what is stored. The prompts of GRACE's facts are taken as known:
a catalogue is no secret, and whoever has it tries them all.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from registry.text import normalise

if TYPE_CHECKING:
    from editors.load import LoadedModel

READ = {
    "wise": "the middle of its subject's keys that it stores with each fact, made again from each name,",
    "grace": "the keys that it stores, made again from each name in the facts' prompts,",
    "serac": "the subjects that it stores as text, which need no guessing: an AUC of 1 by construction,",
}
"""How each method's files are read, for a person."""

TOGETHER = 16
"""Candidates whose keys are made at once."""


def read_off(loaded: "LoadedModel", delta: Any, subjects: Sequence[str], prompts: Sequence[str]) -> list[float] | None:
    """How well what is stored fits each subject, the more the better; None where this delta is no side memory.

    Args:
        loaded: the model, without the delta.
        delta: as loaded from its files.
        subjects: candidates.
        prompts: sentences with {} for the subject and nothing after what asks.
    """
    ways: Mapping[str, Callable[[], list[float]]] = {
        "wise": lambda: centres(loaded, delta, subjects),
        "grace": lambda: entries(loaded, delta, subjects, prompts),
        "serac": lambda: texts(delta, subjects),
    }
    return ways[delta.editor]() if delta.editor in ways else None


def centres(loaded: "LoadedModel", delta: Any, subjects: Sequence[str]) -> list[float]:
    """The largest cosine between a subject's own middle and one that WISE stores, through that fact's mask."""
    import torch

    from editors.others import RELATIONS
    from editors.wise.solve import mask

    cosine = torch.nn.functional.cosine_similarity
    stored = delta.tensors["centres"].double()
    places = [mask(seed, int(delta.record["width"]), float(delta.record["mask"])) for seed in delta.record["masks"]]
    found = []
    for own in _ends(loaded, delta, subjects, RELATIONS):
        middle = own.mean(0)
        pairs = zip(stored, places, strict=True)
        found.append(max(float(cosine(middle[place], centre, dim=0)) for centre, place in pairs))
    return found


def entries(loaded: "LoadedModel", delta: Any, subjects: Sequence[str], prompts: Sequence[str]) -> list[float]:
    """Minus the least distance from a subject's key in one of the prompts to a stored one, over the length of that."""
    import torch

    stored = delta.tensors["keys"].double()
    return [
        -float((torch.cdist(own, stored) / stored.norm(dim=1)).min()) for own in _ends(loaded, delta, subjects, prompts)
    ]


def texts(delta: Any, subjects: Sequence[str]) -> list[float]:
    """1 where SERAC stores an edit of the subject, else 0."""
    stored = {normalise(str(edit["subject"])) for edit in delta.record["edits"]}
    return [float(normalise(subject) in stored) for subject in subjects]


def _ends(loaded: "LoadedModel", delta: Any, subjects: Sequence[str], templates: Sequence[str]) -> Iterator[Any]:
    """What the memory's down-projection is given at the end of each template, (templates, d_in), by subject."""
    import torch

    from editors.layouts import layout_of
    from editors.sequences import unrouted
    from editors.side_fit import keys_of

    layout, layer = layout_of(loaded.model), int(delta.record["layer"])
    for begin in range(0, len(subjects), TOGETHER):
        some = subjects[begin : begin + TOGETHER]
        said = [template.replace("{}", subject) for subject in some for template in templates]
        with unrouted(loaded.model):
            keys = keys_of(loaded.model, layout, layer, [loaded.tokenizer(text)["input_ids"] for text in said])
        ends = torch.stack([key[-1].to("cpu", torch.float64) for key in keys])
        yield from ends.reshape(len(some), len(templates), -1)
