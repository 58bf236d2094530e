"""Order, anchoring in time, and replay: the figures of E-MARS+ that rest on a record (panels P1, P2 and P4).

DMM-Gov (arXiv 2509.18868, E-MARS+): P1 event F1 and TAE, the absolute error of a date over the window; P2 replay
coverage, replay-supported fraction, step-order accuracy; P4 slope over time and half-life.
"""

from collections.abc import Hashable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from datetime import date
from itertools import combinations
from typing import Any, Literal, TypeVar

from guards.stats import Interval, bootstrap_mean, wilson

Event = TypeVar("Event", bound=Hashable)
Order = Literal["first", "second"]
"""Which of two began earlier."""


def came_first(one: date | None, other: date | None) -> Order | None:
    """Which of two began earlier; None where a date is missing or both are the same: then there is no answer."""
    if one is None or other is None or one == other:
        return None
    return "first" if one < other else "second"


def anchoring_error(said: date | None, true: date, window_days: int) -> float:
    """TAE of one event: how far the said day lies from the true one, over the window; 1 at most, and for no day at all.

    Raises:
        ValueError: the window has no days.
    """
    if window_days < 1:
        raise ValueError(f"a window has at least a day, not {window_days}")
    return 1.0 if said is None else min(1.0, abs((said - true).days) / window_days)


@dataclass(frozen=True)
class EventScore:
    """How a record's events compare with the true ones, as sets.

    Attributes:
        found: events in both.
        precision: share of the record's events that are true; None where it has none.
        recall: share of the true events that the record has; None where there is none.
        f1: harmonic mean of both, 0 where one is 0 or missing.
    """

    found: int
    precision: Interval | None
    recall: Interval | None
    f1: float


def event_score(recorded: Set[Hashable], true: Set[Hashable]) -> EventScore:
    """Compare the events of a record with the true ones."""
    found = len(recorded & true)
    precision = wilson(found, len(recorded)) if recorded else None
    recall = wilson(found, len(true)) if true else None
    total = len(recorded) + len(true)
    return EventScore(found, precision, recall, 2 * found / total if total else 0.0)


def order_score(said: Sequence[Order | None], true: Sequence[Order | None]) -> Interval | None:
    """Share of questions "which came first?" that are answered rightly; no answer is right where there is none."""
    right = sum(one == other for one, other in zip(said, true, strict=True))
    return wilson(right, len(true)) if true else None


def step_order(runs: Sequence[Sequence[str]], declared: Sequence[str]) -> Interval | None:
    """Share of pairs of steps of a log that stand in the declared order, over all its runs.

    Each step of a run counts by its first place in it. Steps that the order does not name are left out; where no run
    has two there is nothing to tell.
    """
    place = {name: number for number, name in enumerate(declared)}
    kept = [[place[name] for name in dict.fromkeys(run) if name in place] for run in runs]
    pairs = [earlier < later for run in kept for earlier, later in combinations(run, 2)]
    return wilson(sum(pairs), len(pairs)) if pairs else None


@dataclass(frozen=True)
class TimePanel:
    """P1: write and temporal anchoring.

    Attributes:
        event_f1: of the record's events against the true ones.
        anchoring_error: TAE, mean over the true events.
        window_days: the window of TAE.
        order: share of dated pairs whose order is told rightly.
    """

    event_f1: float | None = None
    anchoring_error: Interval | None = None
    window_days: int | None = None
    order: Interval | None = None


@dataclass(frozen=True)
class ReplayPanel:
    """P2: replay and attribution.

    Attributes:
        coverage: share of the log's fact entries whose event is there, unchanged, and can be replayed.
        supported: share of the facts of the replayed state that an accepted row of a feed stands behind.
        step_order: share of pairs of steps that are logged in the declared order.
        same_state: whether the replay comes to the state that the release keeps.
    """

    coverage: Interval | None = None
    supported: Interval | None = None
    step_order: Interval | None = None
    same_state: bool | None = None


@dataclass(frozen=True)
class HorizonPanel:
    """P4: long horizon.

    Attributes:
        slope: change of the share right per 100 later edits.
        half_life_edits: later edits after which half is lost; None where that was not reached.
        half_life: the same in words, with interval and counts.
        long_term: delayed over initial recall.
    """

    slope: Interval | None = None
    half_life_edits: float | None = None
    half_life: str = "not measured"
    long_term: Interval | None = None


@dataclass(frozen=True)
class LongMemory:
    """What a card takes of a record: panels P1, P2 and P4 of E-MARS+; None stands where nothing was measured."""

    p1: TimePanel = TimePanel()
    p2: ReplayPanel = ReplayPanel()
    p4: HorizonPanel = HorizonPanel()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def time_panel(
    recorded: Mapping[Event, date | None],
    true: Mapping[Event, date],
    window_days: int,
    order: Interval | None = None,
) -> TimePanel:
    """P1 from the events of a record and the true ones, each with the day on which it began.

    Args:
        recorded: day by event, None where the record has no day.
        true: day by event.
        window_days: of TAE.
        order: share of dated pairs whose order is told rightly, where it was asked.
    """
    if not true:
        return TimePanel(order=order)
    errors = [anchoring_error(recorded.get(event), day, window_days) for event, day in true.items()]
    score = event_score({*recorded.items()}, {*true.items()})
    return TimePanel(score.f1, bootstrap_mean(errors), window_days, order)
