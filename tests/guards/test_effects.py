import math

import numpy as np
import pytest

from guards.effects import cliffs_delta, cohens_d, cohens_h, permutation_p, tost_kept, tost_paired

DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
"""Darwin's maize: cross-fertilised less self-fertilised plants, in eighths of an inch (Fisher 1935, section 17)."""


def test_the_permutation_test_gives_fishers_count() -> None:
    # Fisher (1935), "The Design of Experiments", section 21: in 863 of the 2^15 arrangements the sum is 314 or more.
    none = [0.0] * len(DARWIN)
    assert permutation_p(none, [*map(float, DARWIN)], alternative="greater") == pytest.approx(863 / 2**15)
    assert permutation_p(none, [*map(float, DARWIN)]) == pytest.approx(2 * 863 / 2**15)
    assert permutation_p(none, none) == 1.0


def test_drawn_permutations_agree_with_the_normal_limit() -> None:
    generator = np.random.default_rng(4)
    before = generator.normal(size=80)
    after = before + generator.normal(0.25, 1.0, size=80)
    shift = after - before
    z = shift.sum() / math.sqrt((shift**2).sum())
    expected = math.erfc(abs(z) / math.sqrt(2))
    assert permutation_p(before.tolist(), after.tolist(), resamples=5000) == pytest.approx(expected, abs=0.015)
    with pytest.raises(ValueError, match="no pairs"):
        permutation_p([1.0], [])


AUC_TEST = [103.4, 59.92, 68.17, 94.54, 69.48, 72.17, 74.37, 84.44, 96.74, 94.26, 48.52, 95.68]
AUC_REFERENCE = [90.11, 77.71, 77.71, 97.51, 58.21, 101.3, 79.84, 96.06, 89.30, 97.22, 61.62, 85.80]


def test_tost_gives_the_published_bioequivalence() -> None:
    # Wellek (2003), p. 212, in SAS/STAT User's Guide, PROC TTEST, "Equivalence Testing with Lognormal Data": geometric
    # mean ratio .9412, 90% limits .8634 and 1.0260, equivalent within .8 and 1.25.
    reference, test = np.log(AUC_REFERENCE).tolist(), np.log(AUC_TEST).tolist()
    found = tost_paired(reference, test, (math.log(0.8), math.log(1.25)))
    assert [round(math.exp(one), 4) for one in (found.value, found.low, found.high)] == [0.9412, 0.8634, 1.0260]
    assert found.equivalent
    narrow = tost_paired(reference, test, (math.log(0.9), math.log(1 / 0.9)))
    assert not narrow.equivalent, "the interval reaches beyond the margin"
    assert narrow.p > 0.05


def test_tost_agrees_with_the_interval_that_it_inverts() -> None:
    generator = np.random.default_rng(8)
    agreed = {True: 0, False: 0}
    for _ in range(120):
        before = generator.normal(size=12)
        after = before + generator.normal(generator.uniform(-0.6, 0.6), 0.8, size=12)
        found = tost_paired(before.tolist(), after.tolist(), (-0.8, 0.8))
        assert found.equivalent == (found.low > -0.8 and found.high < 0.8)
        agreed[found.equivalent] += 1
    assert min(agreed.values()) > 20
    assert tost_paired([1.0, 2.0], [1.1, 2.1], (-0.5, 0.5)).equivalent
    assert not tost_paired([1.0, 2.0], [2.0, 3.0], (-0.5, 0.5)).equivalent
    with pytest.raises(ValueError, match="two pairs"):
        tost_paired([1.0], [1.0], (-1, 1))
    with pytest.raises(ValueError, match="low < high"):
        tost_paired([1.0, 2.0], [1.0, 2.0], (1, -1))


def test_the_exact_tost_of_a_share_follows_the_rule_of_three() -> None:
    # Hanley and Lippman-Hand (1983), "If nothing goes wrong, is everything all right?", JAMA 249: none of n gives an
    # upper 95% limit of about 3 / n.
    found = tost_kept(100, 100, 0.05)
    assert -found.low == pytest.approx(0.03, abs=0.001)
    assert found.equivalent
    assert found.p == pytest.approx(0.95**100)
    assert not tost_kept(40, 40, 0.05).equivalent, "forty cases cannot show it"
    assert not tost_kept(95, 100, 0.05).equivalent
    with pytest.raises(ValueError, match="kept"):
        tost_kept(3, 2, 0.1)


def test_cohens_d_gives_the_published_effect() -> None:
    # Lakens (2013), "Calculating and reporting effect sizes", Front. Psychol. 4:863, table 1: two films, d_s = 1.13.
    first, second = [9, 7, 8, 9, 8, 9, 9, 10, 9, 9], [9, 6, 7, 8, 7, 9, 8, 8, 8, 7]
    assert round(cohens_d(first, second), 2) == 1.13
    t = cohens_d(first, second) * math.sqrt(5)
    from scipy.stats import ttest_ind

    assert t == pytest.approx(ttest_ind(first, second).statistic), "t = d sqrt(n m / (n + m))"
    assert cohens_d([1.0, 1.0], [1.0, 1.0]) == 0.0
    assert cohens_d([1.0, 1.0], [2.0, 2.0]) == -math.inf
    with pytest.raises(ValueError, match="two values"):
        cohens_d([1.0], [1.0, 2.0])


def test_cliffs_delta_gives_the_published_effect_and_counts_pairs() -> None:
    # Hess and Kromrey (2004), "Robust confidence intervals for effect sizes", AERA: delta = -.25.
    treated, control = [10, 10, 20, 20, 20, 30, 30, 30, 40, 50], [10, 20, 30, 40, 40, 50]
    found = cliffs_delta(treated, control)
    assert found == pytest.approx(-0.25)
    signs = [np.sign(one - other) for one in treated for other in control]
    assert found == pytest.approx(np.mean(signs))
    assert cliffs_delta([2, 3], [1, 1]) == 1.0
    with pytest.raises(ValueError, match="both sides"):
        cliffs_delta([], [1])


def test_cohens_h_gives_the_published_effect() -> None:
    # Cohen (1988), table 6.2.2: phi(.50) = 1.571, phi(.40) = 1.369.
    assert cohens_h(0.5, 0.4) == pytest.approx(1.571 - 1.369, abs=0.001)
    assert cohens_h(0.3, 0.3) == 0.0
