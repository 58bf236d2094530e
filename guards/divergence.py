"""S_div: how much of the independent trust that speaks about a matter stands against one reasoning path.

A-MemGuard (arXiv 2510.02373) keeps a path whose divergence from the paths of the related memories is at most tau, and
leaves open how the divergence is made; its code counts memories, so that whoever repeats himself wins. Here

    S_div(i) = A / (F + A)
    F  trust of the independent sources whose paths end as path i does
    A  the most trust that stands behind any end that is not that of path i

and trust is `WEIGHTS` summed over sources, one vote each, weak ones together never more than `WEAK_AT_MOST`: below an
established source no crowd outweighs it, and one established source never outweighs an authoritative one.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from guards.sources import Tier

WEIGHTS: Mapping[Tier, float] = {"weak": 1.0, "established": 3.0, "authoritative": 9.0}
WEAK_AT_MOST = 3.0
TAU = 0.4
"""Threshold: a path with more against it is dropped. An even split (.5) lets neither side through; calibrated on one
half of the attacks' benign sets (benchmarks/security.py)."""


@dataclass(frozen=True)
class Voice:
    """One path, as far as its vote goes.

    Attributes:
        tier: how far its source is trusted; None where it has no vote.
        ends: what the path ends in, each with the independent source that says so (copies of one statement share one);
            several where the text could mean several things; empty when it says nothing.
    """

    tier: Tier | None
    ends: Mapping[str, Hashable]


@dataclass(frozen=True)
class Divergence:
    """How a path stands against the others.

    Attributes:
        value: S_div, 0 (nothing against it) to 1.
        trust: behind what it ends in (F).
        against: behind the strongest other end (A).
        end: what it was taken to end in; empty when it says nothing.
        listed: whether a source that somebody listed stands behind it: the path's own, or one that says this alone.
        clearer: whether such a source says one thing where this path, of a weak source, could mean several, that one
            among them.
    """

    value: float
    trust: float
    against: float
    end: str
    listed: bool = False
    clearer: bool = False


def share_against(trust: float, against: float) -> float:
    """A / (F + A); 0 where nobody speaks."""
    return against / (trust + against) if against else 0.0


def trust_of(by_tier: Mapping[Tier, float]) -> float:
    """Trust of independent sources, counted by tier."""
    weak = min(WEAK_AT_MOST, WEIGHTS["weak"] * by_tier.get("weak", 0))
    listed = WEIGHTS["established"] * by_tier.get("established", 0)
    return weak + listed + WEIGHTS["authoritative"] * by_tier.get("authoritative", 0)


def divergences(voices: Sequence[Voice]) -> list[Divergence]:
    """S_div of every path about one matter.

    A path that could end in several things ends in the one that most trust stands behind. One that says nothing
    diverges from nothing and has nothing behind it. A source that says one thing here and another there stands behind
    both, and against both.
    """
    saying: dict[str, list[Voice]] = defaultdict(list)
    for voice in voices:
        for end in voice.ends:
            saying[end].append(voice)
    trust = {end: _trust(end, those) for end, those in saying.items()}
    return [_against(voice, saying, trust) for voice in voices]


def _trust(end: str, saying: Iterable[Voice]) -> float:
    """Trust of the independent sources of one end, each at the best tier in which it speaks."""
    best: dict[Hashable, Tier] = {}
    for voice in saying:
        origin = voice.ends[end]
        if voice.tier is not None and (origin not in best or WEIGHTS[voice.tier] > WEIGHTS[best[origin]]):
            best[origin] = voice.tier
    return trust_of(Counter(best.values()))


def _against(voice: Voice, saying: Mapping[str, Sequence[Voice]], trust: Mapping[str, float]) -> Divergence:
    """One path against all ends that are not its own; a path that could also end as it does speaks not against it."""
    if not voice.ends:
        return Divergence(0.0, 0.0, 0.0, "")
    end = max(sorted(voice.ends), key=trust.__getitem__)
    others = (
        _trust(other, (each for each in those if end not in each.ends))
        for other, those in saying.items()
        if other not in voice.ends
    )
    against = max(others, default=0.0)
    clear = any(_listed(each) and len(each.ends) == 1 for each in saying[end])
    unclear = len(voice.ends) > 1 and not _listed(voice)
    return Divergence(
        share_against(trust[end], against), trust[end], against, end, clear or _listed(voice), clear and unclear
    )


def _listed(voice: Voice) -> bool:
    """Whether somebody listed the source of a path as more than weak."""
    return voice.tier in ("established", "authoritative")


def threshold_for(benign: Sequence[float], loss: float) -> float:
    """The lowest threshold above which at most `loss` (0 to 1) of the benign scores lie.

    Raises:
        ValueError: no scores.
    """
    if not benign:
        raise ValueError("a threshold needs benign scores to be set on")
    ordered = sorted(benign)
    return ordered[max(0, len(ordered) - int(loss * len(ordered)) - 1)]
