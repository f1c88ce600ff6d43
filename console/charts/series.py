"""Bars and lines over categories in an order, such as months."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from console.charts.scales import position, ticks

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 220, 64, 8, 10, 26
MAX_LABELS = 8


@dataclass(frozen=True)
class Series:
    """Values in the order of the labels; None where there is none.

    Attributes:
        low, high: the bounds of each value's interval; empty for none.
        partial: the positions of values that are not complete yet, drawn lighter.
    """

    title: str
    labels: Sequence[str]
    values: Sequence[float | None]
    low: Sequence[float | None] = ()
    high: Sequence[float | None] = ()
    partial: frozenset[int] = frozenset()


def bars(series: Series, text: Callable[[float], str]) -> Markup:
    """A bar per label, with a whisker where there is an interval.

    Args:
        text: writes a value, for the axis and the tooltips.
    """
    shown = [v for v in (*series.values, *series.low, *series.high) if v is not None]
    axis = ticks(shown or [1.0])
    step = (WIDTH - LEFT - RIGHT) / max(1, len(series.labels))
    width, zero = min(step * 0.7, 48), _y(0, axis)
    marks = []
    for i, value in enumerate(series.values):
        if value is None:
            continue
        middle, top = LEFT + step * (i + 0.5), _y(value, axis)
        light = " partial" if i in series.partial else ""
        title = f"<title>{escape(series.labels[i])}: {escape(text(value))}</title>"
        marks.append(
            f'<rect class="bar{light}" x="{middle - width / 2:.1f}" y="{min(top, zero):.1f}"'
            f' width="{width:.1f}" height="{max(abs(zero - top), 0.5):.1f}" rx="2">{title}</rect>'
        )
        if series.low and series.low[i] is not None and series.high[i] is not None:
            low, high = _y(series.low[i] or 0.0, axis), _y(series.high[i] or 0.0, axis)
            marks.append(f'<path class="whisker" d="M{middle:.1f} {low:.1f}V{high:.1f}"/>')
    return _chart(series, axis, text, marks, step)


def line(series: Series, text: Callable[[float], str]) -> Markup:
    """A line through the values; it is interrupted where there is none. Arguments as for :func:`bars`."""
    axis = ticks([v for v in series.values if v is not None] or [1.0])
    step = (WIDTH - LEFT - RIGHT) / max(1, len(series.labels))
    path, marks, pen = [], [], "M"
    for i, value in enumerate(series.values):
        if value is None:
            pen = "M"
            continue
        x, y = LEFT + step * (i + 0.5), _y(value, axis)
        path.append(f"{pen}{x:.1f} {y:.1f}")
        title = f"<title>{escape(series.labels[i])}: {escape(text(value))}</title>"
        marks.append(f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3">{title}</circle>')
        pen = "L"
    return _chart(series, axis, text, [f'<path class="line" d="{"".join(path)}"/>', *marks], step)


def _y(value: float, axis: Sequence[float]) -> float:
    return position(value, axis, HEIGHT - BOTTOM, TOP)


def _chart(
    series: Series, axis: Sequence[float], text: Callable[[float], str], marks: Sequence[str], step: float
) -> Markup:
    grid = [
        f'<path class="grid" d="M{LEFT} {_y(t, axis)}H{WIDTH - RIGHT}"/>'
        f'<text class="tick" x="{LEFT - 6}" y="{_y(t, axis) + 4}" text-anchor="end">{escape(text(t))}</text>'
        for t in axis
    ]
    every = max(1, -(-len(series.labels) // MAX_LABELS))
    labels = [
        f'<text class="tick" x="{LEFT + step * (i + 0.5):.1f}" y="{HEIGHT - 8}"'
        f' text-anchor="middle">{escape(label)}</text>'
        for i, label in enumerate(series.labels)
        if i % every == 0
    ]
    return Markup(
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(series.title)}">'
        f"{''.join((*grid, *labels, *marks))}</svg>"
    )
