import re
from pathlib import Path

import pytest
import yaml

from guards.admission import AdmissionPolicy
from guards.base import Decision
from guards.conflicts import Change
from guards.consensus import Claim, ConsensusGuard, Support
from guards.presets import STRICT, strict_admission, strict_memories
from guards.recalls import MemoryPolicy
from guards.sources import Tier

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guards.md"
DEFAULT = ConsensusGuard.of(AdmissionPolicy(established_alone=True))
STRICTER = ConsensusGuard.of(strict_admission(AdmissionPolicy(established_alone=True)))


def backing(**by_tier: int) -> Support:
    tiers: tuple[Tier, ...] = ("authoritative", "established", "weak")
    found: dict[Tier, int] = {tier: by_tier[tier] for tier in tiers if tier in by_tier}
    count = sum(found.values())
    return Support(count, count, next(iter(found)), found, ("it",))


def decision(guard: ConsensusGuard, by: Support, *rivals: Support) -> Decision:
    return guard.judge(Claim(Change("ADD", "follows"), by, rivals)).decision


@pytest.mark.parametrize(
    ("by", "default", "strict"),
    [
        (backing(authoritative=1), "pass", "pass"),
        (backing(established=2), "pass", "pass"),
        (backing(established=1), "pass", "escalate"),
        (backing(established=1, weak=5), "pass", "escalate"),
        (backing(weak=3), "pass", "escalate"),
        (backing(weak=50), "pass", "escalate"),
        (backing(weak=2), "escalate", "escalate"),
    ],
)
def test_strict_lets_in_what_listed_sources_say_together(by: Support, default: Decision, strict: Decision) -> None:
    assert decision(DEFAULT, by) == default
    assert decision(STRICTER, by) == strict


def test_strict_strangers_can_hold_up_nothing_that_listed_sources_say() -> None:
    assert decision(DEFAULT, backing(established=2), backing(weak=3)) == "escalate"
    assert decision(STRICTER, backing(established=2), backing(weak=3)) == "pass"
    assert decision(STRICTER, backing(established=2), backing(established=1)) == "escalate"


def test_a_strict_wait_says_what_it_waits_for() -> None:
    words = STRICTER.judge(Claim(Change("ADD", "follows"), backing(weak=3))).explanation
    assert "2, 2 of them listed, are needed" in words


def test_the_page_gives_the_keys_of_the_preset() -> None:
    (block,) = re.findall(r"```yaml\n(admission:.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert yaml.safe_load(block)["admission"] == STRICT


def test_presets_change_nothing_else() -> None:
    assert strict_admission(AdmissionPolicy(spelling=0.7)).spelling == 0.7
    assert strict_memories(MemoryPolicy(about=0.6)) == MemoryPolicy(about=0.6, strangers=False)
