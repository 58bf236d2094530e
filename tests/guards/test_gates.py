from dataclasses import replace
from typing import Any, Literal

import pytest

from guards.declaration import declare, problems
from guards.efficacy import GatePolicy, TierThresholds, WrittenGuard
from guards.entropy import EntropyCase
from guards.family import judge_family
from guards.fluency import FluencyCase, FluencyGuard
from guards.informing import InformingGuard
from guards.locality import RetainedGuard
from guards.observations import Observation, ObservationKind, failures, lost_facts, of_kind
from guards.power import critical, detectable, needed, power
from guards.stats import excess_p, wilson
from registry.errors import InputError

Written = Literal["efficacy", "generalisation"]
Retained = Literal["neighbourhood", "same_subject", "drawdown"]


def seen(kind: ObservationKind, right: int, wrong: int, before: bool = True) -> list[Observation]:
    """`right` observations that are right after, `wrong` that are not."""
    return [
        Observation(
            kind, f"fact{index}", f"prompt {index}", before, index < right, "old", "new" if index < right else "no"
        )
        for index in range(right + wrong)
    ]


@pytest.mark.parametrize("kind", ["efficacy", "generalisation"])
def test_written_facts_pass_on_the_bound_and_not_on_the_mean(kind: Written) -> None:
    cases = seen(kind, 19, 1, before=False)
    bound = wilson(19, 20).low
    assert WrittenGuard(kind, bound - 0.001).judge(cases).decision == "pass"
    verdict = WrittenGuard(kind, bound + 0.001).judge(cases)
    assert verdict.decision == "block"
    assert verdict.scores[0].value == 0.95 > verdict.scores[0].threshold  # type: ignore[operator]
    assert "'prompt 19' -> 'no'" in verdict.explanation


def test_a_model_on_which_nothing_was_written_is_blocked() -> None:
    assert WrittenGuard("efficacy", 0.5).judge(seen("efficacy", 0, 20)).decision == "block"


@pytest.mark.parametrize("kind", ["neighbourhood", "same_subject", "drawdown"])
def test_only_what_was_right_before_can_be_lost(kind: Retained) -> None:
    guard = RetainedGuard(kind, 0.8)
    known, unknown = seen(kind, 30, 0), seen(kind, 0, 200, before=False)
    verdict = guard.judge(known + unknown)
    assert verdict.decision == "pass"
    assert verdict.scores[0].n == 30
    lost = guard.judge(seen(kind, 20, 10) + unknown)
    assert lost.decision == "block"
    evidence = dict(lost.evidence)
    assert (evidence["gained"], evidence["lost"]) == ("0", "10")
    assert float(evidence["mcnemar_p"]) == pytest.approx(2 / 2**10, rel=1e-3)


def test_gains_elsewhere_do_not_make_up_for_losses() -> None:
    cases = seen("drawdown", 20, 10) + seen("drawdown", 50, 0, before=False)
    assert RetainedGuard("drawdown", 0.8).judge(cases).decision == "block"


@pytest.mark.parametrize("cases", [[], seen("efficacy", 9, 0), seen("drawdown", 0, 5, before=False)])
def test_without_observations_the_gate_escalates(cases: list[Observation]) -> None:
    verdict = RetainedGuard("drawdown", 0.1).judge(cases)
    assert verdict.decision == "escalate"
    assert verdict.scores == ()
    assert RetainedGuard("drawdown", 0.1).p_value(cases) == 1.0
    assert WrittenGuard("generalisation", 0.1).judge(cases).decision == "escalate"
    assert WrittenGuard("generalisation", 0.1).p_value(cases) == 1.0


def test_too_few_cases_escalate_and_say_how_many_are_needed() -> None:
    verdict = WrittenGuard("efficacy", 0.7).judge(seen("efficacy", 8, 0))
    assert verdict.decision == "escalate"
    assert "at least 9 cases" in verdict.explanation
    assert WrittenGuard("efficacy", 0.7).judge(seen("efficacy", 9, 0)).decision == "pass"
    assert WrittenGuard("efficacy", 0.7).judge(seen("efficacy", 7, 1)).decision == "block"
    assert WrittenGuard("efficacy", 1.0).judge(seen("efficacy", 900, 0)).decision == "escalate"


