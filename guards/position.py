"""Position and length: whether an answer depends on where the supporting fact stands, and among how many.

The same questions are asked with the fact alone (resolved), and with it among k - 1 others (piled) at several places.
DMM-Gov (arXiv 2509.18868, section 4) calls for the position-accuracy curve and the mid-sequence drop.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from guards.stats import Interval, bootstrap_mean, holm, mcnemar_exact, paired_bootstrap, wilson

FIRST, MIDDLE, LAST = "first", "middle", "last"


@dataclass(frozen=True)
class Reading:
    """One question as it was read once.

    Attributes:
        case: which question.
        size: how many facts the reader was given.
        place: where the supporting one stood: "first", "middle", "last"; "alone" where it was the only one.
        right: whether the answer was right.
    """

    case: str
    size: int
    place: str
    right: bool


@dataclass(frozen=True)
class Drop:
    """A difference within the same questions.

    Attributes:
        size: how many facts the reader was given.
        difference: by paired bootstrap over questions.
        p: exact McNemar where two readings are compared; None for a mean over places.
        adjusted: the same after Holm's correction over the sizes.
    """

    size: int
    difference: Interval
    p: float | None = None
    adjusted: float | None = None


@dataclass(frozen=True)
class PositionScore:
    """What position and length do.

    Attributes:
        alone: share right with the resolved fact alone.
        curve: share right by size and place.
        middle: by size: right at the middle, less the mean of right at the first and at the last place.
        piled: by size: right at the middle among others, less right with the fact alone.
        length: change of the share right per doubling of the size, over all places, by bootstrap over questions.
    """

    alone: Interval
    curve: Mapping[int, Mapping[str, Interval]]
    middle: tuple[Drop, ...]
    piled: tuple[Drop, ...]
    length: Interval | None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def position_score(readings: Sequence[Reading]) -> PositionScore:
    """Score the readings of the same questions at every size and place.

    Raises:
        ValueError: a question lacks a reading, or its reading alone.
    """
    table: dict[tuple[int, str], dict[str, bool]] = {}
    for one in readings:
        table.setdefault((one.size, one.place), {})[one.case] = one.right
    alone = next((rights for (size, _), rights in table.items() if size == 1), None)
    if alone is None or any(set(rights) != set(alone) for rights in table.values()):
        raise ValueError("every question must be read alone and once at every size and place")
    cases = sorted(alone)
    columns = {key: [rights[case] for case in cases] for key, rights in table.items()}
    sizes = sorted({size for size, _ in columns if size > 1})
    curve = {
        size: {place: wilson(sum(rights), len(rights)) for (of, place), rights in columns.items() if of == size}
        for size in sizes
    }
    own = [alone[case] for case in cases]
    return PositionScore(
        wilson(sum(own), len(own)),
        curve,
        tuple(_middle(size, columns) for size in sizes),
        _piled(sizes, columns, own),
        _length(sizes, columns),
    )


def _middle(size: int, columns: Mapping[tuple[int, str], Sequence[bool]]) -> Drop:
    """The middle against the mean of both ends, within questions."""
    first, middle, last = (columns[size, place] for place in (FIRST, MIDDLE, LAST))
    ends = [(one + other) / 2 for one, other in zip(first, last, strict=True)]
    return Drop(size, paired_bootstrap(ends, [float(value) for value in middle]))


def _piled(
    sizes: Sequence[int], columns: Mapping[tuple[int, str], Sequence[bool]], alone: Sequence[bool]
) -> tuple[Drop, ...]:
    """The middle of a pile against the fact alone, within questions."""
    raw = {str(size): mcnemar_exact(alone, columns[size, MIDDLE]).p for size in sizes}
    steps = holm(raw)
    return tuple(
        Drop(
            size,
            paired_bootstrap([float(value) for value in alone], [float(value) for value in columns[size, MIDDLE]]),
            raw[str(size)],
            steps[str(size)].adjusted,
        )
        for size in sizes
    )


def _length(sizes: Sequence[int], columns: Mapping[tuple[int, str], Sequence[bool]]) -> Interval | None:
    """Least-squares change per doubling of the size; linear in the answers, so it is the mean of the questions' own."""
    from math import log2

    if len(sizes) < 2:
        return None
    points = [(log2(size), rights) for (size, _), rights in columns.items() if size > 1]
    centre = sum(x for x, _ in points) / len(points)
    spread = sum((x - centre) ** 2 for x, _ in points)
    slopes = [sum((x - centre) * row[case] for x, row in points) / spread for case in range(len(points[0][1]))]
    return bootstrap_mean(slopes)
