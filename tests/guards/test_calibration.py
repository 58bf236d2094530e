import itertools
import math

import numpy as np
import pytest

from guards.calibration import ace, aurc, brier, calibrated

SURE = [0.7, 0.9, 0.8, 0.4, 0.2, 0.0, 0.0, 0.0, 0.0, 0.1]
RAIN = [False, True, True, True, False, False, False, False, False, False]


def test_brier_gives_the_published_score() -> None:
    # Brier (1950), table 1: ten forecasts of rain, P = .19 summed over both classes.
    assert 2 * brier(SURE, RAIN) == pytest.approx(0.19)
    sklearn = pytest.importorskip("sklearn.metrics")
    assert brier(SURE, RAIN) == pytest.approx(sklearn.brier_score_loss(RAIN, SURE))
    assert brier([1.0, 0.0], [True, False]) == 0.0
    assert brier([1.0, 0.0], [False, True]) == 1.0


def test_aurc_of_a_perfect_order_follows_the_published_limit() -> None:
    # Geifman, Uziel and El-Yaniv (2019), equation 2: e + (1 - e) ln(1 - e) for an error rate e; here e = .2.
    right = [True] * 8000 + [False] * 2000
    confidence = np.linspace(1.0, 0.0, 10_000).tolist()
    assert aurc(confidence, right) == pytest.approx(0.2 + 0.8 * math.log(0.8), abs=1e-3)
    assert aurc(confidence[::-1], right) > 0.2 > aurc(confidence, right), "a wrong order is worse than none"
    assert aurc([0.5] * 10_000, right) == pytest.approx(0.2), "a confidence that says nothing has the error rate"


def test_aurc_of_ties_is_the_mean_over_their_orders() -> None:
    confidence, wrong = [0.9, 0.5, 0.5, 0.5], [0, 1, 0, 1]
    orders = [[wrong[0], *rest] for rest in itertools.permutations(wrong[1:])]
    by_hand = np.mean([[np.mean(order[:k]) for k in range(1, 5)] for order in orders])
    assert aurc(confidence, [not one for one in wrong]) == pytest.approx(by_hand)


def test_ace_is_the_mean_gap_over_equal_ranges() -> None:
    # Two ranges of five: the sure half says .7 .9 .8 .4 .2 of which 3 of 5 came true, the other half .02 of none.
    assert ace(SURE, RAIN, ranges=2) == pytest.approx((abs(3 / 5 - 0.6) + 0.02) / 2)
    generator = np.random.default_rng(2)
    stated = generator.uniform(size=20_000)
    honest = generator.uniform(size=20_000) < stated
    assert ace(stated.tolist(), honest.tolist()) < 0.02
    assert ace(stated.tolist(), [True] * 20_000) == pytest.approx(0.5, abs=0.02)


def test_what_is_no_probability_is_refused() -> None:
    for figure in (brier, ace, aurc):
        with pytest.raises(ValueError, match="between 0 and 1"):
            figure([1.2], [True])
        with pytest.raises(ValueError, match="one confidence per answer"):
            figure([], [])


def test_a_confidence_that_boasts_is_seen_beside_an_honest_one() -> None:
    draw = np.random.default_rng(5)
    stated = draw.uniform(size=400)
    happened = draw.uniform(size=400) < stated
    honest = calibrated(stated.tolist(), happened.tolist())
    boasting = calibrated(np.sqrt(np.sqrt(stated)).tolist(), happened.tolist())
    reversed_ = calibrated((1 - stated).tolist(), happened.tolist())
    for name in ("brier", "ace"):
        assert boasting[name].low > honest[name].high
        assert reversed_[name].low > boasting[name].high
    assert boasting["aurc"] == honest["aurc"], "the order of the answers is the same"
    assert reversed_["aurc"].low > honest["aurc"].high
    for one in (*honest.values(), *boasting.values()):
        assert one.low <= one.value <= one.high
        assert one.n == 400


def test_few_answers_have_a_wide_interval_and_none_has_no_figure() -> None:
    assert calibrated([], []) == {}
    (alone,) = {one.n for one in calibrated([0.8], [True]).values()}
    assert alone == 1
    few, many = calibrated([0.9, 0.4], [True, False])["brier"], calibrated([0.9, 0.4] * 50, [True, False] * 50)["brier"]
    assert few.high - few.low > many.high - many.low
    with pytest.raises(ValueError, match="one confidence per answer"):
        calibrated([0.3], [])