def texts(shift: float, count: int = 12) -> FluencyCase:
    """Running texts of unequal length whose likelihood falls by about `shift` nats per token."""
    before = [(3.0 * tokens, tokens) for tokens in range(40, 40 + 5 * count, 5)]
    after = [(nll + tokens * (shift + 0.01 * (-1) ** index), tokens) for index, (nll, tokens) in enumerate(before)]
    return FluencyCase(before, after)


def test_fluency_passes_on_the_upper_bound_of_the_ratio() -> None:
    guard = FluencyGuard(1.05)
    assert guard.judge(texts(0.0)).decision == "pass"
    worse = guard.judge(texts(0.2))
    assert worse.decision == "block"
    score = worse.scores[0]
    assert score.low < score.value < score.high
    assert score.value == pytest.approx(2.718281828**0.2, rel=0.01)
    bound = guard.judge(texts(0.03)).scores[0]
    assert FluencyGuard((bound.value + bound.high) / 2).judge(texts(0.03)).decision == "block", "the mean would pass"
    assert guard.p_value(texts(0.0)) < 0.01 < 0.9 < guard.p_value(texts(0.2))


@pytest.mark.parametrize(
    ("case", "decision"),
    [
        (FluencyCase([], []), "escalate"),
        (texts(0.0, count=4), "escalate"),
        (FluencyCase([(1.0, 2)] * 6, [(1.0, 3)] * 6), "escalate"),
        (FluencyCase([(float("nan"), 2)] * 6, [(1.0, 2)] * 6), "escalate"),
        (FluencyCase([(1.0, 2)] * 6, [(float("nan"), 2)] * 6), "block"),
        (FluencyCase([(1.0, 2)] * 6, [(1e9, 2)] * 6), "block"),
    ],
)
def test_fluency_fails_closed(case: FluencyCase, decision: str) -> None:
    assert FluencyGuard(1.5).judge(case).decision == decision
    assert FluencyGuard(1.5).p_value(case) == 1.0


GOOD = [
    *seen("efficacy", 20, 0, before=False),
    *seen("generalisation", 36, 4, before=False),
    *seen("neighbourhood", 58, 1),
    *seen("drawdown", 120, 2),
]


@pytest.mark.parametrize("tier", ["low", "medium", "high"])
def test_a_good_update_passes_every_gate_of_every_tier(tier: Any) -> None:
    family = judge_family(GOOD, GatePolicy(), tier, fluency=texts(0.0))
    assert family.decision == "pass"
    assert [verdict.guard for verdict in family.verdicts] == [
        "efficacy",
        "generalisation",
        "neighbourhood",
        "drawdown",
        "fluency",
    ]
    assert all("holm_p" in dict(verdict.evidence) for verdict in family.verdicts)


@pytest.mark.parametrize("kind", ["efficacy", "generalisation", "neighbourhood", "drawdown"])
def test_one_bad_gate_blocks_all(kind: Written | Retained) -> None:
    cases = [one for one in GOOD if one.kind != kind] + seen(kind, 10, 10)
    family = judge_family(cases, GatePolicy(), "low", fluency=texts(0.0))
    assert family.decision == "block"
    assert family.failed == (kind,)
    assert kind in family.explanation
    assert of_kind(cases, kind)[-1].after_text in failures(of_kind(cases, kind))


def test_a_missing_gate_escalates_and_a_block_outweighs_it() -> None:
    without = [one for one in GOOD if one.kind != "drawdown"]
    assert judge_family(without, GatePolicy(), "low").decision == "escalate"
    assert judge_family([*without, *seen("efficacy", 0, 40)], GatePolicy(), "low").decision == "block"
    assert judge_family(GOOD, replace(GatePolicy(), gates=()), "low").decision == "escalate"
    assert judge_family(GOOD, GatePolicy(), "low", fluency=FluencyCase([], [])).decision == "escalate"


