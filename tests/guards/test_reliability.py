from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from guards.reliability import Outcome, Record, ReliabilityPolicy, judged, lower_bound, record_of, reliability
from guards.sources import RANK, Source, Sources, Tier

AT = datetime(2026, 3, 1, tzinfo=UTC)
POLICY = ReliabilityPolicy()
TIERS: tuple[Tier, ...] = ("weak", "established", "authoritative")


@given(st.sampled_from(TIERS), st.integers(0, 500), st.integers(0, 50))
def test_a_record_never_raises_and_every_withdrawn_row_lowers(listed: Tier, confirmed: int, withdrawn: int) -> None:
    found = reliability(listed, Record(confirmed, withdrawn))
    assert found.tier is None or RANK[found.tier] <= RANK[listed]
    assert reliability(listed, Record(confirmed, withdrawn + 1)).bound < found.bound
    assert reliability(listed, Record(confirmed + 1, withdrawn)).bound >= found.bound


def test_the_bound_is_the_betas_quantile() -> None:
    assert lower_bound("established", Record(5, 2), POLICY) == pytest.approx(float(beta.ppf(0.1, 35, 3)))


@pytest.mark.parametrize(
    ("listed", "confirmed", "withdrawn", "left"),
    [
        ("authoritative", 0, 0, "authoritative"),
        ("authoritative", 10, 1, "authoritative"),
        ("authoritative", 10_000, 2, "established"),
        ("authoritative", 10_000, 5, "weak"),
        ("established", 0, 1, "established"),
        ("established", 10_000, 2, "weak"),
        ("weak", 0, 0, "weak"),
        ("weak", 0, 1, None),
        ("weak", 10_000, 5, "weak"),
        ("weak", 10_000, 6, None),
    ],
)
def test_so_many_withdrawn_rows_cost_a_tier(listed: Tier, confirmed: int, withdrawn: int, left: Tier | None) -> None:
    assert reliability(listed, Record(confirmed, withdrawn)).tier == left


def test_a_negative_count_is_refused() -> None:
    with pytest.raises(ValueError, match="counts"):
        reliability("weak", Record(-1, 0))


def test_only_the_latest_outcomes_count_and_a_tier_comes_back() -> None:
    bad = [Outcome(AT - timedelta(days=days), False) for days in (10, 20)]
    good = [Outcome(AT, True)] * 100
    assert record_of(bad, AT) == Record(0, 2)
    assert record_of([*bad, *good], AT) == Record(60, 0)
    assert record_of(bad, AT + timedelta(days=350)) == Record(0, 1)
    assert record_of(bad, AT - timedelta(days=15)) == Record(0, 1)


def test_the_list_of_sources_follows_the_records() -> None:
    listed = Sources.of([Source("Gazette", "authoritative", ("gazette.example",)), Source("Wire", "established")])
    found = judged(listed, {"Gazette": Record(9, 5), "Wire": Record(9, 0), "Blog": Record(0, 3)})
    assert found.find("gazette").tier == "weak"
    assert found.find("", "https://gazette.example/1").tier == "weak"
    assert found.find("Wire") == listed.find("Wire")
    assert not found.find("Blog").votes
    assert found.find("Other blog").votes
    assert judged(listed, {"Wire": Record(50, 0)}) is listed
