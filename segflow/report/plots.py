"""The plots of reports."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.ticker import Locator, LogLocator, MaxNLocator, NullFormatter

from segflow.report.svg import (
    FIRST,
    INK,
    MUTED,
    PAPER,
    SECOND,
    SIZE,
    SQUARE,
    STYLE,
    new_figure,
    to_svg,
)
from segflow.scores.calibration import Reliability

_DASHES = ("-", (0, (4, 2)), (0, (1, 1.5)))
_LINES = list(itertools.product(_DASHES, (FIRST, SECOND)))
MOST_LINES = len(_LINES)
"""Lines of one plot that can be told apart."""


@dataclass(frozen=True)
class Curve:
    """One line of a plot: its name and a value per epoch, None where there is none."""

    name: str
    values: Sequence[float | None]


@mpl.rc_context(STYLE)
def curves(
    title: str,
    epochs: Sequence[int],
    lines: Sequence[Curve],
    best_epoch: int | None,
    limits: tuple[float, float] | None = None,
) -> Markup:
    """Lines over epochs, the best epoch marked.

    Args:
        title: What the values are; also the plot's accessible name.
        epochs: Epoch numbers, the x axis.
        lines: At most `MOST_LINES`, each as long as `epochs`.
        best_epoch: Where to draw a mark, if anywhere.
        limits: Of the y axis; None fits the values.
    """
    figure, axes = new_figure()
    drawn = []
    for curve, (dashes, color) in zip(lines, _LINES, strict=False):
        values = [np.nan if v is None else v for v in curve.values]
        drawn += axes.plot(epochs, values, color=color, linewidth=1.8, linestyle=dashes)
        if len(epochs) < 3:
            axes.plot(epochs, values, "o", color=color)
    if best_epoch is not None:
        axes.axvline(best_epoch, color=INK, linewidth=1, linestyle=(0, (3, 3)))
        axes.annotate(
            f"best: {best_epoch}",
            (best_epoch, 1),
            (0, 3),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="center",
            color=INK,
        )
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if limits:
        axes.set_ylim(*limits)
    # Named here: the label of a line is left out if it begins with an underscore.
    axes.legend(drawn, [curve.name for curve in lines[: len(drawn)]], loc="best")
    return to_svg(figure, title)


@mpl.rc_context(STYLE)
def histogram(label: str, counts: Sequence[int], low: float, high: float) -> Markup:
    """Images by a value: bars of equal width from `low` to `high`, one per count."""
    figure, axes = new_figure()
    edges = np.linspace(low, high, len(counts) + 1)
    axes.bar(edges[:-1], counts, np.diff(edges), align="edge", color=FIRST, edgecolor=PAPER)
    axes.set_xlim(low, high)
    axes.set_xlabel(label)
    axes.set_ylabel("images")
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.grid(axis="x", visible=False)
    return to_svg(figure, f"Number of images by {label}")


@mpl.rc_context(STYLE)
def reliability(title: str, lines: Sequence[tuple[str, Reliability]]) -> Markup:
    """Reliability diagram (Guo et al. 2017): share of hits by confidence, a point for each bin.

    A point is the larger the more pixels its bin has; on the diagonal confidence is right.

    Args:
        title: The plot's accessible name.
        lines: At most two, with their names.
    """
    figure, axes = new_figure(SQUARE)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (3, 3)))
    drawn = []
    for (_, bins), color in zip(lines, (FIRST, SECOND), strict=False):
        used = bins.pixels > 0
        pixels = bins.pixels[used]
        confidence, accuracy = bins.confidence[used] / pixels, bins.hits[used] / pixels
        drawn += axes.plot(confidence, accuracy, color=color, linewidth=1.8)
        axes.scatter(confidence, accuracy, 12 + 120 * pixels / pixels.sum(), color)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="share of hits")
    axes.legend(drawn, [name for name, _ in lines[: len(drawn)]], loc="upper left")
    return to_svg(figure, title)


@mpl.rc_context(STYLE)
def rate_test(
    rates: Sequence[float],
    losses: Sequence[float],
    smoothed: Sequence[float],
    suggested: float | None,
) -> Markup:
    """Losses over learning rates, these on a logarithmic axis.

    Args:
        rates: Of each batch, rising.
        losses: Of each batch.
        smoothed: The same without the noise.
        suggested: Where to draw a mark, if anywhere.
    """
    figure, axes = new_figure()
    axes.semilogx(rates, losses, ".", color=SECOND, markersize=4, label="batch")
    axes.semilogx(rates, smoothed, color=FIRST, linewidth=1.8, label="smoothed")
    if suggested is not None:
        axes.axvline(suggested, color=INK, linewidth=1, linestyle=(0, (3, 3)))
        axes.annotate(
            f"suggested: {suggested:.2g}",
            (suggested, 1),
            (0, 3),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="center",
            color=INK,
        )
    axes.xaxis.set_major_formatter(lambda rate, _: f"{rate:.0e}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("learning rate")
    axes.legend(loc="best")
    return to_svg(figure, "Loss by learning rate")


@mpl.rc_context(STYLE)
def scores_over_trials(trials: Sequence[int], scores: Sequence[float]) -> Markup:
    """Scores of a sweep's trials in their order, and the best so far."""
    figure, axes = new_figure()
    best = np.maximum.accumulate(scores)
    axes.step(trials, best, where="post", color=SECOND, linewidth=1.8, label="best so far")
    axes.plot(trials, scores, "o", color=FIRST, markersize=5, label="trial")
    axes.set(xlabel="trial", ylabel="mean IoU")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)  # above, as points lie all over
    return to_svg(figure, "Mean IoU over trials")


