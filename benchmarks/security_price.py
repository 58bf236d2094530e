"""What is paid: false rows of a listed source that was taken over, and true news that waits under strict rules."""

from collections.abc import Mapping
from dataclasses import replace

from benchmarks.security_rows import PRESETS, World, admitted, false_row
from guards.conflicts import Change
from guards.consensus import Claim, ConsensusGuard, Support
from guards.reliability import Record, reliability
from guards.sources import Tier

WRITERS: Mapping[str, Mapping[str, str]] = {
    "one authoritative source": {"CIA World Factbook": "https://cia.gov/a{}"},
    "two established sources": {"Reuters": "https://reuters.com/a{}", "AP": "https://apnews.com/b{}"},
    "one established source": {"Reuters": "https://reuters.com/a{}"},
    "three strangers": {
        "Quill Post": "https://quill{}.test/",
        "Harbour Echo": "https://harbour{}.test/",
        "Tern": "https://tern{}.test/",
    },
}
"""Who says a true fact of which nothing is known."""


def waiting(place: World) -> dict[str, dict[str, float]]:
    """What each preset lets in of true news of which nothing is known, by who says it: the price of being strict."""
    unknown = {(fact.subject, fact.relation) for fact in place.victims}
    rest = [item for item in place.known if (item.fact.subject, item.fact.relation) not in unknown]
    told: dict[str, dict[str, float]] = {}
    for who, names in WRITERS.items():
        groups = [
            [
                false_row(place, fact, object=fact.object, source=name, source_url=url.format(n))
                for name, url in names.items()
            ]
            for n, fact in enumerate(place.victims)
        ]
        told[who] = {}
        for kind, preset in PRESETS.items():
            came, _ = admitted(replace(place, known=rest, policy=preset(place.policy)), groups)
            told[who][kind] = sum(came) / len(came)
    return told


def taken_over(tier: Tier, runs: int, delay: int, history: int) -> int:
    """How many of `runs` false rows of a listed source come in, one a run, each withdrawn `delay` runs later.

    An established source passes alone here, as the atlas's policy has it.
    """
    guard, accepted = ConsensusGuard(established_alone=True), []  # type: ConsensusGuard, list[int]
    for run in range(runs):
        withdrawn = sum(run - one >= delay for one in accepted)
        now = reliability(tier, Record(history, withdrawn)).tier
        if now is None:
            continue
        claim = Claim(Change("UPDATE", "follows"), Support(1, 1, now, {now: 1}, ("it",)))
        if guard.judge(claim).decision == "pass":
            accepted.append(run)
    return len(accepted)
