"""How risky a request is, and therefore how many people must allow it; a change of these rules is an event of the log.

The tier of a request is the highest of its relations in the catalogue (a relation that is not in it is "medium"); what
ends or forgets facts is at least "medium", what holds personal data is "high".
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipelines.judging.rules import record_section
from registry.catalogue import Catalogue
from registry.ranges import Amount
from registry.records import RiskTier
from registry.requests import Needs

if TYPE_CHECKING:
    from registry.ledger import Ledger, Transaction

SECTION = "approval"
ORDER: tuple[RiskTier, ...] = ("low", "medium", "high")
ENDING = ("DELETE", "FORGET")
SENSITIVE = ("personal", "secret")


@dataclass(frozen=True)
class TierRule:
    """What requests of one tier need.

    Attributes:
        approvals: how many people must allow it.
        roles: one of which each of them has.
        days: until the request expires.
    """

    approvals: int
    roles: tuple[str, ...] = ("approver",)
    days: Amount = 14

    def __post_init__(self) -> None:
        """Refuse a rule by which nobody would be asked.

        Raises:
            ValueError: it asks for nobody, for roles that there are not, or expires at once.
        """
        Needs(self.approvals, tuple(self.roles))
        if self.days <= 0:
            raise ValueError(f"a request must last, got {self.days} days")


@dataclass(frozen=True)
class ApprovalPolicy:
    """What requests need, by tier; nobody ever approves an own one."""

    low: TierRule = field(default_factory=lambda: TierRule(1))
    medium: TierRule = field(default_factory=lambda: TierRule(1))
    high: TierRule = field(default_factory=lambda: TierRule(2, days=7))

    def rule(self, tier: RiskTier) -> TierRule:
        """The rule of a tier."""
        rules: Mapping[RiskTier, TierRule] = {"low": self.low, "medium": self.medium, "high": self.high}
        return rules[tier]

    def needs(self, tier: RiskTier) -> Needs:
        """What a request of a tier needs."""
        rule = self.rule(tier)
        return Needs(rule.approvals, tuple(rule.roles))


def tier_of(content: Mapping[str, Any], relations: Iterable[str], catalogue: Catalogue) -> RiskTier:
    """The tier of a request.

    Args:
        content: what is asked for.
        relations: of the known facts that it names by id.
        catalogue: relations with their tiers.
    """
    from guards.candidates import CandidateReader
    from guards.sensitivity import PersonalDataGuard

    reader, guard = CandidateReader.of(catalogue, datetime.now(UTC)), PersonalDataGuard()
    cases = [reader.read(number, row) for number, row in enumerate(content["rows"], 1)]
    found = [case.relation for case in cases]
    found += [catalogue.relations.get(name) for name in relations]
    tiers: list[RiskTier] = [relation.risk_tier if relation is not None else "medium" for relation in found]
    if content["operation"] != "facts" or any(case.operation in ENDING for case in cases):
        tiers.append("medium")
    private = any(case.cell("sensitivity") in SENSITIVE or guard.judge(case).decision != "pass" for case in cases)
    if private or content["despite"]:
        tiers.append("high")
    return max(tiers, key=ORDER.index, default="medium")


def record_rules(ledger: "Ledger", txn: "Transaction", policy: ApprovalPolicy, actor: str, at: datetime) -> None:
    """Put the rules into the log where they are not the last ones that it holds, with the keys that changed."""
    record_section(ledger, txn, SECTION, asdict(policy), actor, at)
