"""What a delta tells of its subjects: whether its numbers answer to them, and whether its files name them.

A change of weights that writes a fact answers to the key of the fact's subject and to few others, which is what makes
it an edit; whoever holds the delta and a list of candidates can ask which of them it is about. What side memories store
is compared with what each candidate would have them store (`leakage_memories.py`); one of another kind is asked how
strongly it claims a sentence about each candidate.
"""

import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from guards.leakage import NUMBERS, Revealed
from registry.records import Fact
from registry.text import normalise

if TYPE_CHECKING:
    from editors.delta import WeightDelta
    from editors.load import LoadedModel
    from editors.side_delta import SideDelta

SENTENCES = ("The story of {}", "{} is a", "I have read about {}")
"""About anything; an attacker does not know the prompts that were fitted on."""

SHORTEST = 4
"""Letters of a name that is looked for in files; shorter ones stand anywhere by chance."""


def revealed(
    loaded: "LoadedModel",
    folder: Path,
    facts: Mapping[str, Fact],
    others: Sequence[str],
    *,
    most: int,
    seed: int = 0,
    prompts: Mapping[str, str] = MappingProxyType({}),
) -> Revealed:
    """Look into a saved delta.

    Args:
        loaded: the model; what lies below the first edited block is looked at only.
        folder: the saved delta.
        facts: facts by id, among them those of the delta.
        others: subjects that a guess could fall on; those that are named like an edited one are left out.
        most: how many of `others` are compared, drawn by seed.
        seed: of the draw.
        prompts: how each fact is asked for, by its id, with {} for the subject.

    Raises:
        EditError: there is no delta in the folder.
        IntegrityError: the delta is not as it was saved.
    """
    from editors import read_delta

    delta = read_delta(folder)
    held = [facts[fact_id] for fact_id in delta.fact_ids if fact_id in facts]
    subjects = list(dict.fromkeys(fact.subject for fact in held))
    names = [normalise(subject) for subject in subjects]
    free = [name for name in dict.fromkeys(others) if not any(_alike(normalise(name), own) for own in names)]
    drawn = random.Random(seed).sample(sorted(free), min(most, len(free)))
    known = tuple(dict.fromkeys(prompts[fact.id] for fact in held if fact.id in prompts))
    way, strengths = strengths_of(loaded, delta, [*subjects, *drawn] if subjects else [], known)
    return Revealed(
        delta.digest,
        delta.editor,
        tuple(zip(subjects, strengths, strict=False)),
        tuple(strengths[len(subjects) :]),
        tuple(in_clear(folder, held, loaded.tokenizer)),
        tuple(dict.fromkeys(fact.subject for fact in held if fact.sensitivity != "public")),
        way,
        tuple(drawn),
    )


def strengths_of(
    loaded: "LoadedModel", delta: Any, subjects: Sequence[str], prompts: Sequence[str] = ()
) -> tuple[str, list[float]]:
    """What of a delta can be asked, in words, and how strongly it answers to each subject; nothing where nothing can.

    Args:
        loaded: the model, without the delta.
        delta: as loaded.
        subjects: candidates.
        prompts: how its facts may be asked for, with {} for the subject; without any `SENTENCES` stand in.
    """
    from editors.delta import WeightDelta
    from editors.side_delta import SideDelta
    from pipelines.auditing.leakage_memories import READ, read_off

    if not subjects or not delta.fact_ids:
        return NUMBERS, []
    stored = read_off(loaded, delta, subjects, prompts or SENTENCES)
    if stored is not None:
        return READ[delta.editor], stored
    if isinstance(delta, WeightDelta) and delta.layers:
        return NUMBERS, answered(loaded, delta, subjects)
    return NUMBERS, claimed(loaded, delta, subjects) if isinstance(delta, SideDelta) else []


def answered(loaded: "LoadedModel", delta: "WeightDelta", subjects: Sequence[str]) -> list[float]:
    """|delta W k| / |k| at each subject's last token, in the delta's first block, mean over `SENTENCES`."""
    from editors.bystanders import keys_at_end
    from editors.layouts import layout_of
    from editors.others import placed

    layout = layout_of(loaded.model)
    change = delta.layers[0]
    depth = range(len(layout.block_list(loaded.model)))
    block = next(index for index in depth if layout.down_name(index) == change.parameter)
    found = [placed(loaded.tokenizer, sentence, subject) for subject in subjects for sentence in SENTENCES]
    keys = keys_at_end(loaded.model, layout, [block], [one.tokens[: one.place + 1] for one in found])[block]
    moved = change.left.double() @ (change.right.double() @ keys)
    strength = (moved.norm(dim=0) / keys.norm(dim=0)).reshape(len(subjects), len(SENTENCES)).mean(dim=1)
    return [float(value) for value in strength]


def claimed(loaded: "LoadedModel", delta: "SideDelta", subjects: Sequence[str]) -> list[float]:
    """The strongest claim that any memory of the delta lays to a sentence about each subject."""
    import torch

    from editors.layouts import layout_of
    from editors.side import Keys
    from editors.trace import inputs_of

    memories = delta.memories(loaded.model)
    module = layout_of(loaded.model).down_module(loaded.model, int(delta.record["layer"]))
    device = loaded.model.get_input_embeddings().weight.device
    found = []
    for subject in subjects:
        claims = []
        for sentence in SENTENCES:
            ids = torch.tensor([loaded.tokenizer(sentence.replace("{}", subject))["input_ids"]], device=device)
            with torch.no_grad(), inputs_of({"keys": module}) as seen:
                loaded.model.base_model(input_ids=ids, use_cache=False)
            values = seen["keys"].reshape(1, ids.shape[1], -1)
            keys = Keys(values, torch.ones(1, ids.shape[1], dtype=torch.bool, device=device), True)
            claims.append(float(type(memories[0]).scores(memories, keys).max()))
        found.append(max(claims))
    return found


def in_clear(folder: Path, facts: Iterable[Fact], tokenizer: Any) -> list[str]:
    """Names of the facts that the delta's JSON holds, as text or as token ids of the model's own tokenizer."""
    texts = [
        text
        for path in sorted(folder.glob("*.json"))
        for text in _texts(json.loads(path.read_text(encoding="utf-8")), tokenizer)
    ]
    whole = " \n ".join(f" {normalise(text)} " for text in dict.fromkeys(texts))
    names = dict.fromkeys(name for fact in facts for name in (fact.subject, fact.object))
    return [name for name in names if len(normalise(name)) >= SHORTEST and f" {normalise(name)} " in whole]


def _texts(value: Any, tokenizer: Any) -> Iterator[str]:
    """Every text in a JSON value; lists of token ids are decoded."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, entry in value.items():
            yield from (str(name), *_texts(entry, tokenizer))
    elif isinstance(value, list):
        if value and all(type(entry) is int and 0 <= entry < len(tokenizer) for entry in value):
            yield tokenizer.decode(value)
        else:
            for entry in value:
                yield from _texts(entry, tokenizer)


def _alike(one: str, other: str) -> bool:
    """Whether one name holds the other."""
    return one in other or other in one
