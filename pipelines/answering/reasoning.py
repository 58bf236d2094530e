"""Reasoning paths by the local model: it is asked for the chain by which a text answers a question.

What it writes is used only where it is such a chain; otherwise the rules of `guards.paths.TextReader` read the text.
"""

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from guards.paths import Hop, Path, PathReader, TextReader, ends_of

if TYPE_CHECKING:
    from editors.load import LoadedModel

MAX_NEW_TOKENS, MAX_PARTS = 48, 9
_ARROW = re.compile(r"\s*(?:\u2192|->|=>)\s*")
_ASK = (
    "Question: Who wrote The Silver Door?\nText: The Silver Door, a novel, was written by Mara Quill.\n"
    "Chain: The Silver Door -> written by -> Mara Quill\n\nQuestion: {query}\nText: {text}\nChain:"
)


@dataclass(frozen=True)
class ModelReader:
    """A `PathReader` that asks a model, greedily.

    Attributes:
        loaded: the model.
        otherwise: reads what the model makes no chain of.
        texts: by which question and text were read; the same ones are not asked again.
    """

    loaded: "LoadedModel"
    otherwise: PathReader = field(default_factory=TextReader)
    texts: dict[tuple[str, str], Path] = field(default_factory=dict, repr=False, compare=False)

    def __call__(self, query: str, text: str) -> Path:
        """The model's chain, with the ends that the text itself holds; a chain that is not in the text is not used."""
        from editors.generate import generate

        if (query, text) not in self.texts:
            prompt = _ASK.format(query=" ".join(query.split()), text=" ".join(text.split()))
            (said,) = generate(self.loaded.model, self.loaded.tokenizer, [prompt], max_new_tokens=MAX_NEW_TOKENS)
            self.texts[query, text] = chain_of(said.text, query, text) or self.otherwise(query, text)
        return self.texts[query, text]


def chain_of(said: str, query: str, text: str) -> Path | None:
    """The path in a model's words "entity -> relation -> entity ..."; None where they are none, or invent an entity.

    The ends are those of the text: a model may order what is there, and may not add to it.
    """
    parts = [part.strip(" .\"'") for part in _ARROW.split(said.strip().split("\n")[0])]
    if not 3 <= len(parts) <= MAX_PARTS or len(parts) % 2 == 0 or not all(parts):
        return None
    known = f"{query}\n{text}".casefold()
    if not all(entity.casefold() in known for entity in parts[::2]):
        return None
    hops = [Hop(*parts[place : place + 3]) for place in range(0, len(parts) - 2, 2)]
    return Path(tuple(hops), ends_of(query, text))
