"""Sections that more than one kind of page has: classes, confusion, rejects, histograms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from segflow.label_map import LabelMap
from segflow.report import plots
from segflow.report.tables import Tables

REJECTS_COLUMNS = "key VARCHAR, image_uri VARCHAR, mask_uri VARCHAR, code VARCHAR, message VARCHAR"

_MATRIX_CLASSES = 40  # a larger heat map cannot be read; the classes with most pixels stay
_CONFUSIONS = 10
_MESSAGES = 5
_HOT = 0.775  # share from which white on blue (dark scheme: black on pale blue) reads better


@dataclass(frozen=True)
class Swatch:
    """A class as legends and tables show it; `color` is a CSS colour."""

    name: str
    color: str


@dataclass(frozen=True)
class Cell:
    """One cell of a row-normalised confusion matrix; `share` is None in an empty row."""

    share: float | None
    pixels: int
    hot: bool


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix to show: rows are truth, columns prediction, both in `names`' order.

    `largest` lists (truth, prediction, pixels, share of the truth) of the worst mix-ups.
    """

    names: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    omitted: int
    largest: Sequence[tuple[str, str, int, float]]


@dataclass(frozen=True)
class Reject:
    """All rejects under one code, and a few of them (`uri`, `message`)."""

    code: str
    count: int
    examples: Sequence[Mapping[str, str]]


def swatches(label_map: LabelMap) -> list[Swatch]:
    """The classes in order of id, each with the colour it is drawn in."""
    colors = ("#{:02x}{:02x}{:02x}".format(*color) for color in label_map.palette().tolist())
    return [Swatch(name, color) for name, color in zip(label_map.names, colors, strict=True)]


def confusion(matrix: Sequence[Sequence[int]], names: Sequence[str]) -> Confusion:
    """Prepares a confusion matrix [n][n] of pixels (rows: truth) for the page."""
    pixels = np.asarray(matrix, np.int64)
    totals = pixels.sum(1)
    kept = np.sort(np.argsort(-totals, kind="stable")[:_MATRIX_CLASSES])
    return Confusion(
        names=[names[i] for i in kept],
        rows=grid(pixels[np.ix_(kept, kept)], totals[kept]),
        omitted=len(names) - len(kept),
        largest=_largest(pixels, totals, names),
    )


def grid(pixels: NDArray[np.int64], totals: NDArray[np.int64]) -> list[list[Cell]]:
    """The cells of a table [n][n] whose rows are shown as shares of `totals` [n]."""
    return [
        [_cell(n, total) for n in row]
        for row, total in zip(pixels.tolist(), totals.tolist(), strict=True)
    ]


def rejects(opened: Tables, counts: Mapping[str, int]) -> list[Reject]:
    """Rejects by code, most frequent first.

    Args:
        opened: The folder's tables, `rejects` among them.
        counts: Rejects by code, from the commit record.
    """
    # min_by keeps n rows a code, however many were rejected; md5 makes the choice a stable one.
    found = opened.rows(
        "SELECT code, min_by({'uri': uri, 'message': message}, md5(uri), $n) AS examples "
        "FROM (SELECT *, coalesce(image_uri, mask_uri, key) AS uri FROM rejects) GROUP BY code",
        n=_MESSAGES,
    )
    examples = {row["code"]: row["examples"] for row in found}
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [Reject(code, n, examples.get(code, [])) for code, n in ordered if n]


def histogram(opened: Tables, view: str, column: str, bins: int, label: str) -> Markup | None:
    """The distribution over the images of a column with values in [0, 1].

    Empty tenths at the low end are cut off. None if the column has no value.
    """
    rows = opened.rows(
        f"SELECT least(floor({column} * $bins), $bins - 1)::INT AS bin, count(*) AS n "
        f"FROM {view} WHERE {column} IS NOT NULL GROUP BY bin",
        bins=bins,
    )
    if not rows:
        return None
    counts = np.zeros(bins, int)
    counts[[row["bin"] for row in rows]] = [row["n"] for row in rows]
    tenth = bins // 10
    first = int(np.flatnonzero(counts)[0]) // tenth * tenth
    return plots.histogram(label, counts[first:].tolist(), first / bins, 1.0)


def _cell(pixels: int, total: int) -> Cell:
    share = pixels / total if total else None
    return Cell(share, pixels, share is not None and share >= _HOT)


def _largest(
    pixels: NDArray[np.int64], totals: NDArray[np.int64], names: Sequence[str]
) -> list[tuple[str, str, int, float]]:
    wrong = pixels - np.diag(np.diag(pixels))
    order = np.argsort(-wrong, axis=None, kind="stable")[:_CONFUSIONS]
    pairs = [divmod(int(k), len(names)) for k in order]
    return [
        (names[i], names[j], int(wrong[i, j]), float(wrong[i, j] / totals[i]))
        for i, j in pairs
        if wrong[i, j]
    ]
