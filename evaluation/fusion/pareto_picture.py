"""The trade-off as a picture: success against change outside, one curve per method, strengths written at the points."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from evaluation.fusion.pareto import Curve
from evaluation.sheet import Picture

SIZE_INCHES, DPI = (8.6, 5.4), 120
LEAST_LEVELS = 0.01
"""Left end of the logarithmic axis: what changes less stands here."""
COLOURS = ("#2f6fde", "#d1602f", "#3b8f5a", "#8a5cc0", "#6d7178")
MARKERS = ("o", "s", "^", "D", "v")
PAPER, INK, FAINT = "#fafaf8", "#282a2e", "#8a8d93"


def pareto_picture(curves: Sequence[Curve], title: str, judge: str) -> Picture:
    """Draw trade-off curves, the first one foremost; H×W×3 uint8, the same pixels for the same curves."""
    with style.context("default"):  # whatever the user's own settings of matplotlib are
        figure = Figure(figsize=SIZE_INCHES, dpi=DPI, facecolor=PAPER, layout="constrained")
        canvas, axes = FigureCanvasAgg(figure), figure.add_subplot()
        for number in reversed(range(len(curves))):
            _draw(axes, curves[number], number)
        _frame(figure, axes, title, judge)
        canvas.draw()  # type: ignore[no-untyped-call]
        pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
        return np.array(pixels[..., :3], dtype=np.uint8)


def _draw(axes: Axes, curve: Curve, number: int) -> None:
    colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
    x = np.maximum(curve.values("change_outside")[0], LEAST_LEVELS)
    y = 100 * curve.values("success")[0]
    front = 3 if number == 0 else 2
    width = 2.4 if number == 0 else 1.5
    axes.plot(x, y, color=colour, marker=marker, markersize=6, linewidth=width, label=curve.title, zorder=front)
    below = number % 2 == 1  # neighbours write on different sides of their points
    for place in zip(curve.strengths, x, y, strict=True):
        axes.annotate(
            f"{place[0]:g}", place[1:], xytext=(5, -11 if below else 5), textcoords="offset points",
            color=colour, fontsize=8, zorder=4,
        )  # fmt: skip


def _frame(figure: Figure, axes: Axes, title: str, judge: str) -> None:
    axes.set_xscale("log")
    axes.set_ylim(-4, 106)
    axes.set_facecolor(PAPER)
    axes.grid(True, color="#e4e4de", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=FAINT)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel("mean change outside the region, 8-bit levels (log scale) – better to the left", color=INK)
    axes.set_ylabel(f"success by {judge}, % – better upwards", color=INK)
    axes.set_title(title, loc="left", color=INK, fontsize=13)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles[::-1], labels[::-1], loc="outside lower center", ncols=len(labels), frameon=False, labelcolor=INK
    )
    axes.text(0.995, 0.01, "numbers: strength s", transform=axes.transAxes, ha="right", color=FAINT, fontsize=8)
