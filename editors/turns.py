"""Whose turn it is in a step of training: all items in a new order again and again, drawn by seed."""

import random
from collections import deque
from collections.abc import Collection


class Turns:
    """An endless line of items, from which steps take what they see."""

    def __init__(self, count: int, batch: int, seed: int) -> None:
        """So many items, of which a step sees a batch at most."""
        self._items = range(count)
        self._batch = min(batch, count)
        self._choice = random.Random(seed)
        self._line: deque[int] = deque()

    def next(self, among: Collection[int] | None = None) -> list[int]:
        """The next items of the line; others than those `among` are passed over, and so few that all fit are all."""
        if among is not None and len(among) <= self._batch:
            return sorted(among)
        taken: list[int] = []
        while len(taken) < self._batch:
            if not self._line:
                self._line += self._choice.sample(self._items, len(self._items))
            item = self._line.popleft()
            if among is None or item in among:
                taken.append(item)
        return taken
