import pytest

from guards.position import Reading, position_score


def readings(right: dict[tuple[int, str], int], n: int = 40) -> list[Reading]:
    """Of n questions the first so many are right, by size and place."""
    return [
        Reading(f"q{case:02}", size, place, case < count) for (size, place), count in right.items() for case in range(n)
    ]


FLAT = {(1, "alone"): 36} | {(size, place): 36 for size in (5, 20) for place in ("first", "middle", "last")}


def test_a_drop_in_the_middle_and_with_length_is_seen() -> None:
    sagging = FLAT | {(5, "middle"): 30, (20, "first"): 30, (20, "middle"): 10, (20, "last"): 34}
    found = position_score(readings(sagging))
    assert found.alone.value == 0.9
    assert found.curve[20]["middle"].value == 0.25
    drops = {one.size: one.difference for one in found.middle}
    assert drops[20].value == pytest.approx(0.25 - (30 + 34) / 80)
    assert drops[20].high < 0
    piled = {one.size: one for one in found.piled}
    assert piled[20].difference.value == pytest.approx(-0.65)
    assert piled[20].adjusted is not None
    assert piled[20].adjusted < 0.001
    assert found.length is not None
    assert found.length.high < 0


def test_a_flat_reader_shows_nothing() -> None:
    found = position_score(readings(FLAT))
    assert all(one.difference.value == 0 for one in (*found.middle, *found.piled))
    assert all(one.adjusted == 1.0 for one in found.piled)
    assert found.length is not None
    assert found.length.value == pytest.approx(0)
    assert found.to_dict()["curve"][5]["first"]["n"] == 40


@pytest.mark.parametrize("gone", [(1, "alone"), (20, "last")])
def test_a_reading_that_is_missing_is_refused(gone: tuple[int, str]) -> None:
    kept = [one for one in readings(FLAT) if (one.size, one.place, one.case) != (*gone, "q03")]
    with pytest.raises(ValueError, match="read alone and once"):
        position_score(kept)