@mpl.rc_context(STYLE)
def scores_by_number(
    name: str, values: Sequence[float], scores: Sequence[float], *, log: bool
) -> Markup:
    """Scores of a sweep's trials by a parameter that is a number."""
    figure, axes = new_figure()
    axes.plot(values, scores, "o", color=FIRST, markersize=5)
    if log:
        axes.set_xscale("log")
        # Within a decade or two, powers of ten alone would leave an axis without numbers.
        axes.xaxis.set_major_locator(_log_locator(min(values), max(values)))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.2g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
    elif all(isinstance(value, int) for value in values):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel=name, ylabel="mean IoU")
    return to_svg(figure, f"Mean IoU by {name}")


@mpl.rc_context(STYLE)
def scores_by_choice(
    name: str, choices: Sequence[str], values: Sequence[str], scores: Sequence[float]
) -> Markup:
    """Scores of a sweep's trials by a parameter that is one of some choices, with their means.

    Args:
        name: The parameter.
        choices: All its choices; each has a row, from the top.
        values: The choice of each trial.
        scores: Of each trial.
    """
    figure, axes = new_figure((SIZE[0], 1.0 + 0.35 * len(choices)))
    for row, choice in enumerate(choices):
        found = [score for value, score in zip(values, scores, strict=True) if value == choice]
        axes.plot(found, [row] * len(found), "o", color=FIRST, markersize=5)
        if found:
            axes.plot(np.mean(found), row, "|", color=INK, markersize=18, markeredgewidth=1.5)
    axes.set_yticks(range(len(choices)), choices)
    axes.set_ylim(len(choices) - 0.5, -0.5)
    axes.set_xlabel("mean IoU; a line marks the mean")
    return to_svg(figure, f"Mean IoU by {name}")


@mpl.rc_context(STYLE)
def intervals(
    title: str,
    names: Sequence[str],
    counted: Sequence[float],
    values: Sequence[float],
    low: Sequence[float],
    high: Sequence[float],
) -> Markup:
    """Shares and their intervals, a row each from the top; a mark shows what was counted.

    Args:
        title: The plot's accessible name.
        names: Of the rows.
        counted: As they were counted.
        values: What is shown of each.
        low: Lower ends of their intervals; NaN: none.
        high: Upper ends.
    """
    figure, axes = new_figure((SIZE[0], 1.0 + 0.3 * len(names)))
    rows = range(len(names))
    axes.hlines(rows, low, high, color=FIRST, linewidth=1.4)
    axes.plot([low, high], [rows, rows], "|", color=FIRST, markersize=8)
    axes.plot(values, rows, "o", color=FIRST, markersize=3.5, label="adjusted, 95 % interval")
    axes.plot(counted, [r - 0.3 for r in rows], "v", color=SECOND, markersize=5, label="as mapped")
    axes.set_yticks(rows, [n if len(n) <= 28 else f"{n[:27]}…" for n in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    top = np.nanmax([*counted, *values, *high])
    axes.set_xlim(-0.02 * top, 1.04 * top)
    axes.xaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
    axes.grid(axis="y", visible=False)
    figure.legend(loc="outside upper left", ncols=2)
    return to_svg(figure, title)


def _log_locator(low: float, high: float) -> Locator:
    if high < 4 * low:
        return MaxNLocator(nbins=4)
    return LogLocator(subs=(1,) if high > 1000 * low else (1, 2, 5))
