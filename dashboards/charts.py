"""Plots as inline SVG: small functions that return markup, coloured by classes that the page defines.

Every label is escaped here; the result is safe to put into a page as it is. A plot scales with its column.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from markupsafe import Markup, escape

BAR_WIDTH = 720
STRIP_WIDTH, STRIP_HEIGHT, STRIP_MARGIN = 260, 26, 8


@dataclass(frozen=True)
class Part:
    """One part of a whole.

    Attributes:
        label: its name.
        value: its size, 0 or more.
        tone: class that colours it.
    """

    label: str
    value: float
    tone: str


@dataclass(frozen=True)
class Interval:
    """A figure with its interval on a scale.

    Attributes:
        value: the point.
        low: lower bound.
        high: upper bound.
        threshold: what a bound is held against, None where nothing is.
        tone: class that colours it.
    """

    value: float
    low: float
    high: float
    threshold: float | None = None
    tone: str = "neutral"


def number(value: float) -> str:
    """A figure for people: three significant digits, no exponent for everyday sizes, a dash when it is none."""
    if not isfinite(value):
        return "\u2013"
    if value == int(value) and abs(value) < 1e6:
        return f"{int(value):,}".replace(",", "\u202f")
    return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}".replace(",", "\u202f")


def percent(value: float) -> str:
    """A share as a percentage without decimals, except where that would hide that it is not all or nothing."""
    if not isfinite(value):
        return "\u2013"
    rounded = round(100 * value)
    if rounded in (0, 100) and value not in (0.0, 1.0):
        return f"{100 * value:.1f}\u202f%"
    return f"{rounded}\u202f%"


def stacked(parts: Sequence[Part], title: str) -> Markup:
    """One bar, divided in proportion; the parts' numbers stand in it where they fit.

    An empty whole gives no plot.
    """
    total = sum(part.value for part in parts)
    if total <= 0:
        return Markup("")
    x, pieces = 0.0, []
    for part in parts:
        width = BAR_WIDTH * part.value / total
        if width <= 0:
            continue
        place = f'x="{x:.2f}" y="0" width="{max(width - 2, 1):.2f}" height="34" rx="3"'
        label = escape(f"{part.label}: {number(part.value)}")
        pieces.append(f'<rect class="fill {escape(part.tone)}" {place}><title>{label}</title></rect>')
        if width > 26:
            pieces.append(f'<text class="inside" x="{x + width / 2 - 1:.2f}" y="22">{number(part.value)}</text>')
        x += width
    return _svg(BAR_WIDTH, 34, title, pieces, "bar")


def bars(parts: Sequence[Part], title: str, unit: str) -> Markup:
    """Horizontal bars on a common scale, one line each, with the number at the end.

    Nothing to draw gives no plot.
    """
    largest = max((part.value for part in parts), default=0.0)
    if largest <= 0:
        return Markup("")
    left, right, line = 150, 90, 26
    pieces = []
    for place, part in enumerate(parts):
        y = place * line
        width = max((BAR_WIDTH - left - right) * part.value / largest, 1.5)
        pieces += [
            f'<text class="label" x="{left - 12}" y="{y + 17}">{escape(part.label)}</text>',
            f'<rect class="fill {escape(part.tone)}" x="{left}" y="{y + 4}" width="{width:.2f}" height="18" rx="3"/>',
            f'<text class="figure" x="{left + width + 8:.2f}" y="{y + 17}">{number(part.value)} {escape(unit)}</text>',
        ]
    return _svg(BAR_WIDTH, len(parts) * line, title, pieces, "bars")


def strip(interval: Interval, title: str, scale: tuple[float, float] | None = None) -> Markup:
    """A line with the interval as a band, the value as a dot and the threshold as a dashed mark.

    Args:
        interval: what to draw.
        title: its text form, for those who do not see it.
        scale: both ends; None takes 0 to 1 for shares and fits anything else.
    """
    given = [interval.value, interval.low, interval.high, interval.threshold]
    figures = [figure for figure in given if figure is not None]
    if not all(isfinite(figure) for figure in figures):
        return Markup("")
    start, end = scale or _scale(figures)

    def x(value: float) -> float:
        inner = STRIP_WIDTH - 2 * STRIP_MARGIN
        return STRIP_MARGIN + inner * min(max((value - start) / (end - start), 0.0), 1.0)

    middle = STRIP_HEIGHT / 2
    left, right = STRIP_MARGIN, STRIP_WIDTH - STRIP_MARGIN
    low, width = x(interval.low), max(x(interval.high) - x(interval.low), 2.0)
    tone = escape(interval.tone)
    pieces = [
        f'<line class="axis" x1="{left}" x2="{right}" y1="{middle}" y2="{middle}"/>',
        *(f'<line class="axis" x1="{at}" x2="{at}" y1="{middle - 3}" y2="{middle + 3}"/>' for at in (left, right)),
        f'<rect class="band {tone}" x="{low:.2f}" y="{middle - 5}" width="{width:.2f}" height="10" rx="2"/>',
        f'<circle class="fill {tone}" cx="{x(interval.value):.2f}" cy="{middle}" r="4.5"/>',
    ]
    if interval.threshold is not None:
        at = x(interval.threshold)
        pieces.append(f'<line class="threshold" x1="{at:.2f}" x2="{at:.2f}" y1="1" y2="{STRIP_HEIGHT - 1}"/>')
    return _svg(STRIP_WIDTH, STRIP_HEIGHT, title, pieces, "strip")


def _scale(figures: Sequence[float]) -> tuple[float, float]:
    """0 to 1 for shares; otherwise from 0 (or the smallest) to a little above the largest."""
    if all(0 <= figure <= 1 for figure in figures):
        return 0.0, 1.0
    start, end = min(0.0, *figures), max(figures)
    return start, end + 0.1 * (end - start)


def _svg(width: int, height: int, title: str, pieces: Sequence[str], kind: str) -> Markup:
    """The picture with its text form."""
    body = "".join(pieces)
    return Markup(
        f'<svg class="{kind}" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">{body}</svg>'
    )