def test_a_gate_that_passes_alone_may_fail_in_the_family() -> None:
    thresholds = TierThresholds(*(wilson(18, 20).low - 1e-6,) * 5, 1.1)
    kinds: tuple[Written | Retained, ...] = ("efficacy", "generalisation", "neighbourhood", "same_subject", "drawdown")
    policy = GatePolicy(gates=kinds, low=thresholds)
    cases = [one for kind in kinds for one in seen(kind, 18, 2)]
    family = judge_family(cases, policy, "low")
    assert all(WrittenGuard("efficacy", thresholds.efficacy).judge(cases).decision == "pass" for _ in kinds)
    assert family.decision == "block"
    assert "passes alone" in family.explanation
    assert judge_family(cases, replace(policy, gates=kinds[:2]), "low").decision == "pass"


def test_unknown_tiers_and_gates_are_refused() -> None:
    bad: Any = "fatal"
    with pytest.raises(InputError):
        GatePolicy().tier(bad)
    with pytest.raises(InputError):
        judge_family(GOOD, replace(GatePolicy(), gates=(bad,)), "low")


def test_a_loss_that_the_tolerance_does_not_explain_blocks_where_the_bound_passes() -> None:
    cases = [one for one in GOOD if one.kind != "drawdown"] + seen("drawdown", 285, 15)
    alone = RetainedGuard("drawdown", 0.85).judge(cases)
    assert alone.decision == "pass", "five points in a hundred are within the bound of the low tier"
    family = judge_family(cases, GatePolicy(), "low", fluency=texts(0.0))
    assert (family.decision, family.failed) == ("block", ("drawdown",))
    assert "15 of 300 facts that were right before are lost" in family.explanation
    assert judge_family(cases, replace(GatePolicy(), tolerated={}), "low").decision == "pass", "without a drop test"
    unchanged = [one for one in GOOD if one.kind != "drawdown"] + seen("drawdown", 298, 2)
    assert judge_family(unchanged, GatePolicy(), "low").decision == "pass"


def test_what_could_have_been_seen_is_told() -> None:
    (verdict,) = (one for one in judge_family(GOOD, GatePolicy(), "low").verdicts if one.guard == "drawdown")
    assert dict(verdict.evidence)["drop_cases"] == "122"
    told = float(dict(verdict.evidence)["drop_seen_with_power_.8"])
    assert power(122, 0.01, told, 0.025) >= 0.8 > power(122, 0.01, told - 0.002, 0.025)


def test_the_drop_test_has_the_level_and_the_power_that_it_says() -> None:
    n = needed(0.01, 0.05, 0.05 / 3)
    count = critical(n, 0.01, 0.05 / 3)
    assert excess_p(count, n, 0.01) <= 0.05 / 3 < excess_p(count - 1, n, 0.01)
    assert power(n, 0.01, 0.05, 0.05 / 3) >= 0.8
    assert power(n - 1, 0.01, 0.05, 0.05 / 3) < 0.8, "one case fewer is too few"
    assert detectable(n, 0.01, 0.05 / 3) <= 0.05
    assert detectable(10, 0.01, 0.05 / 3) > 0.2
    with pytest.raises(ValueError, match="tolerated"):
        needed(0.05, 0.05, 0.05)
    with pytest.raises(ValueError, match="n > 0"):
        critical(0, 0.01, 0.05)


def test_what_informs_never_blocks_and_says_so() -> None:
    kinds: tuple[ObservationKind, ...] = ("alias", "reversal", "two_hop", "negation", "same_subject")
    policy = GatePolicy(informs=kinds)
    bad = [*GOOD, *(one for kind in kinds[:-1] for one in seen(kind, 0, 9)), *seen("same_subject", 2, 8)]
    family = judge_family(bad, policy, "low")
    assert family.decision == "pass"
    told = {one.guard: one for one in family.verdicts if one.guard in kinds}
    assert set(told) == set(kinds)
    assert all(one.explanation.startswith("informs only") and one.scores[0].threshold is None for one in told.values())
    assert (told["same_subject"].scores[0].value, told["alias"].scores[0].value) == (0.2, 0.0)
    nothing = InformingGuard("two_hop").judge([])
    assert (nothing.decision, nothing.scores) == ("pass", ())
    assert judge_family(bad, GatePolicy(gates=(*GatePolicy().gates, "same_subject")), "low").decision == "block"


