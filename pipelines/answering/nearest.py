"""Which relation a question asks for when its wording is new: the nearest in meaning, or none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.answering.about import SLOT, Mention, Shape, asks_otherwise, holds_words, tokens, unexplained
from registry.ranges import Share

if TYPE_CHECKING:
    from editors.rag.embed import Encoder


@dataclass(frozen=True)
class MeaningPolicy:
    """When a question counts as asking for a relation.

    Attributes:
        enough: score from which a relation is taken.
        margin: how much better than the next it must be.
        cue: what a cue of the relation in the question adds to the cosine.
        strange: what each word that the relation does not explain takes away.
    """

    enough: Share = 0.8
    margin: Share = 0.05
    cue: Share = 0.15
    strange: Share = 0.1


@dataclass(frozen=True)
class Nearest:
    """The relation that a question asks for.

    Attributes:
        relation: its name, None where none is near enough.
        keys: what the question is about.
        score: of the best relation.
        why: in words.
    """

    relation: str | None
    keys: tuple[str, ...]
    score: float
    why: str


Asked = tuple[str, tuple[Mention, ...]]
"""A question without its time, and the names in it."""


class Meaning:
    """Compares questions with the templates of all relations."""

    def __init__(self, shapes: Mapping[str, Shape], encoder: "Encoder | None", policy: MeaningPolicy) -> None:
        """Keep the shapes; their vectors are made at the first comparison."""
        self.shapes, self.encoder, self.policy = shapes, encoder, policy
        self._vectors: Mapping[str, Any] | None = None

    def nearest(self, asked: Sequence[Asked], types: Sequence[Sequence[tuple[str, ...]]]) -> list[Nearest]:
        """The relation of every question, each with at least one name.

        Args:
            asked: the questions.
            types: per question and name, the types of what the name means.
        """
        cases = [
            (number, mention, mention.masked(tokens(text)), kinds)
            for number, (text, mentions) in enumerate(asked)
            for mention, kinds in zip(mentions, types[number], strict=True)
        ]
        texts = [" ".join(masked).replace(SLOT, _thing(kinds)) for _, _, masked, kinds in cases]
        scores = self._cosines(texts, [masked for _, _, masked, _ in cases])
        best: dict[int, Nearest] = {}
        for (number, mention, masked, _), cosines in zip(cases, scores, strict=True):
            found = self._judge(asked[number][0], mention, masked, cosines)
            rival = best.get(number)
            if rival is None or (found.relation is not None, found.score) > (rival.relation is not None, rival.score):
                best[number] = found
        return [best[number] for number in range(len(asked))]

    def strange(self, question: str, masked: Sequence[str], shape: Shape) -> bool:
        """Whether a question names something else beside its subject, or asks for another kind of thing."""
        capital = {word for part in question.split()[1:] if part[:1].isupper() for word in tokens(part)}
        return bool(capital & set(unexplained(masked, shape))) or asks_otherwise(masked, shape)

    def _judge(self, question: str, mention: Mention, masked: Sequence[str], cosines: Mapping[str, float]) -> Nearest:
        """The best relation for one name in one question."""
        ranked = sorted(((self._score(name, masked, cosine), name) for name, cosine in cosines.items()), reverse=True)
        score, name = ranked[0] if ranked else (0.0, "")
        if not name:
            return Nearest(None, mention.keys, 0.0, "no relation is known")
        second = ranked[1][0] if len(ranked) > 1 else 0.0
        label = self.shapes[name].label
        if score < self.policy.enough:
            why = f"no relation that is known is near enough (the nearest, {label}, has {score:.2f})"
        elif score - second < self.policy.margin:
            why = f"it may ask for {label} or {self.shapes[ranked[1][1]].label}"
        elif self.strange(question, masked, self.shapes[name]):
            odd = ", ".join(unexplained(masked, self.shapes[name]) or masked[:1])
            why = f"it is near to {label}, but asks for something else ({odd})"
        else:
            return Nearest(name, mention.keys, score, f"by its meaning ({score:.2f})")
        return Nearest(None, mention.keys, score, why)

    def _score(self, name: str, masked: Sequence[str], cosine: float) -> float:
        """Likeness of a question to one relation."""
        shape = self.shapes[name]
        cued = any(holds_words(masked, cue) for cue in shape.cues)
        return cosine + self.policy.cue * cued - self.policy.strange * len(unexplained(masked, shape))

    def _cosines(self, texts: Sequence[str], masked: Sequence[Sequence[str]]) -> list[dict[str, float]]:
        """Per question, the best cosine with a template of each relation; shared words count where meanings cannot."""
        if not texts:
            return []
        if self.encoder is None:
            return [{name: _overlap(words, shape) for name, shape in self.shapes.items()} for words in masked]
        if self._vectors is None:
            filled = {name: shape.filled(f"the {shape.subject_type}") for name, shape in self.shapes.items()}
            flat = self.encoder.embed([" ".join(tokens(text)) for texts in filled.values() for text in texts])
            rows = iter(flat)
            self._vectors = {name: [next(rows) for _ in texts] for name, texts in filled.items()}
        asked = self.encoder.embed(texts, query=True)
        return [
            {name: max(float(vector @ row) for row in rows) for name, rows in self._vectors.items()} for vector in asked
        ]


def _thing(kinds: Sequence[str]) -> str:
    """What stands for the subject when meanings are compared."""
    return f"the {kinds[0]}" if kinds else "the thing"


def _overlap(words: Sequence[str], shape: Shape) -> float:
    """Share of words that a question has in common with the nearest template (Jaccard)."""
    mine = set(words)
    return max((len(mine & set(other)) / len(mine | set(other)) for other in shape.masked()), default=0.0)
