"""What one run of the loop came to, as plain values that a person, a script and the ledger can read."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, Self

if TYPE_CHECKING:
    from pipelines.admission.feed import Feed
    from pipelines.workplace import Workplace
    from registry.feeds import FeedRun

Status = Literal["published", "blocked", "nothing_new", "nothing_accepted"]
"""How a run ended.

published: a release was published and is the champion.
blocked: a gate did not pass; nothing was published.
nothing_new: this very feed is part of the champion already.
nothing_accepted: no row of the feed changes what is known.
"""


FIGURES = (
    "decisions",
    "memories",
    "freshness_before",
    "freshness_after",
    "locality",
    "chat",
    "samples",
    "moved",
    "seconds",
    "peak_rss_mb",
    "family",
)
"""What a release's summary keeps of the run that made it."""


@dataclass(frozen=True)
class RowResult:
    """What became of one row.

    Attributes:
        row: its number in the feed, from 1.
        decision: ADD, UPDATE, DELETE, NOOP, refused or quarantined.
        subject: as in the row.
        relation: as in the row.
        object: as in the row.
        reasons: why, in words.
        rules: the rules behind the reasons, in the same order.
        memory: where the fact lives; empty where it was not accepted.
        why_there: the route's reason, or why the fact was moved; and by how much its edit was cut, where it was.
        fact_id: id of the fact; empty where there is none.
        observed_at: when the source was looked at, as in the row; empty where it does not say.
        confirms: id of the known fact that a NOOP says again; empty otherwise.
    """

    row: int
    decision: str
    subject: str
    relation: str
    object: str
    reasons: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    memory: str = ""
    why_there: str = ""
    fact_id: str = ""
    observed_at: str = ""
    confirms: str = ""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild a row from plain values; what it does not know is left out."""
        known = {item.name: values[item.name] for item in fields(cls) if item.name in values}
        lists = {name: tuple(known.get(name, ())) for name in ("reasons", "rules")}
        return cls(**{**known, **lists})


@dataclass(frozen=True)
class UpdateResult:
    """What one run came to.

    Attributes:
        status: see `Status`.
        feed: name of the feed.
        feed_digest: digest of its bytes.
        release: number of the release that holds it; None where there is none.
        decisions: number of rows by decision.
        memories: number of accepted facts by memory.
        rows: every row.
        freshness_before: share of changed facts answered rightly before, with interval.
        freshness_after: the same afterwards.
        locality: share of untouched facts still answered rightly, with interval.
        chat: share of the facts in the weights that are answered rightly in the chat form, with interval.
        gates: the verdicts, as plain values.
        family: digest of the family of gates, as it was declared before they were judged.
        samples: questions with the answers before and after.
        moved: facts that were routed to the weights and live in the index, with the reason.
        seconds: wall seconds by step.
        peak_rss_mb: largest memory of the process so far.
        notes: anything else worth saying, in words.
    """

    status: Status
    feed: str
    feed_digest: str
    release: int | None = None
    decisions: Mapping[str, int] = field(default_factory=dict)
    memories: Mapping[str, int] = field(default_factory=dict)
    rows: tuple[RowResult, ...] = ()
    freshness_before: Mapping[str, Any] = field(default_factory=dict)
    freshness_after: Mapping[str, Any] = field(default_factory=dict)
    locality: Mapping[str, Any] = field(default_factory=dict)
    chat: Mapping[str, Any] = field(default_factory=dict)
    gates: tuple[Mapping[str, Any], ...] = ()
    samples: tuple[Mapping[str, Any], ...] = ()
    moved: tuple[Mapping[str, str], ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    peak_rss_mb: float = 0.0
    family: str = ""
    notes: tuple[str, ...] = ()

    @property
    def blocked(self) -> bool:
        """Whether a gate forbade the release."""
        return self.status == "blocked"

    @classmethod
    def nothing_new(cls, feed: "Feed", run: "FeedRun", place: "Workplace") -> Self:
        """The result of a feed that the champion holds already, with the figures recorded when it was taken in."""
        words = f"this feed was processed already, it is part of release {run.release}"
        told = cls("nothing_new", feed.name, feed.digest, run.release, notes=(words, *place.repaired))
        if run.status != "published" or run.release is None:
            return told
        release = place.releases.get(run.release)
        figures = {name: release.summary[name] for name in FIGURES if name in release.summary}
        lists: dict[str, Any] = {name: tuple(figures.pop(name, ())) for name in ("samples", "moved")}
        rows = tuple(RowResult.from_dict(row) for row in place.feeds.rows(run=run.id))
        return replace(told, rows=rows, gates=release.gates, **lists, **figures)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` is its inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild a result from `to_dict`'s form."""
        rows = tuple(RowResult.from_dict(row) for row in values["rows"])
        lists = {name: tuple(values[name]) for name in ("gates", "samples", "moved", "notes")}
        return cls(**{**values, **lists, "rows": rows})


def count_memories(rows: tuple[RowResult, ...]) -> dict[str, int]:
    """Number of accepted facts by memory."""
    return dict(Counter(row.memory for row in rows if row.memory))


def peak_rss_mb() -> float:
    """Largest resident memory of this process so far, in MB (Linux counts in KiB)."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
