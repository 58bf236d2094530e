"""The one shape of every guard: it looks at a case and returns a `Verdict`, and it fails closed."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol, TypeVar

Decision = Literal["pass", "block", "escalate"]
"""What a guard decides.

pass: nothing speaks against it.
block: it must not go on.
escalate: neither; a person (or more evidence) has to decide. What is undecided does not go on.
"""

Case = TypeVar("Case", contravariant=True)


@dataclass(frozen=True)
class Score:
    """One measured figure with its interval, and the threshold that its bound was held against.

    Attributes:
        name: what was measured.
        value: the point estimate.
        low: lower bound of the interval.
        high: upper bound of the interval.
        n: how many cases it rests on.
        threshold: what the bound is compared with, None where the score only informs.
    """

    name: str
    value: float
    low: float
    high: float
    n: int
    threshold: float | None = None


@dataclass(frozen=True)
class Verdict:
    """A decision with its reasons.

    Attributes:
        guard: name of the guard.
        decision: see `Decision`.
        explanation: in words, for a person: expected, found, what would make it pass.
        scores: what was measured.
        evidence: anything else that the decision rests on.
    """

    guard: str
    decision: Decision
    explanation: str
    scores: tuple[Score, ...] = ()
    evidence: tuple[tuple[str, str], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


class Guard(Protocol[Case]):
    """Judges one kind of case. Implementations are small frozen dataclasses whose fields are their thresholds."""

    @property
    def name(self) -> str:
        """Name under which the verdict is kept."""
        ...

    def judge(self, case: Case) -> Verdict:
        """Decide on `case`. A check that could not run is "escalate", never "pass"."""
        ...
