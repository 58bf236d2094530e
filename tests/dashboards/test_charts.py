import re
from math import nan
from xml.etree import ElementTree

import pytest

from dashboards.charts import Interval, Part, bars, number, percent, stacked, strip


def numbers(svg: str, name: str) -> list[float]:
    return [float(found) for found in re.findall(rf'{name}="([0-9.]+)"', svg)]


def test_parts_are_as_wide_as_their_share() -> None:
    svg = stacked([Part("a", 30, "good"), Part("b", 10, "bad")], "three to one")
    first, second = (float(rect.get("width", 0)) for rect in ElementTree.fromstring(svg).iter("rect"))
    assert first + 2 == pytest.approx(3 * (second + 2), rel=1e-3)
    assert 'aria-label="three to one"' in svg


def test_labels_are_escaped() -> None:
    for svg in (
        stacked([Part("<script>", 1, '"><script>')], "<script>"),
        bars([Part("<script>", 1, "<script>")], "<script>", "<script>"),
        strip(Interval(0.5, 0.4, 0.6, None, "<script>"), '"><script>'),
    ):
        assert "<script" not in svg
        ElementTree.fromstring(svg)


def test_a_strip_puts_value_bounds_and_threshold_in_order() -> None:
    svg = ElementTree.fromstring(strip(Interval(0.9, 0.8, 0.95, 0.7), "x"))
    band, dot = next(svg.iter("rect")), next(svg.iter("circle"))
    (mark,) = [line for line in svg.iter("line") if line.get("class") == "threshold"]
    left, right = float(band.get("x", 0)), float(band.get("x", 0)) + float(band.get("width", 0))
    assert float(mark.get("x1", 0)) < left < float(dot.get("cx", 0)) < right


def test_figures_above_one_get_a_scale_of_their_own() -> None:
    svg = strip(Interval(1.3, 1.2, 1.4, 1.05), "ratio")
    assert max(numbers(svg, "cx")) < 252
    assert min(numbers(svg, "cx")) > 8


def test_nothing_to_draw_draws_nothing() -> None:
    assert stacked([], "x") == ""
    assert stacked([Part("a", 0, "good")], "x") == ""
    assert bars([], "x", "s") == ""
    assert strip(Interval(nan, nan, nan), "x") == ""


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.0, "0"),
        (3.0, "3"),
        (1204.0, "1\u202f204"),
        (0.12345, "0.123"),
        (41.66, "41.7"),
        (2310.4, "2\u202f310"),
        (nan, "\u2013"),
    ],
)
def test_numbers_are_short(value: float, words: str) -> None:
    assert number(value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.0, "0\u202f%"), (1.0, "100\u202f%"), (0.997, "99.7\u202f%"), (0.978, "98\u202f%"), (0.004, "0.4\u202f%")],
)
def test_a_share_that_is_not_all_never_reads_as_all(value: float, words: str) -> None:
    assert percent(value) == words
