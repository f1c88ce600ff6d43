"""Bars and lines over categories in an order, such as months."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from console.charts.scales import position, ticks

HEIGHT, RIGHT, TOP, BOTTOM = 240, 8, 10, 26
WIDTHS = {"wide": 960, "narrow": 400}
"""By class, the widths at which a chart is drawn; the style sheet shows the one that fits its place."""
LETTER, IDEOGRAPH, LABEL_GAP = 6.5, 11.5, 14  # widths in a label of the axis


Write = Callable[[float], str]
"""Writes a value."""


@dataclass(frozen=True)
class Series:
    """Values in the order of the labels; None where there is none.

    Attributes:
        low, high: the bounds of each value's interval; empty for none.
        partial: the positions of values that are not complete yet, drawn lighter.
        compared: the values of another series, each drawn as a line across the bar; empty for none.
    """

    title: str
    labels: Sequence[str]
    values: Sequence[float | None]
    low: Sequence[float | None] = ()
    high: Sequence[float | None] = ()
    partial: frozenset[int] = frozenset()
    compared: Sequence[float | None] = ()


@dataclass(frozen=True)
class Frame:
    """Where the values of a chart are across: the first begins at ``left``, and each has ``step``."""

    left: float
    step: float

    def middle(self, i: int) -> float:
        """The middle of the value at a position."""
        return self.left + self.step * (i + 0.5)


def bars(series: Series, text: Write) -> Markup:
    """A bar per label, with a whisker where there is an interval.

    Args:
        text: writes a value, for the axis and the tooltips.
    """
    shown = [v for v in (*series.values, *series.low, *series.high, *series.compared) if v is not None]
    axis = ticks(shown or [1.0])
    return _at_each_width(series, axis, text, lambda frame: _bars(series, axis, text, frame))


def line(series: Series, text: Write) -> Markup:
    """A line through the values; it is interrupted where there is none. Arguments as for :func:`bars`."""
    axis = ticks([v for v in series.values if v is not None] or [1.0])
    return _at_each_width(series, axis, text, lambda frame: _line(series, axis, text, frame))


def _bars(series: Series, axis: Sequence[float], text: Write, frame: Frame) -> Iterator[str]:
    width, zero = min(frame.step * 0.7, 48), _y(0, axis)
    for i, value in enumerate(series.values):
        if value is None:
            continue
        middle, top = frame.middle(i), _y(value, axis)
        light = " partial" if i in series.partial else ""
        title = f"<title>{escape(series.labels[i])} · {escape(text(value))}</title>"
        yield (
            f'<rect class="bar{light}" x="{middle - width / 2:.1f}" y="{min(top, zero):.1f}"'
            f' width="{width:.1f}" height="{max(abs(zero - top), 0.5):.1f}" rx="2">{title}</rect>'
        )
        if series.low and series.low[i] is not None and series.high[i] is not None:
            low, high = _y(series.low[i] or 0.0, axis), _y(series.high[i] or 0.0, axis)
            yield f'<path class="whisker" d="M{middle:.1f} {low:.1f}V{high:.1f}"/>'
    for i, other in enumerate(series.compared[: len(series.labels)]):
        if other is not None:
            left, right, y = frame.middle(i) - width * 0.6, frame.middle(i) + width * 0.6, _y(other, axis)
            title = f"<title>{escape(series.labels[i])} · {escape(text(other))}</title>"
            yield f'<path class="compared" d="M{left:.1f} {y:.1f}H{right:.1f}">{title}</path>'


def _line(series: Series, axis: Sequence[float], text: Write, frame: Frame) -> Iterator[str]:
    path, dots, pen = [], [], "M"
    for i, value in enumerate(series.values):
        if value is None:
            pen = "M"
            continue
        x, y = frame.middle(i), _y(value, axis)
        path.append(f"{pen}{x:.1f} {y:.1f}")
        title = f"<title>{escape(series.labels[i])} · {escape(text(value))}</title>"
        dots.append(f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3">{title}</circle>')
        pen = "L"
    yield f'<path class="line" d="{"".join(path)}"/>'
    yield from dots


def _y(value: float, axis: Sequence[float]) -> float:
    return position(value, axis, HEIGHT - BOTTOM, TOP)


def _at_each_width(
    series: Series,
    axis: Sequence[float],
    text: Write,
    marks: Callable[[Frame], Iterable[str]],
) -> Markup:
    """The chart at each of ``WIDTHS``.

    Args:
        marks: draws the values within a frame.
    """
    return Markup("").join(_chart(series, axis, text, marks, name) for name in WIDTHS)


def _chart(
    series: Series,
    axis: Sequence[float],
    text: Write,
    marks: Callable[[Frame], Iterable[str]],
    name: str,
) -> Markup:
    width = WIDTHS[name]
    left = max(_width(text(t)) for t in axis)
    frame = Frame(left, (width - left - RIGHT) / max(1, len(series.labels)))
    grid = [
        f'<path class="grid" d="M{left} {_y(t, axis)}H{width - RIGHT}"/>'
        f'<text class="tick" x="{left - 6}" y="{_y(t, axis) + 4}" text-anchor="end">{escape(text(t))}</text>'
        for t in axis
    ]
    every = max(1, math.ceil(max(map(_width, series.labels), default=0) / frame.step))
    labels = [
        f'<text class="tick" x="{frame.middle(i):.1f}" y="{HEIGHT - 8}"'
        f' text-anchor="middle">{escape(label)}</text>'
        for i, label in enumerate(series.labels)
        if i % every == 0
    ]
    return Markup(
        f'<svg class="chart {name}" viewBox="0 0 {width} {HEIGHT}" role="img"'
        f' aria-label="{escape(series.title)}">{"".join((*grid, *labels, *marks(frame)))}</svg>'
    )


def _width(label: str) -> float:
    """The width of a label with the gap to the next one."""
    return LABEL_GAP + sum(IDEOGRAPH if unicodedata.east_asian_width(c) in "WF" else LETTER for c in label)
