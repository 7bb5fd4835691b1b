"""Plots as inline SVG that take their colours from the page, so they follow its scheme."""

import io
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import Locator, LogLocator, MaxNLocator, NullFormatter

from segflow.scores.calibration import Reliability

_SIZE = (4.8, 2.7)  # inches; at this width 10 pt text stays readable on a phone
_SQUARE = (4.8, 4.2)
_INK, _MUTED, _RULE, _PAPER, _FIRST, _SECOND = (f"#00000{digit}" for digit in range(1, 7))
_THEME = {
    _INK: "var(--ink)",
    _MUTED: "var(--muted)",
    _RULE: "var(--rule)",
    _PAPER: "var(--paper)",
    _FIRST: "var(--first)",
    _SECOND: "var(--second)",
}
_DASHES = ("-", (0, (4, 2)), (0, (1, 1.5)))
_LINES = list(itertools.product(_DASHES, (_FIRST, _SECOND)))
MOST_LINES = len(_LINES)
"""Lines of one plot that can be told apart."""

_STYLE = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.sans-serif": ["DejaVu Sans"],  # measures text; the page sets the font it is drawn in
    "font.size": 10,
    "text.color": _INK,
    "axes.edgecolor": _RULE,
    "axes.labelcolor": _MUTED,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "grid.color": _RULE,
    "grid.linewidth": 0.8,
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.major.pad": 6,
    "ytick.major.pad": 6,
    "legend.frameon": False,
}


@dataclass(frozen=True)
class Curve:
    """One line of a plot: its name and a value per epoch, None where there is none."""

    name: str
    values: Sequence[float | None]


@mpl.rc_context(_STYLE)
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
    figure, axes = _figure()
    drawn = []
    for curve, (dashes, color) in zip(lines, _LINES, strict=False):
        values = [np.nan if v is None else v for v in curve.values]
        drawn += axes.plot(epochs, values, color=color, linewidth=1.8, linestyle=dashes)
        if len(epochs) < 3:
            axes.plot(epochs, values, "o", color=color)
    if best_epoch is not None:
        axes.axvline(best_epoch, color=_INK, linewidth=1, linestyle=(0, (3, 3)))
        axes.annotate(
            f"best: {best_epoch}",
            (best_epoch, 1),
            (0, 3),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="center",
            color=_INK,
        )
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if limits:
        axes.set_ylim(*limits)
    # Named here: the label of a line is left out if it begins with an underscore.
    axes.legend(drawn, [curve.name for curve in lines[: len(drawn)]], loc="best")
    return _svg(figure, title)


@mpl.rc_context(_STYLE)
def histogram(label: str, counts: Sequence[int], low: float, high: float) -> Markup:
    """Images by a value: bars of equal width from `low` to `high`, one per count."""
    figure, axes = _figure()
    edges = np.linspace(low, high, len(counts) + 1)
    axes.bar(edges[:-1], counts, np.diff(edges), align="edge", color=_FIRST, edgecolor=_PAPER)
    axes.set_xlim(low, high)
    axes.set_xlabel(label)
    axes.set_ylabel("images")
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.grid(axis="x", visible=False)
    return _svg(figure, f"Number of images by {label}")


@mpl.rc_context(_STYLE)
def reliability(title: str, lines: Sequence[tuple[str, Reliability]]) -> Markup:
    """Reliability diagram (Guo et al. 2017): share of hits by confidence, a point for each bin.

    A point is the larger the more pixels its bin has; on the diagonal confidence is right.

    Args:
        title: The plot's accessible name.
        lines: At most two, with their names.
    """
    figure, axes = _figure(_SQUARE)
    axes.plot([0, 1], [0, 1], color=_MUTED, linewidth=1, linestyle=(0, (3, 3)))
    drawn = []
    for (_, bins), color in zip(lines, (_FIRST, _SECOND), strict=False):
        used = bins.pixels > 0
        pixels = bins.pixels[used]
        confidence, accuracy = bins.confidence[used] / pixels, bins.hits[used] / pixels
        drawn += axes.plot(confidence, accuracy, color=color, linewidth=1.8)
        axes.scatter(confidence, accuracy, 12 + 120 * pixels / pixels.sum(), color)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="share of hits")
    axes.legend(drawn, [name for name, _ in lines[: len(drawn)]], loc="upper left")
    return _svg(figure, title)


