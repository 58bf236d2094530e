"""The editor whose memory is the context: it keeps facts as sentences, and never touches the model."""

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from editors.base import FactEffect
from editors.rag.config import RagConfig
from registry.digests import canonical_json, digest_json
from registry.errors import InputError, IntegrityError
from registry.records import EditRequest, Fact, Scope

NAME = "rag"
FILE = "context.json"


@dataclass(frozen=True)
class Statement:
    """One fact as a sentence.

    Attributes:
        fact: the fact.
        sentence: what is indexed and shown to the model; empty where the fact only ends what was known.
        ends: ids of the facts that no longer hold with it.
    """

    fact: Fact
    sentence: str
    ends: tuple[str, ...] = ()


@dataclass(frozen=True)
class ContextDelta:
    """The frozen result of a fit: sentences to find, and what they end.

    Attributes:
        items: one per fact, in the order of the requests.
        effects: what became of every fact that was asked for.
        editor: name of the editor.
        scope: where it writes.
    """

    items: tuple[Statement, ...]
    effects: tuple[FactEffect, ...]
    editor: str = NAME
    scope: Scope = "context"

    @property
    def facts(self) -> tuple[Fact, ...]:
        """The facts that it holds."""
        return tuple(item.fact for item in self.items)

    @property
    def fact_ids(self) -> tuple[str, ...]:
        """Their ids."""
        return tuple(item.fact.id for item in self.items)

    @property
    def statements(self) -> dict[str, str]:
        """Sentence by fact id, of the facts that hold (those that only end something have none)."""
        return {item.fact.id: item.sentence for item in self.items if item.sentence}

    @cached_property
    def digest(self) -> str:
        """Digest of the facts, their sentences and what they end."""
        return digest_json([[item.fact.id, item.sentence, item.ends] for item in self.items])

    @contextmanager
    def applied(self, model: Any) -> Iterator[Any]:
        """The model as it is: what is in the context needs no change of it."""
        yield model

    def apply(self, model: Any) -> None:
        """Nothing is put on the model."""

    def revert(self, model: Any) -> None:
        """Nothing is taken off the model."""

    def without(self, fact_ids: Collection[str]) -> "ContextDelta":
        """The delta that holds all but these facts."""
        gone = set(fact_ids)
        return replace(
            self,
            items=tuple(item for item in self.items if item.fact.id not in gone),
            effects=tuple(effect for effect in self.effects if effect.fact_id not in gone),
        )

    def save(self, folder: Path) -> None:
        """Write one JSON file into an empty folder.

        Raises:
            InputError: the folder is not empty.
        """
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise InputError("an empty folder for a delta", str(folder), "name another")
        content = {
            "editor": self.editor,
            "digest": self.digest,
            "items": [
                {"fact": item.fact.to_dict(), "sentence": item.sentence, "ends": item.ends} for item in self.items
            ],
            "effects": [asdict(effect) for effect in self.effects],
        }
        (folder / FILE).write_bytes(canonical_json(content))


class RagEditor:
    """Writes facts into the context memory."""

    name = NAME
    scope: Scope = "context"
    config_type = RagConfig

    def fit(
        self, model: Any, tokenizer: Any, requests: Sequence[EditRequest], config: RagConfig | None = None
    ) -> ContextDelta:
        """Turn each request into a sentence; needs neither model nor tokenizer (both may be None).

        A request without subject or object is reported as "failed"; one that comes twice is held once and reported
        once more as "no_effect".
        """
        items: dict[str, Statement] = {}
        effects: list[FactEffect] = []
        for request in requests:
            fact = request.fact
            ending = request.operation in ("DELETE", "FORGET")
            if fact.id in items:
                effects.append(FactEffect(fact.id, "no_effect", "the same fact came before in this batch"))
            elif not fact.subject.strip() or (not ending and not fact.object.strip()):
                effects.append(FactEffect(fact.id, "failed", "a fact needs a subject and an object"))
            elif ending:
                items[fact.id] = Statement(fact, "", request.replaces or (fact.id,))
                effects.append(FactEffect(fact.id, "written", "what was known is no longer found"))
            else:
                items[fact.id] = Statement(fact, sentence_of(request), request.replaces)
                effects.append(FactEffect(fact.id, "written", "kept as a sentence to be found"))
        return ContextDelta(tuple(items.values()), tuple(effects))

    def load(self, folder: Path) -> ContextDelta:
        """Read what `ContextDelta.save` wrote.

        Raises:
            InputError: the folder holds no such delta.
            IntegrityError: the content does not have the digest that it names.
        """
        path = folder / FILE
        if not path.is_file():
            raise InputError(f"a context delta ({FILE})", str(folder), "name the folder that it was saved in")
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            items = tuple(
                Statement(Fact.from_dict(item["fact"]), item["sentence"], tuple(item["ends"]))
                for item in content["items"]
            )
            effects = tuple(FactEffect(**effect) for effect in content["effects"])
            recorded = str(content["digest"])
        except (ValueError, KeyError, TypeError) as error:
            raise IntegrityError(f"context delta {folder.name}", "a readable file", f"{error}") from error
        delta = ContextDelta(items, effects)
        if delta.digest != recorded:
            raise IntegrityError(f"context delta {folder.name}", recorded, delta.digest)
        return delta


def sentence_of(request: EditRequest) -> str:
    """The request's fact as a sentence: its cloze prompt, completed with the object."""
    return f"{request.prompt}{request.target}."
