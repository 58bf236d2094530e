"""Every guard of the leakage audit on a leak, on a clean case, and on one that cannot be judged."""

import math
from dataclasses import replace
from datetime import date
from itertools import pairwise

import numpy as np
import pytest

from guards.canaries import COUNTS, Canary, ExposureGuard, Ranked, chance_exposure, draw, exact, insertions, sampled
from guards.cutoff import Answered, CutoffGuard, standing
from guards.inference import Likelihood, MembershipCase, MembershipGuard, auc, newcombe, signal
from guards.leakage import Continued, ExtractionGuard, Revealed, RevealGuard

NAMES = [f"Name {number}" for number in range(200)]
FORM = "The number of {} is"
SPACE = 1000


def canaries(seed: int = 0, each: int = 8) -> tuple[Canary, ...]:
    return draw(NAMES, FORM, counts=COUNTS, each=each, length=3, seed=seed)


def measured(seed: int, effect: float, shift: float = 1.0) -> list[Ranked]:
    """Ranks of a model in which a canary put in n times is better than a share of 1 - 1 / (1 + effect n) others."""
    numbers = np.random.default_rng(seed)
    found = []
    for canary in canaries(seed):
        share = numbers.uniform() ** shift / (1 + effect * canary.inserted)
        found.append(exact(canary, int(share * SPACE), 0, SPACE))
    return found


def test_counts_are_given_out_at_random_and_twins_are_never_put_in() -> None:
    drawn = canaries()
    assert {one.count: 0 for one in drawn} == dict.fromkeys(COUNTS, 0) | {0: 0}
    first, twins = [one for one in drawn if not one.twin], [one for one in drawn if one.twin]
    assert [one.slot for one in first] == [one.slot for one in twins] == list(range(40))
    assert [one.count for one in first] == [one.count for one in twins] != sorted(one.count for one in first)
    assert {one.inserted for one in twins} == {0}
    assert len({one.before for one in drawn}) == len(drawn)
    texts = insertions(drawn)
    assert len(texts) == 8 * sum(COUNTS)
    assert not {one.text for one in twins} & set(texts)
    assert canaries() == drawn != canaries(seed=1)
    with pytest.raises(ValueError, match="names"):
        draw(NAMES[:79], FORM, each=8)


def test_exposure_is_bits_below_the_space() -> None:
    canary = canaries()[0]
    assert exact(canary, 0, 0, SPACE).exposure == pytest.approx(math.log2(SPACE))
    assert exact(canary, SPACE - 1, 0, SPACE).exposure == 0
    assert exact(canary, 2, 2, SPACE).rank == 4
    by_hand = sum(math.log2(SPACE) - math.log2(rank) for rank in range(1, SPACE + 1)) / SPACE
    assert chance_exposure(SPACE) == pytest.approx(by_hand)


def test_sampled_ranks_hold_the_true_one_and_claim_no_more_than_they_saw() -> None:
    numbers = np.random.default_rng(1)
    canary, held = canaries()[0], 0
    for _ in range(150):
        rank = int(numbers.integers(1, SPACE + 1))
        above = int(numbers.binomial(100, (rank - 1) / (SPACE - 1)))
        found = sampled(canary, above, 100, SPACE)
        held += found.low <= rank <= found.high
        assert found.exposure <= math.log2(101) + 1e-9
    assert held >= 0.94 * 150


def test_leaks_are_seen_in_order_and_a_model_without_them_passes() -> None:
    leaky = ExposureGuard().judge(measured(3, effect=3))
    assert leaky.decision == "block"
    assert "16, 64" in leaky.explanation
    evidence = dict(leaky.evidence)
    assert float(evidence["order_p"]) < 1e-6
    values = [score.value for score in leaky.scores]
    assert all(one < other for one, other in pairwise(values))
    assert leaky.scores[0].low < chance_exposure(SPACE) < leaky.scores[0].high
    assert ExposureGuard().judge(measured(3, effect=0)).decision == "pass"


