"""Reading: how much harder running text may become for the model, and which facts of a batch make it so.

Every edit moves text that has nothing to do with it by a little, and the little adds up with the number of facts. While
a batch is over its budget, the facts whose edits pull hardest at the text are taken out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from pipelines.write import Written

if TYPE_CHECKING:
    from editors.load import LoadedModel

Read = tuple[tuple[float, int], ...]
"""Per text the summed negative log-likelihood in nats, and how many tokens it is summed over."""


@dataclass(frozen=True)
class Reading:
    """Running text and its budget.

    Attributes:
        loaded: the model.
        texts: what is read.
        before: its likelihood before the batch was written.
        most: perplexity after a batch, over that of before, at most.
        known: its likelihood with batches that were read already, by the digest of their delta.
    """

    loaded: "LoadedModel"
    texts: Sequence[str]
    before: Read
    most: float
    known: dict[str, Read] = field(default_factory=dict)

    @classmethod
    def of(cls, loaded: "LoadedModel", texts: Sequence[str], most: float) -> Self:
        """Read the texts with the model as it is now."""
        return cls(loaded, texts, likelihoods(loaded, texts), most)

    def after(self, written: Written) -> Read:
        """The likelihood of the texts with a batch on; each state of a batch is read once."""
        assert written.delta is not None, "only a batch with facts in it is on the bench"
        digest = written.delta.digest
        if digest not in self.known:
            with written.delta.applied(self.loaded.model):
                self.known[digest] = likelihoods(self.loaded, self.texts)
        return self.known[digest]

    def ratio(self, written: Written) -> float:
        """Perplexity with a batch on, over that of before; 1 where there is nothing to read."""
        count = sum(tokens for _, tokens in self.before)
        return math.exp((_total(self.after(written)) - _total(self.before)) / count) if count else 1.0

    def heaviest(self, written: Written) -> dict[str, str]:
        """The facts that pull hardest at the text, each with the reason; empty where the budget is kept.

        So many are named as would bring half of what is over the budget if all weighed the same: those that are named
        weigh more than that. A ratio that is no number names all of them.
        """
        from editors.delta import WeightDelta
        from editors.pull import pull

        delta = written.delta
        assert isinstance(delta, WeightDelta), "what is on the bench was written into weights"
        found = self.ratio(written)
        if found <= self.most:
            return {}
        with delta.applied(self.loaded.model):
            strength = pull(self.loaded.model, self.loaded.tokenizer, delta, self.texts)
        words = f"running text became {found:.3f} times as hard to read; {self.most:.2f} is allowed"
        ranked = sorted(strength, key=lambda fact_id: -strength[fact_id])
        return dict.fromkeys(ranked[: self._surplus(found, len(ranked))], words)

    def _surplus(self, ratio: float, columns: int) -> int:
        """How many of so many edits are taken out at once."""
        if not math.isfinite(ratio) or self.most <= 1:
            return columns if not math.isfinite(ratio) else math.ceil(columns / 2)
        return math.ceil(columns * (1 - math.log(self.most) / math.log(ratio)) / 2)


def likelihoods(loaded: "LoadedModel", texts: Sequence[str]) -> Read:
    """The likelihood of every text with the model as it is now."""
    from editors.generate import token_nll

    return tuple(token_nll(loaded.model, loaded.tokenizer, texts))


def _total(read: Sequence[tuple[float, int]]) -> float:
    """The negative log-likelihood of all texts."""
    return sum(total for total, _ in read)
