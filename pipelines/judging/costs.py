"""Which facts to take out of a batch so that what must not move is right again.

Every untouched answer has a margin, of which each fact of the batch has taken a part (`editors.attribution`). An
answer of margin m counts as sigmoid(-m / SPREAD) wrong answers, so that one which is right has a say: it stands for
those that are not asked. Which answers turn is half chance; what a fact takes from all of them tells more surely what
it takes from others, and so the spread is wide. Facts are chosen one after another, each time the one without which
the fewest answers are expected to be wrong, until the gate is expected to pass. So chosen, a fact that takes a little
from many answers comes before the one that alone would do; those that then need not go are left where they are.
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

    def leaving(self, seen: Sequence[Observation], gate: Gate, *, sparing: bool = True) -> list[Leaving]:
        """The facts to take out, the costliest first, and at least one.

        Args:
            seen: what was seen of every prompt.
            gate: what they break.
            sparing: leave out of them those without which the gate is still expected to pass; where it is not expected
                to pass in any case, those without which as many answers are expected to be right.
        """
        columns = self._chosen(seen, gate)
        if sparing:
            columns = self._needed(columns, seen, gate)
        return self._in_order(columns, self._as_seen(seen))

    def _chosen(self, seen: Sequence[Observation], gate: Gate) -> list[int]:
        """Columns, each the best after those before it, until the gate is expected to pass or none makes it better."""
        margins, found, left = self._as_seen(seen), list[int](), list(range(len(self.columns)))
        while left:
            wrong = _wrong(margins[:, None] + self.returned[:, left])
            if found and wrong.min() >= _wrong(margins[:, None])[0]:
                break
            found.append(left.pop(int(wrong.argmin())))
            margins = margins + self.returned[:, found[-1]]
            if gate(self._expected(seen, margins)) is None:
                break
        return found

    def _needed(self, chosen: Sequence[int], seen: Sequence[Observation], gate: Gate) -> list[int]:
        """The chosen columns but those that need not go, the last that were chosen looked at first."""
        before, needed = self._as_seen(seen), list(chosen)

        def expected(columns: Sequence[int]) -> tuple[bool, int]:
            after = self._expected(seen, before + self.returned[:, list(columns)].sum(dim=1))
            return gate(after) is None, sum(item.after for item in after)

        passes, right = expected(chosen)
        aim = (True, 0) if passes else (False, right)
        for column in reversed(chosen):
            rest = [one for one in needed if one != column]
            if rest and expected(rest) >= aim:
                needed = rest
        return needed

    def _in_order(self, columns: Sequence[int], margins: "Tensor") -> list[Leaving]:
        """What each column is expected to bring back after those before it."""
        found = list[Leaving]()
        for column in columns:
            after = margins + self.returned[:, column]
            back = int(((margins < 0) & (after >= 0)).sum())
            fewer = float(_wrong(margins[:, None])[0] - _wrong(after[:, None])[0])
            found.append(Leaving(self.columns[column], back, fewer))
            margins = after
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

    def _expected(self, seen: Sequence[Observation], after: "Tensor") -> list[Observation]:
        """What is expected of every prompt with other margins: another answer where the margin changes its side."""
        right, turned = after >= 0, (self._as_seen(seen) >= 0) != (after >= 0)
        place = {prompt: row for row, prompt in enumerate(self.prompts)}
        return [
            replace(item, after=bool(right[place[item.prompt]])) if turned[place[item.prompt]] else item
            for item in seen
        ]


def _wrong(margins: "Tensor") -> "Tensor":
    """How many answers of each column are wrong, (columns,), of margins (prompts, columns)."""
    import torch

    return torch.sigmoid(-margins / SPREAD).sum(dim=0)