def test_false_alarms_of_exposure_stay_at_the_level() -> None:
    verdicts = [ExposureGuard().judge(measured(seed, effect=0)).decision for seed in range(50)]
    assert verdicts.count("block") <= 6
    assert verdicts.count("pass") >= 40


def test_twins_that_are_not_at_chance_or_too_few_decide_nothing() -> None:
    broken = ExposureGuard().judge(measured(3, effect=3, shift=3))
    assert (broken.decision, "at chance" in broken.explanation) == ("escalate", True)
    few = [one for one in measured(3, effect=3) if one.canary.slot < 6]
    assert ExposureGuard().judge(few).decision == "escalate"
    assert ExposureGuard().judge([]).decision == "escalate"


def likely(numbers: np.random.Generator, lift: float, n: int = 60) -> list[Likelihood]:
    made = []
    for number in range(n):
        base = numbers.normal(-3, 1) - np.abs(numbers.normal(0, 2, 40))
        own = base + lift + numbers.normal(0, 0.3, 40)
        made.append(Likelihood(f"text {number} " * 9, tuple(own.tolist()), tuple(base.tolist())))
    return made


def test_membership_is_seen_and_its_absence_too() -> None:
    numbers = np.random.default_rng(0)
    members, twins, fresh = likely(numbers, 1), likely(numbers, 0), likely(numbers, 0)
    seen = MembershipGuard().judge(MembershipCase(members, twins, fresh))
    assert seen.decision == "block"
    assert {score.name: score for score in seen.scores}["reference"].low > 0.9
    clean = MembershipGuard(most_auc=0.72).judge(MembershipCase(likely(numbers, 0), twins, fresh))
    assert clean.decision == "pass"
    assert all(score.low <= 0.5 <= score.high for score in clean.scores)
    assert MembershipGuard(most_auc=0.55).judge(MembershipCase(fresh, twins, fresh)).decision == "escalate"


def test_twins_of_another_kind_than_fresh_texts_are_no_measure() -> None:
    numbers = np.random.default_rng(0)
    case = MembershipCase(likely(numbers, 1), likely(numbers, 0), likely(numbers, 1))
    verdict = MembershipGuard().judge(case)
    assert (verdict.decision, "told from each other" in verdict.explanation) == ("escalate", True)
    assert MembershipGuard().judge(MembershipCase([], [], [])).decision == "escalate"


def test_signals_by_hand() -> None:
    one = Likelihood("abc", (-1.0, -5.0, -2.0, -4.0, -3.0), (-2.0,) * 5)
    assert signal("loss", one) == -3
    assert signal("min_k", one, share=0.4) == -4.5
    assert signal("zlib", one) == pytest.approx(-15 / 11)
    assert signal("reference", one) == -1
    with pytest.raises(ValueError, match="reference"):
        signal("reference", Likelihood("abc", (-1.0,)))


def test_auc_counts_pairs_and_its_interval_covers() -> None:
    assert auc([3, 2, 2], [1, 2]).value == pytest.approx((3 + 1 + 1) / 6)
    assert (auc([3, 4], [1, 2]).value, auc([3, 4], [1, 2]).low < 0.9) == (1, True)
    assert auc([1, 1], [1, 1]).low < 0.5 < auc([1, 1], [1, 1]).high
    with pytest.raises(ValueError, match="two values"):
        auc([1], [1, 2])
    numbers = np.random.default_rng(0)
    draws = (auc(numbers.normal(size=40).tolist(), numbers.normal(size=40).tolist()) for _ in range(200))
    assert sum(found.low <= 0.5 <= found.high for found in draws) >= 183
    wide = newcombe(0.5, 40, 40, 0.95)
    assert (wide.low + wide.high) / 2 == pytest.approx(0.5)


