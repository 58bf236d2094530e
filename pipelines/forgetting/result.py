"""What forgetting came to, and what it cannot do or show."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pipelines.forgetting.leftovers import Leftover
from pipelines.forgetting.places import Place

LIMITS = (
    "copies outside this home: backups, exported checkpoints, audit bundles, the feed's own file, a server's archives",
    "blocks of a disk that once held the removed files",
    "what a base model learnt in training, in other words or by inference: an edit hides an answer, it removes nothing",
    "deltas that were fitted while the fact was in the weights were computed on those weights",
    "an id of a fact is a digest of its content: who can guess the whole row can confirm the guess by it",
)
"""What forgetting cannot do or show."""


@dataclass(frozen=True)
class ForgetResult:
    """What was done.

    Attributes:
        fact_ids: what was forgotten.
        entry: number of the log's entry "forgotten".
        release: the release that was published for it, None where the champion did not know it.
        keys: how many keys were deleted.
        rewritten: numbers of the releases whose artefacts were replaced.
        unbuildable: why a release can no longer be put together, by its number.
        suppression: figures on what the model itself said.
        places: every place, and what was done there.
        leftovers: where it still stands in the home; none if all went well.
        shared: how many of its names stay because other facts use them.
        audit: what the audit of it says; nothing where it was not made.
        gates: verdicts on what is left, as plain values; none where nothing was published in this run.
        moved: why facts that stay known live in the index now, by id.
        overruled: gates that do not pass and were overruled by the person who had it forgotten.
        limits: what cannot be shown.
    """

    fact_ids: tuple[str, ...]
    entry: int
    release: int | None
    keys: int
    rewritten: tuple[int, ...]
    unbuildable: Mapping[int, str]
    suppression: Mapping[str, Any]
    places: tuple[Place, ...]
    leftovers: tuple[Leftover, ...] = ()
    shared: int = 0
    audit: Mapping[str, Any] = field(default_factory=dict)
    gates: tuple[Mapping[str, Any], ...] = ()
    moved: Mapping[str, str] = field(default_factory=dict)
    overruled: tuple[str, ...] = ()
    limits: tuple[str, ...] = LIMITS

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "places": [one.to_dict() for one in self.places]}
