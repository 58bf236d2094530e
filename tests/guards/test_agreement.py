import itertools

import numpy as np
import pytest

from guards.agreement import cohens_kappa, krippendorff_alpha


def graded(counts: list[list[int]]) -> tuple[list[int], list[int]]:
    """The grades of two raters behind a table of counts."""
    cells = [(row, column, n) for row, line in enumerate(counts) for column, n in enumerate(line)]
    return [r for r, _, n in cells for _ in range(n)], [c for _, c, n in cells for _ in range(n)]


def test_kappa_gives_the_published_agreement() -> None:
    # Fleiss, Levin and Paik (2003), "Statistical Methods for Rates and Proportions", table 18.1: two raters of 100
    # patients, kappa = .68.
    first, second = graded([[75, 1, 4], [5, 4, 1], [0, 0, 10]])
    found = cohens_kappa(first, second)
    assert (round(found.value, 2), found.n) == (0.68, 100)
    kept = [cohens_kappa(first[:k] + first[k + 1 :], second[:k] + second[k + 1 :]).value for k in range(100)]
    jackknife = np.sqrt(99 / 100 * np.sum((np.array(kept) - np.mean(kept)) ** 2))
    assert (found.high - found.low) / (2 * 1.96) == pytest.approx(jackknife, rel=0.05)
    observed = np.mean(np.equal(first, second))
    chance = sum(np.mean(np.equal(first, grade)) * np.mean(np.equal(second, grade)) for grade in range(3))
    assert found.value == pytest.approx((observed - chance) / (1 - chance))


def test_kappa_without_a_choice_is_refused() -> None:
    with pytest.raises(ValueError, match="two different grades"):
        cohens_kappa(["yes", "yes"], ["yes", "yes"])
    with pytest.raises(ValueError, match="two grades for every item"):
        cohens_kappa(["yes"], [])
    assert cohens_kappa(["yes", "no"] * 20, ["no", "yes"] * 20).value == pytest.approx(-1.0)


N = None
OBSERVERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, N, N, N],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, N, 3],
    [N, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, N],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, N],
]
"""Krippendorff (2011), "Computing Krippendorff's alpha-reliability", section C: four observers, twelve units."""


@pytest.mark.parametrize(("level", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_gives_the_published_reliability(level: str, published: float) -> None:
    found = krippendorff_alpha(OBSERVERS, level, resamples=100)  # type: ignore[arg-type]
    assert found.value == pytest.approx(published, abs=0.0006)
    assert found.low < found.value <= found.high
    assert found.n == 12


def test_nominal_alpha_is_one_less_observed_over_expected_disagreement() -> None:
    units = [[row[column] for row in OBSERVERS if row[column] is not None] for column in range(12)]
    units = [unit for unit in units if len(unit) > 1]
    values = [one for unit in units for one in unit]
    observed = sum(sum(a != b for a, b in itertools.permutations(unit, 2)) / (len(unit) - 1) for unit in units)
    expected = sum(a != b for a, b in itertools.permutations(values, 2)) / (len(values) - 1)
    assert krippendorff_alpha(OBSERVERS, resamples=20).value == pytest.approx(1 - observed / expected)


def test_alpha_without_a_choice_is_refused() -> None:
    with pytest.raises(ValueError, match="two raters"):
        krippendorff_alpha([[1, 2]])
    with pytest.raises(ValueError, match="two different grades"):
        krippendorff_alpha([[1, 1], [1, 1]])