@mpl.rc_context(_STYLE)
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
    figure, axes = _figure()
    axes.semilogx(rates, losses, ".", color=_SECOND, markersize=4, label="batch")
    axes.semilogx(rates, smoothed, color=_FIRST, linewidth=1.8, label="smoothed")
    if suggested is not None:
        axes.axvline(suggested, color=_INK, linewidth=1, linestyle=(0, (3, 3)))
        axes.annotate(
            f"suggested: {suggested:.2g}",
            (suggested, 1),
            (0, 3),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="center",
            color=_INK,
        )
    axes.xaxis.set_major_formatter(lambda rate, _: f"{rate:.0e}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("learning rate")
    axes.legend(loc="best")
    return _svg(figure, "Loss by learning rate")


@mpl.rc_context(_STYLE)
def scores_over_trials(trials: Sequence[int], scores: Sequence[float]) -> Markup:
    """Scores of a sweep's trials in their order, and the best so far."""
    figure, axes = _figure()
    best = np.maximum.accumulate(scores)
    axes.step(trials, best, where="post", color=_SECOND, linewidth=1.8, label="best so far")
    axes.plot(trials, scores, "o", color=_FIRST, markersize=5, label="trial")
    axes.set(xlabel="trial", ylabel="mean IoU")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)  # above, as points lie all over
    return _svg(figure, "Mean IoU over trials")


@mpl.rc_context(_STYLE)
def scores_by_number(
    name: str, values: Sequence[float], scores: Sequence[float], *, log: bool
) -> Markup:
    """Scores of a sweep's trials by a parameter that is a number."""
    figure, axes = _figure()
    axes.plot(values, scores, "o", color=_FIRST, markersize=5)
    if log:
        axes.set_xscale("log")
        # Within a decade or two, powers of ten alone would leave an axis without numbers.
        axes.xaxis.set_major_locator(_log_locator(min(values), max(values)))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.2g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
    elif all(isinstance(value, int) for value in values):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel=name, ylabel="mean IoU")
    return _svg(figure, f"Mean IoU by {name}")


@mpl.rc_context(_STYLE)
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
    figure, axes = _figure((_SIZE[0], 1.0 + 0.35 * len(choices)))
    for row, choice in enumerate(choices):
        found = [score for value, score in zip(values, scores, strict=True) if value == choice]
        axes.plot(found, [row] * len(found), "o", color=_FIRST, markersize=5)
        if found:
            axes.plot(np.mean(found), row, "|", color=_INK, markersize=18, markeredgewidth=1.5)
    axes.set_yticks(range(len(choices)), choices)
    axes.set_ylim(len(choices) - 0.5, -0.5)
    axes.set_xlabel("mean IoU; a line marks the mean")
    return _svg(figure, f"Mean IoU by {name}")


def _log_locator(low: float, high: float) -> Locator:
    if high < 4 * low:
        return MaxNLocator(nbins=4)
    return LogLocator(subs=(1,) if high > 1000 * low else (1, 2, 5))


def _figure(size: tuple[float, float] = _SIZE) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.add_subplot()


def _svg(figure: Figure, title: str) -> Markup:
    """The figure as an SVG element that scales with its container and names itself.

    matplotlib's ids repeat from plot to plot, which a page must not; only those that clip
    paths and markers are referred to by are kept, salted with the title.
    """
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": title}):
        figure.savefig(buffer, format="svg", transparent=True)
    text = buffer.getvalue()
    body = text[text.index("<svg") : text.rindex("</svg>")]
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r' id="[\w.]+_\d+"', "", body)
    for color, variable in _THEME.items():
        body = body.replace(color, variable)
    view = re.search(r'viewBox="[^"]+"', body)
    assert view is not None, "matplotlib gives every SVG a view box"
    inside = body[body.index(">") + 1 :]
    head = f'<svg class="plot" role="img" aria-label="{escape(title)}" {view.group()}>'
    return Markup(f"{head}{inside}</svg>")