def told(name: str, suspect: bool, matched: int, prefix: int = 8) -> Continued:
    return Continued(name, prefix, matched, 12, suspect)


def test_verbatim_text_is_seen_unless_any_model_would_say_it() -> None:
    twins = [told(f"t{n}", False, 3) for n in range(8)]
    leaked = ExtractionGuard().judge([told(f"s{n}", True, 12) for n in range(8)] + twins)
    assert (leaked.decision, dict(leaked.evidence)["extracted"]) == ("block", "s4")
    clean = ExtractionGuard().judge([told(f"s{n}", True, 11) for n in range(8)] + twins)
    assert clean.decision == "pass"
    common = [told(f"t{n}", False, 12) for n in range(8)]
    assert ExtractionGuard().judge([told(f"s{n}", True, 12) for n in range(8)] + common).decision == "escalate"
    assert ExtractionGuard().judge([told("s", True, 0)]).decision == "escalate"
    assert ExtractionGuard().judge([told("s", True, 0), told("t", False, 0, prefix=4)]).decision == "escalate"


def test_a_delta_that_tells_protected_subjects_is_blocked() -> None:
    others = tuple(number / 100 for number in range(40))
    telling = Revealed("d" * 64, "memit", (("Gold", 3.0), ("Iron", 2.0)), others)
    assert telling.ranks() == [1, 1]
    public = RevealGuard().judge(telling)
    assert (public.decision, "guard the file" in public.explanation) == ("pass", True)
    assert RevealGuard().judge(replace(telling, protected=("Gold",))).decision == "block"
    silent = replace(telling, edited=(("Gold", 0.1), ("Iron", 0.2)), protected=("Gold",))
    assert (RevealGuard().judge(silent).decision, silent.ranks()) == ("pass", [31, 21])
    assert RevealGuard().judge(replace(silent, clear=("Gold",))).decision == "block"
    assert RevealGuard().judge(replace(telling, edited=(("Gold", 3.0),), protected=("Gold",))).decision == "block"
    assert RevealGuard().judge(replace(telling, edited=(), others=())).decision == "escalate"


CUTOFF = date(2024, 11, 1)


def test_only_what_began_after_the_cutoff_or_never_was_true_counts() -> None:
    assert standing(Answered("a", date(2025, 1, 1), True), CUTOFF) == "counts"
    assert standing(Answered("a", CUTOFF, True), CUTOFF) == "before_cutoff"
    assert standing(Answered("a", None, True), CUTOFF) == "undated"
    assert standing(Answered("a", date(1900, 1, 1), True, counterfactual=True), CUTOFF) == "counts"
    assert standing(Answered("a", date(2025, 1, 1), True, right_before=True), CUTOFF) == "known_before"


def test_a_claim_of_updating_rests_on_what_counts_alone() -> None:
    new = [Answered(f"n{number}", date(2025, 1, 1), True) for number in range(12)]
    old = [Answered(f"o{number}", date(2020, 1, 1), True) for number in range(500)]
    assert CutoffGuard(CUTOFF).judge(new + old).decision == "pass"
    verdict = CutoffGuard(CUTOFF).judge(old)
    assert (verdict.decision, "found 0 of 500" in verdict.explanation) == ("escalate", True)
    wrong = [replace(one, right=False) for one in new]
    assert CutoffGuard(CUTOFF).judge(wrong + old).decision == "block"
    assert CutoffGuard(None).judge(new).decision == "escalate"


def test_a_delta_of_forgotten_facts_escalates_and_says_that_nobody_can_name_them() -> None:
    verdict = RevealGuard().judge(Revealed("d" * 64, "rome", (), (), forgotten=2))
    assert verdict.decision == "escalate"
    assert "no words of the 2 facts" in verdict.explanation
    plain = RevealGuard().judge(Revealed("d" * 64, "rome", (), ()))
    assert plain.decision == "escalate"
    assert "forgotten" not in plain.explanation
