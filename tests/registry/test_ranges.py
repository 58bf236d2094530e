from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from registry.ranges import Amount, Count, Growth, Level, Positive, Real, Share, Some

CASES = [
    (Share, [0, 0.5, 1], [-0.1, 1.1, 97]),
    (Level, [0.05, 0.95], [0, 1, -1]),
    (Growth, [1, 1.02], [0.99, 0]),
    (Amount, [0, 12.5], [-0.1]),
    (Positive, [1e-9, 3], [0, -1]),
    (Real, [-7.5, 0, 7.5], []),
    (Count, [0, 3], [-1]),
    (Some, [1, 3], [0, -1]),
]
NEVER = [float("nan"), float("inf"), float("-inf"), "many", None]


@pytest.mark.parametrize(("kind", "good", "bad"), CASES)
def test_what_lies_within_is_taken_and_nothing_else(kind: Any, good: list[float], bad: list[float]) -> None:
    adapter = TypeAdapter[float](kind)
    assert [adapter.validate_python(value) for value in good] == good
    for value in [*bad, *NEVER]:
        with pytest.raises(ValidationError):
            adapter.validate_python(value)


def test_a_refusal_names_the_range() -> None:
    with pytest.raises(ValidationError, match="between 0 and 1"):
        TypeAdapter[float](Level).validate_python(1)
