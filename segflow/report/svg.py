"""Figures as inline SVG that take their colours from the page, so they follow its scheme."""

import io
import re
from html import escape

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

SIZE = (4.8, 2.7)  # inches; at this width 10 pt text stays readable on a phone
SQUARE = (4.8, 4.2)
INK, MUTED, RULE, PAPER, FIRST, SECOND = (f"#00000{digit}" for digit in range(1, 7))
_THEME = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    RULE: "var(--rule)",
    PAPER: "var(--paper)",
    FIRST: "var(--first)",
    SECOND: "var(--second)",
}

STYLE = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.sans-serif": ["DejaVu Sans"],  # measures text; the page sets the font it is drawn in
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "grid.color": RULE,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.major.pad": 6,
    "ytick.major.pad": 6,
    "legend.frameon": False,
}


def new_figure(size: tuple[float, float] = SIZE) -> tuple[Figure, Axes]:
    """An empty figure of a size in inches, and its axes."""
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.add_subplot()


def to_svg(figure: Figure, title: str) -> Markup:
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
