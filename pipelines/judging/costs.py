"""Which facts to take out of a batch so that what must not move is right again, also where nobody asks.

Every untouched answer has a margin, of which each fact of the batch has taken a part (`editors.attribution`). An answer
of margin m counts as sigmoid(-m / SPREAD) wrong answers, so that one which is nearly wrong has a say: it stands for
those that are not asked. Facts are ordered by how many wrong answers there are less without them, one after another.

A choice flatters itself on the answers that it was made by. How many facts go is therefore told out of fold: the
untouched facts are dealt into `FOLDS` parts, for each of them facts are ordered by the other parts alone, and so many
go that the gate would pass with every part as it is expected without the facts that the others chose. Of fewer than
`ENOUGH` untouched facts a part says next to nothing: there so many go that the gate would pass on all of them together.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from guards.observations import Observation

if TYPE_CHECKING:
    from torch import Tensor

Gate = Callable[[Sequence[Observation]], str | None]
"""Says in words which gate the observations break; None when they break none."""

SPREAD = 0.5
"""Nats over which an answer turns from right to wrong when it is counted."""
FOLDS = 5
"""Parts into which the untouched facts are dealt."""
ENOUGH = 100
"""Untouched facts of which parts are made: one wrong answer more or less is then a point of the share or less."""


@dataclass(frozen=True)
class Leaving:
    """One fact that goes.

    Attributes:
        fact_id: the fact.
        back: broken answers that are expected back when it goes after those before it.
        nats: margin that all answers together get back.
    """

    fact_id: str
    back: int
    nats: float


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
        """The facts to take out, the costliest first: as few as the gate is expected to pass with, or half of them.

        Args:
            seen: what was seen of every prompt.
            gate: what they break.
        """
        margins, found = self.margins.clone(), []
        for column in self.ranked(range(len(self.prompts)))[: self._count(seen, gate)]:
            after = margins + self.returned[:, column]
            back = int(((margins < 0) & (after >= 0)).sum())
            found.append(Leaving(self.columns[column], back, float(self.returned[:, column].sum())))
            margins = after
        return found

    def ranked(self, places: Sequence[int]) -> list[int]:
        """All columns, the one first without which the fewest of some answers are expected to be wrong, and so on."""
        import torch

        rows = list(places)
        margins, returned = self.margins[rows], self.returned[rows]
        left, order = list(range(len(self.columns))), list[int]()
        while left:
            wrong = torch.sigmoid(-(margins[:, None] + returned[:, left]) / SPREAD).sum(dim=0)
            order.append(left.pop(int(wrong.argmin())))
            margins = margins + returned[:, order[-1]]
        return order

    def _count(self, seen: Sequence[Observation], gate: Gate) -> int:
        """How many facts go."""
        place = {prompt: index for index, prompt in enumerate(self.prompts)}
        facts = list(dict.fromkeys(item.fact_id for item in seen))
        number = FOLDS if len(facts) >= ENOUGH else 1
        part_of = {fact_id: index % number for index, fact_id in enumerate(facts)}
        parts = [[place[item.prompt] for item in seen if part_of[item.fact_id] == part] for part in range(number)]
        orders = [self.ranked([row for other in parts if other is not part for row in other] or part) for part in parts]
        margins = self.margins.clone()
        for count in range(1, len(self.columns)):
            for part, order in zip(parts, orders, strict=True):
                margins[part] += self.returned[part, order[count - 1]]
            if gate([self._expected(item, margins, place) for item in seen]) is None:
                return count
        return max(1, len(self.columns) // 2)

    def _expected(self, item: Observation, margins: "Tensor", place: dict[str, int]) -> Observation:
        """An observation as it is expected with other margins: another one where the margin changes its side."""
        index = place[item.prompt]
        right = bool(margins[index] >= 0)
        return item if right == bool(self.margins[index] >= 0) else replace(item, after=right)
