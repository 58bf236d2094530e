"""Which facts to take out of a batch so that what must not move is right again.

Every untouched answer has a margin, of which each fact of the batch has taken a part (`editors.attribution`). An
answer of margin m counts as sigmoid(-m / SPREAD) wrong answers, so that one which is right has a say: it stands for
those that are not asked. Which answers turn is half chance; what a fact takes from all of them tells more surely what
it takes from others, and so the spread is wide. Facts go one after another, each time the one without which the
fewest answers are expected to be wrong, until the gate is expected to pass.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from guards.observations import Observation

if TYPE_CHECKING:
    from torch import Tensor

Gate = Callable[[Sequence[Observation]], str | None]
"""Says in words which gate the observations break; None when they break none."""

SPREAD = 4.0
"""Nats over which an answer turns from right to wrong when it is counted; docs/loop.md says how it was chosen."""
BARELY = 1e-6
"""Nats by which an answer is wrong of which nothing else is known."""


@dataclass(frozen=True)
class Leaving:
    """One fact that goes.

    Attributes:
        fact_id: the fact.
        back: broken answers that are expected back when it goes after those before it.
        fewer: how many fewer answers are expected to be wrong, those nearly so counted by their part.
    """

    fact_id: str
    back: int
    fewer: float


@dataclass(frozen=True, eq=False)
class Costs:
    """What the facts of a batch take from what must not move.

    Attributes:
        columns: the facts, the first of each column.
        prompts: what was asked.
        margins: of the answers given before, (prompts,) float64, nats; below 0 something else is said.
        returned: the margin that comes back without a column, (prompts, columns) float64, nats.
    """

    columns: tuple[str, ...]
    prompts: tuple[str, ...]
    margins: "Tensor"
    returned: "Tensor"

    def leaving(self, seen: Sequence[Observation], gate: Gate) -> list[Leaving]:
        """The facts to take out, the costliest first: as few as the gate is expected to pass with, and at least one.

        Where it is not expected to pass, all without which fewer answers are expected to be wrong.

        Args:
            seen: what was seen of every prompt.
            gate: what they break.
        """
        before = margins = self._as_seen(seen)
        found, left = list[Leaving](), list(range(len(self.columns)))
        while left:
            wrong = _wrong(margins[:, None] + self.returned[:, left])
            column = left.pop(int(wrong.argmin()))
            fewer = float(_wrong(margins[:, None])[0] - wrong.min())
            if found and fewer <= 0:
                break
            after = margins + self.returned[:, column]
            back = int(((margins < 0) & (after >= 0)).sum())
            found.append(Leaving(self.columns[column], back, fewer))
            margins = after
            if gate(self._expected(seen, before, after)) is None:
                break
        return found

    def _as_seen(self, seen: Sequence[Observation]) -> "Tensor":
        """The margins, (prompts,); of an answer that is wrong though its margin says otherwise, just below 0.

        A margin is that of one way to say an answer. Whatever comes back of it may set the answer right; were it never
        expected back, no number of facts would do.
        """
        margins = self.margins.clone()
        wrong = {item.prompt for item in seen if not item.after}
        rows = [row for row, prompt in enumerate(self.prompts) if prompt in wrong]
        margins[rows] = margins[rows].clamp(max=-BARELY)
        return margins

    def _expected(self, seen: Sequence[Observation], before: "Tensor", after: "Tensor") -> list[Observation]:
        """What is expected of every prompt with other margins: another answer where the margin changes its side."""
        right, turned = after >= 0, (before >= 0) != (after >= 0)
        place = {prompt: row for row, prompt in enumerate(self.prompts)}
        return [
            replace(item, after=bool(right[place[item.prompt]])) if turned[place[item.prompt]] else item
            for item in seen
        ]


def _wrong(margins: "Tensor") -> "Tensor":
    """How many answers of each column are wrong, (columns,), of margins (prompts, columns)."""
    import torch

    return torch.sigmoid(-margins / SPREAD).sum(dim=0)