def test_capability_is_a_gate_where_it_is_named_one() -> None:
    policy = GatePolicy(gates=(*GatePolicy().gates, "capability"))
    assert judge_family([*GOOD, *seen("capability", 60, 0)], policy, "low").decision == "pass"
    assert judge_family([*GOOD, *seen("capability", 40, 20)], policy, "low").failed == ("capability",)
    assert judge_family(GOOD, policy, "low").decision == "escalate", "nothing was asked"


def test_entropy_is_a_gate_of_the_family() -> None:
    varied = [" ".join(f"w{number}x{n}" for n in range(40)) for number in range(8)]
    family = judge_family(GOOD, GatePolicy(), "low", entropy=EntropyCase(varied, ["again " * 40] * 8))
    assert family.failed == ("entropy",)


def test_equivalence_of_perplexity_is_claimed_only_where_it_is_shown() -> None:
    def claim(case: FluencyCase) -> str:
        return dict(FluencyGuard(1.05).judge(case).evidence)["equivalent"]

    assert claim(texts(0.0)) == "yes"
    assert claim(texts(0.2)) == "not shown"
    assert claim(texts(-0.2)) == "not shown", "better is not the same either"


SYSTEM = {"freshness": 0.97, "retrieval": 0.85}


def test_the_declared_family_is_the_one_that_is_judged() -> None:
    policy = GatePolicy(informs=("alias",))
    declared = declare(policy, SYSTEM)
    varied = EntropyCase([f"a{n} b{n} c d e f" for n in range(8)], [f"a{n} b{n} c d e f" for n in range(8)])
    cases = [*GOOD, *seen("alias", 1, 1)]
    family = judge_family(cases, policy, "medium", fluency=texts(0.0), entropy=varied)
    gates = [one.to_dict() for one in family.verdicts]
    assert problems(declared.to_dict(), gates) == []
    assert declared.digest == declare(policy, SYSTEM).digest
    softer = replace(policy, medium=replace(policy.medium, drawdown=0.5))
    assert declare(softer, SYSTEM).digest != declared.digest
    soft = judge_family(cases, softer, "medium", fluency=texts(0.0), entropy=varied)
    (found,) = problems(declared.to_dict(), [one.to_dict() for one in soft.verdicts])
    assert "drawdown was judged by 0.5" in found
    left_out = [one for one in gates if one["guard"] != "neighbourhood"]
    assert problems(declared.to_dict(), left_out) == ["the gate neighbourhood was declared and not judged"]
    assert problems(declared.to_dict(), []) == [], "nothing in the weights, nothing to judge"
    extra = [*gates, {"guard": "luck", "scores": []}]
    assert problems(declared.to_dict(), extra) == ["the gate luck was not declared"]


def test_a_declaration_states_every_null_and_from_how_many_cases_a_drop_of_five_points_is_seen() -> None:
    declared = declare(GatePolicy(), SYSTEM)
    assert {one.gate for one in declared.hypotheses if one.decides == "block"} == {"neighbourhood", "drawdown"}
    assert all(one.null for one in declared.hypotheses)
    for one in declared.power:
        assert power(one["cases"], one["tolerated"], 0.05, one["alpha"]) >= 0.8


def test_phrasings_of_one_fact_are_lost_together_and_count_once() -> None:
    twice = [replace(one, prompt=f"{one.prompt}?") for one in seen("drawdown", 57, 3)]
    cases = [*seen("drawdown", 57, 3), *twice]
    assert lost_facts(cases, "drawdown") == (3, 60)
    assert RetainedGuard("drawdown", 0.8).drop_p(cases, 0.01) == pytest.approx(excess_p(3, 60, 0.01))
    half = [*seen("drawdown", 60, 0), *twice]
    assert lost_facts(half, "drawdown") == (3, 60), "wrong in one phrasing is lost"
    assert RetainedGuard("drawdown", 0.8).drop_p([], 0.01) == 1.0
