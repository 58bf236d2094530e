"""Rates, lifetimes and persuadability, each held against a value worked out by hand or by another way."""

import math
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from guards.volatility import (
    Said,
    Spell,
    chance_of_change,
    change_rate,
    coherent_persuasion,
    expected_lifetime,
    rates_of,
    spell,
    spells_of,
)
from registry.records import Fact

TODAY = date(2026, 1, 1)
WATCHED = datetime(2024, 1, 1, tzinfo=UTC)


def test_the_rate_has_the_exact_poisson_interval() -> None:
    rate = change_rate([Spell(365.25, True)] * 10)
    assert (rate.changes, rate.years, rate.per_year) == (10, 10.0, 1.0)
    assert [rate.low, rate.high] == pytest.approx([0.4795, 1.8390], abs=1e-4), "Garwood's table, n = 10"
    never = change_rate([Spell(365.25, False)])
    assert (never.low, never.lifetime_days, never.longest_lifetime_days) == (0.0, math.inf, math.inf)
    assert never.high == pytest.approx(3.6889, abs=1e-4)
    with pytest.raises(ValueError, match="at least one"):
        change_rate([])


def test_the_rate_is_recovered_from_watched_time_and_not_from_whole_spells() -> None:
    draw, life = np.random.default_rng(3), 1000.0
    start, watched = date(1990, 1, 1), date(2010, 1, 1)
    seen, whole = [], []
    for _ in range(400):
        day = start
        while day < TODAY:
            end = day + timedelta(days=1 + int(draw.exponential(life)))
            if end > watched:  # who left before is not known
                seen.append(spell(day, end, watched, TODAY))
                whole.append(spell(day, end, start, TODAY))
            day = end
    found = change_rate([one for one in seen if one is not None])
    assert found.low * life / 365.25 < 1.0 < found.high * life / 365.25
    biased = change_rate([one for one in whole if one is not None])
    assert biased.high * life / 365.25 < 1.0, "counting the time before would make offices look lasting"


def test_spells_are_read_from_what_a_ledger_holds() -> None:
    old = Fact("A", "head", "Ann", date(2020, 1, 1), date(2025, 1, 1), WATCHED)
    new = Fact("A", "head", "Bob", date(2025, 1, 1), None, WATCHED + timedelta(days=366))
    gone = Fact("B", "head", "Cy", date(2000, 1, 1), date(2023, 1, 1), WATCHED)
    found = spells_of([old, new, gone, Fact("C", "capital", "D")], TODAY)
    assert found == {"head": [Spell(366.0, True), Spell(365.0, False)]}
    assert rates_of([old, new], TODAY)["head"].changes == 1


def test_what_is_expected_gives_way_to_what_is_seen() -> None:
    assert expected_lifetime([], 1500) == 1500
    assert expected_lifetime([], None) == math.inf
    assert expected_lifetime([Spell(100, True)] * 3, None) == 100
    assert expected_lifetime([Spell(100, True)] * 1000, 1500) == pytest.approx(101.4, abs=0.1)
    assert chance_of_change(1000, 1000) == pytest.approx(1 - 1 / math.e)
    assert chance_of_change(1000, math.inf) == 0.0


def test_persuasion_is_the_mean_divergence_over_pairs_of_clusters() -> None:
    paris, lyon = Said("Paris", {1: 1.0}), Said("Lyon", {2: 1.0})
    assert coherent_persuasion([paris], [Said("paris ", {1: 1.0})]) == pytest.approx(0.0, abs=1e-6)
    moved = coherent_persuasion([paris] * 3, [lyon] * 3)
    assert moved == pytest.approx(-math.log(1e-9), rel=1e-3)
    half = coherent_persuasion([Said("Paris", {1: 0.5, 2: 0.5})], [Said("Lyon", {2: 1.0})])
    assert half == pytest.approx(math.log(2), rel=1e-6)
    assert coherent_persuasion([paris], [paris, lyon]) == pytest.approx(moved / 2, rel=1e-3), "two clusters, two pairs"
    with pytest.raises(ValueError, match="sample both"):
        coherent_persuasion([], [lyon])
