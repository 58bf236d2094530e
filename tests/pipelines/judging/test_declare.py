"""The family of gates in the ledger: before the results, with its digest, and a change of the policy as an event."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from guards.efficacy import GatePolicy
from pipelines.judging.declare import CHANGED, DECLARED, record_family, run_policy, undeclared
from pipelines.judging.rules import RULES
from pipelines.publish import publish
from pipelines.settings import Settings
from pipelines.workplace import Workplace
from registry.digests import digest_json
from registry.home import Home
from registry.ledger import Event, Ledger

AT = datetime(2026, 1, 2, tzinfo=UTC)
Place = Callable[[GatePolicy | None], Workplace]


@pytest.fixture
def place(home: Home, ledger: Ledger) -> Place:
    settings = Settings.load()

    def made(gates: GatePolicy | None = None) -> Workplace:
        policy = replace(settings.policy, gates=gates or settings.policy.gates)
        return Workplace(home, ledger, replace(settings, policy=policy), "tiny", "tester", AT, None)

    return made


def softer(policy: GatePolicy) -> GatePolicy:
    return replace(policy, high=replace(policy.high, drawdown=0.5))


def test_every_run_declares_its_family_and_only_a_change_of_the_policy_is_an_event(
    place: Place, ledger: Ledger
) -> None:
    first = record_family(place(None), quick=False)
    assert record_family(place(None), quick=False) == first
    assert [entry.kind for entry in ledger.entries()] == [RULES, DECLARED, DECLARED], "nothing changed"
    payload = ledger.entries(DECLARED)[0].payload
    assert digest_json(payload["family"]) == payload["digest"] == first
    second = record_family(place(softer(Settings.load().policy.gates)), quick=False)
    assert second != first
    (changed,) = ledger.entries(CHANGED)
    assert changed.payload["keys"] == {"high.drawdown": [0.92, 0.5]}
    assert (changed.payload["before"], changed.payload["after"]) == (
        payload["policy"],
        ledger.entries(DECLARED)[-1].payload["policy"],
    )
    assert changed.actor == "tester"
    assert changed.seq < ledger.entries(DECLARED)[-1].seq
    assert ledger.verify() == []


def test_a_quick_run_declares_what_it_leaves_out() -> None:
    policy = Settings.load().policy.gates
    quick = run_policy(policy, quick=True)
    assert "capability" in policy.gates
    assert "capability" not in quick.gates
    assert "capability" in quick.informs
    assert run_policy(policy, quick=False) == policy


def verdicts(family: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """A pass of every gate of the weights, each by its threshold of the low tier."""
    return tuple(
        {"guard": one["gate"], "decision": "pass", "scores": [{"threshold": one["thresholds"]["low"]}]}
        for one in family["hypotheses"]
        if one["family"] == "gates"
    )


def release(place: Place, ledger: Ledger, drafts: Any, *, family: str, gates: Any) -> list[str]:
    """Publish a release that names the family and the gates; what the check says then."""
    draft = replace(drafts.of(drafts.brings(drafts.france)), gates=gates, summary={"family": family})
    publish(place(None).home, ledger, draft, AT)
    return list(undeclared(ledger))


def test_a_release_whose_gates_were_declared_before_it_is_as_recorded(
    place: Place, ledger: Ledger, drafts: Any
) -> None:
    digest = record_family(place(None), quick=False)
    family = ledger.entries(DECLARED)[0].payload["family"]
    assert release(place, ledger, drafts, family=digest, gates=verdicts(family)) == []


def test_a_threshold_that_was_moved_after_the_fact_is_found(place: Place, ledger: Ledger, drafts: Any) -> None:
    digest = record_family(place(None), quick=False)
    moved = verdicts(ledger.entries(DECLARED)[0].payload["family"])
    moved[0]["scores"][0]["threshold"] = 0.1
    (problem,) = release(place, ledger, drafts, family=digest, gates=moved)
    assert "was judged by 0.1" in problem


def test_a_family_declared_after_its_release_or_never_is_found(place: Place, ledger: Ledger, drafts: Any) -> None:
    late = place(None)
    from pipelines.judging.declare import declared_by

    family = declared_by(late, quick=False)
    gates = verdicts(family.to_dict())
    (problem,) = release(place, ledger, drafts, family=family.digest, gates=gates)
    assert "was not declared before it" in problem
    record_family(late, quick=False)
    assert list(undeclared(ledger)) == [problem], "declaring it afterwards does not mend it"
    with ledger.transaction() as txn:
        forged = {"digest": "0" * 64, "family": family.to_dict()}
        ledger.append_many(txn, [Event(DECLARED, forged)], "tester", AT)
    assert any("its family has the digest" in one for one in undeclared(ledger))
