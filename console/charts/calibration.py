"""Predicted against actual means of groups of customers; on the diagonal they agree."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from markupsafe import Markup, escape

from console.charts.scales import position, ticks

SIDE, LEFT, RIGHT, TOP, BOTTOM = 320, 64, 24, 10, 42


def calibration(
    title: str,
    points: Sequence[tuple[float, float]],
    text: Callable[[float], str],
    across: str,
    compared: Sequence[tuple[float, float]] = (),
) -> Markup:
    """A dot per group, at its predicted and its actual mean.

    Args:
        points: predicted and actual. compared: those of another model, drawn as circles.
        text: writes a value.
        across: the name of the horizontal axis; the title names the vertical one.
    """
    axis = ticks([value for point in (*points, *compared) for value in point] or [1.0])

    def x(value: float) -> float:
        return position(value, axis, LEFT, SIDE - RIGHT)

    foot = SIDE - BOTTOM + 16

    def y(value: float) -> float:
        return position(value, axis, SIDE - BOTTOM, TOP)

    grid = [
        f'<path class="grid" d="M{LEFT} {y(t)}H{SIDE - RIGHT}M{x(t)} {TOP}V{SIDE - BOTTOM}"/>'
        f'<text class="tick" x="{LEFT - 6}" y="{y(t) + 4}" text-anchor="end">{escape(text(t))}</text>'
        for t in axis
    ]
    below = [
        f'<text class="tick" x="{x(t)}" y="{foot}" text-anchor="middle">{escape(text(t))}</text>'
        for t in axis[::2]
    ]
    diagonal = f'<path class="diagonal" d="M{x(axis[0])} {y(axis[0])}L{x(axis[-1])} {y(axis[-1])}"/>'
    dots = [
        f'<circle class="{name}" cx="{x(predicted)}" cy="{y(actual)}" r="4">'
        f"<title>{escape(text(predicted))} → {escape(text(actual))}</title></circle>"
        for name, of_model in (("compared", compared), ("dot", points))
        for predicted, actual in of_model
    ]
    label = f'<text class="tick" x="{SIDE / 2}" y="{SIDE - 6}" text-anchor="middle">{escape(across)}</text>'
    return Markup(
        f'<svg class="chart square" viewBox="0 0 {SIDE} {SIDE}" role="img" aria-label="{escape(title)}">'
        f"{''.join((*grid, *below, diagonal, *dots, label))}</svg>"
    )
