"""Ranges of the numbers that people set, as types: enforced where a file is read, not where a dataclass is built.

Each is a plain number to everything else. A share of 97 or of -1 would else be taken as it stands, and a gate that asks
for it would pass never, or always.
"""

from dataclasses import dataclass
from math import inf, isfinite
from typing import TYPE_CHECKING, Annotated, Any

if TYPE_CHECKING:
    from pydantic_core import CoreSchema


@dataclass(frozen=True)
class Within:
    """A range of finite numbers, closed unless it is said to be open.

    Attributes:
        words: the range, for messages.
        low: its lower end.
        high: its upper end.
        is_open: whether the ends do not belong to it.
    """

    words: str
    low: float
    high: float = inf
    is_open: bool = False

    def checked(self, value: Any) -> Any:
        """The value itself.

        Raises:
            ValueError: it lies outside; the message is the range.
        """
        inside = self.low < value < self.high if self.is_open else self.low <= value <= self.high
        if not (inside and isfinite(value)):
            raise ValueError(self.words)
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> "CoreSchema":
        """How pydantic enforces it, after it has made a number of what was given."""
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(self.checked, handler(source))


Share = Annotated[float, Within("0 to 1", 0, 1)]
"""From none to all."""
Level = Annotated[float, Within("between 0 and 1", 0, 1, is_open=True)]
"""Of a confidence, or of a test."""
Growth = Annotated[float, Within("1 or more", 1)]
"""What something may become, over what it was."""
Amount = Annotated[float, Within("0 or more", 0)]
"""Of something in its own unit."""
Positive = Annotated[float, Within("more than 0", 0, is_open=True)]
"""The same, where there must be some."""
Real = Annotated[float, Within("a finite number", -inf)]
"""Of either sign."""
Count = Annotated[int, Within("0 or more", 0)]
"""How many; there may be none."""
Some = Annotated[int, Within("1 or more", 1)]
"""How many; there must be one."""
