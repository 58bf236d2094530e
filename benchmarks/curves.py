"""Curves as SVG files: one panel per figure, one line per series, with intervals; no library is needed to draw them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

COLOURS = ("#1f6feb", "#d1451b", "#2c8a3d", "#8250df", "#b58900", "#0b7c8a", "#bf3989", "#57606a", "#7d4e00", "#24292f")
PANEL, HEIGHT, LEFT, TOP, GAP = 230, 190, 44, 30, 26
STYLE = "font-family:sans-serif;font-size:11px;fill:#24292f"


@dataclass(frozen=True)
class Point:
    """One measured figure: x (larger than 0), y, and the ends of its interval, 0 to 1."""

    x: float
    y: float
    low: float
    high: float


def curves(panels: Mapping[str, Mapping[str, Sequence[Point]]], axis: str) -> str:
    """A picture of shares over a logarithmic axis.

    Args:
        panels: points by series, by the title of the panel.
        axis: what x is.
    """
    names = sorted({name for series in panels.values() for name in series})
    colours = {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(names)}
    xs = sorted({point.x for series in panels.values() for points in series.values() for point in points})
    width = LEFT + len(panels) * (PANEL + GAP)
    height = TOP + HEIGHT + 40 + 18 * math.ceil(len(names) / 6)
    pieces = [
        _panel(title, series, colours, xs, LEFT + place * (PANEL + GAP))
        for place, (title, series) in enumerate(panels.items())
    ]
    pieces.append(f'<text x="{width / 2:.0f}" y="{TOP + HEIGHT + 30}" text-anchor="middle">{escape(axis)}</text>')
    for place, name in enumerate(names):
        x, y = LEFT + 130 * (place % 6), TOP + HEIGHT + 50 + 18 * (place // 6)
        pieces.append(f'<rect x="{x}" y="{y - 9}" width="16" height="4" fill="{colours[name]}"/>')
        pieces.append(f'<text x="{x + 22}" y="{y - 3}">{escape(name)}</text>')
    body = "\n".join(pieces)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" style="{STYLE}">\n'
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>\n{body}\n</svg>\n'
    )


def _panel(
    title: str, series: Mapping[str, Sequence[Point]], colours: Mapping[str, str], xs: Sequence[float], left: float
) -> str:
    """One panel with its axes and lines."""
    span = math.log(xs[-1] / xs[0]) if len(xs) > 1 else 1.0

    def at(x: float) -> float:
        return left + 10 + (PANEL - 20) * (math.log(x / xs[0]) / span if len(xs) > 1 else 0.5)

    def up(y: float) -> float:
        return TOP + HEIGHT * (1 - y)

    pieces = [f'<text x="{left + PANEL / 2:.0f}" y="{TOP - 12}" text-anchor="middle">{escape(title)}</text>']
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        pieces.append(f'<path d="M{left} {up(share):.1f}h{PANEL}" stroke="#d0d7de"/>')
        pieces.append(f'<text x="{left - 5}" y="{up(share) + 4:.1f}" text-anchor="end">{share:g}</text>')
    pieces += [f'<text x="{at(x):.1f}" y="{TOP + HEIGHT + 14}" text-anchor="middle">{x:g}</text>' for x in xs]
    for name, points in sorted(series.items()):
        ordered = sorted(points, key=lambda point: point.x)
        line = "L".join(f"{at(point.x):.1f} {up(point.y):.1f}" for point in ordered)
        bars = "".join(f"M{at(one.x):.1f} {up(one.low):.1f}V{up(one.high):.1f}" for one in ordered)
        colour = colours[name]
        pieces.append(f'<path d="{bars}" stroke="{colour}" stroke-width="1" opacity="0.4"/>')
        pieces.append(f'<path d="M{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        pieces += [
            f'<circle cx="{at(one.x):.1f}" cy="{up(one.y):.1f}" r="3" fill="{colour}">'
            f"<title>{escape(name)}, {one.x:g}: {one.y:.2f} ({one.low:.2f} to {one.high:.2f})</title></circle>"
            for one in ordered
        ]
    return "\n".join(pieces)
