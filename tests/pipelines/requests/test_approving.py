"""How risky a request is, and that a change of the rules is an event."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipelines.requests.approving import ApprovalPolicy, TierRule, record_rules, tier_of
from pipelines.requests.asked import content_of
from pipelines.settings import Policy, Settings
from registry.errors import InputError
from registry.home import Home
from registry.ledger import Ledger

AT = datetime(2026, 3, 1, tzinfo=UTC)
LOW = {"subject": "NBA", "relation": "reigning_champion", "object": "Denver Nuggets", "source": "x"}
HIGH = {"subject": "Chad", "relation": "head_of_government", "object": "Ann Able", "source": "x"}


def tier(*rows: dict[str, str], relations: tuple[str, ...] = (), **more: Any) -> str:
    operation = "facts" if rows else "forget"
    facts = () if rows else ("f",)
    content = content_of(operation, "why", rows=rows, facts=facts, **more)  # type: ignore[arg-type]
    return tier_of(content, relations, Settings.load().catalogue)


def test_the_tier_is_the_highest_of_its_relations() -> None:
    assert tier(LOW) == "low"
    assert tier({**LOW, "relation": "Reigning champion"}) == "low", "a relation's label is its name"
    assert tier({**LOW, "relation": "capital"}) == "medium"
    assert tier(HIGH) == "high"
    assert tier(LOW, HIGH) == "high"
    assert tier({**LOW, "relation": "hobby", "prompt": "The hobby of NBA is"}) == "medium"


def test_what_ends_facts_is_never_of_low_risk() -> None:
    assert tier({**LOW, "op": "DELETE"}) == "medium"
    assert tier({**LOW, "op": "delete"}) == "medium"
    assert tier(relations=("reigning_champion",)) == "medium"
    assert tier(relations=("head_of_state",)) == "high"


@pytest.mark.parametrize(
    "change",
    [{"sensitivity": "personal"}, {"sensitivity": "secret"}, {"object": "call +44 20 7946 0958"}],
)
def test_personal_data_is_of_high_risk(change: dict[str, str]) -> None:
    assert tier({**LOW, **change}) == "high"


def test_overruling_is_of_high_risk() -> None:
    assert tier(LOW, despite=["instruction"]) == "high"


def test_the_rules_are_an_event_when_they_change_and_only_then(tmp_path: Path) -> None:
    with Ledger.open(Home.at(tmp_path / "home")) as ledger:
        for policy in (ApprovalPolicy(), ApprovalPolicy(), ApprovalPolicy(low=TierRule(2, ("admin",)))):
            with ledger.transaction() as txn:
                record_rules(ledger, txn, policy, "ann", AT)
        kinds = [(entry.kind, entry.payload.get("keys")) for entry in ledger.entries()]
    changed = {"low.approvals": [1, 2], "low.roles": [["approver"], ["admin"]]}
    assert kinds == [("policy_recorded", None), ("policy_changed", changed)]


@pytest.mark.parametrize("low", ["{approvals: 0}", "{approvals: 1, roles: [king]}", "{approvals: 1, days: 0}"])
def test_a_policy_that_asks_for_nobody_is_refused_when_it_is_read(tmp_path: Path, low: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(f"catalogue: a\nsources: b\nrunning_text: c\napproval:\n  low: {low}\n")
    with pytest.raises(InputError, match=r"approval\.low"):
        Policy.read(path)
