"""What a dataset's index says of its images: sizes, classes seen together, suspicious masks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segflow.data.leaks import one_each
from segflow.report.sections import Cell, grid
from segflow.report.tables import Tables

_SIZES = 8
_CLASSES = 40  # a larger table cannot be read; the classes in most images stay

_EMPTY = "list_sum(class_pixels) = 0"
_ONE_CLASS = "len(list_filter(class_pixels, lambda n: n > 0)) = 1"


@dataclass(frozen=True)
class Size:
    """Sources of one size (height, width) in pixels, and their share of all."""

    size: tuple[int, int]
    images: int
    share: float


@dataclass(frozen=True)
class Sizes:
    """The most frequent sizes of sources; `others` more are left out.

    `smallest` and `largest` are (height, width) by number of pixels.
    """

    frequent: Sequence[Size]
    others: int
    smallest: tuple[int, int]
    largest: tuple[int, int]


@dataclass(frozen=True)
class Together:
    """How often classes are seen together: rows and columns in `names`' order.

    A cell's share is that of the images with the row's class that show the column's, too; its
    pixels are the number of these images.
    """

    names: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    omitted: int


@dataclass(frozen=True)
class Odd:
    """Masks of a kind that is rarely meant: how many of `checked`, and where a few are stored."""

    what: str
    count: int
    checked: int
    rows: Sequence[Mapping[str, Any]]


def sizes(opened: Tables) -> Sizes | None:
    """The sizes of the source images, each image once; None if there is none."""
    rows = opened.rows(
        "SELECT source_height AS height, source_width AS width, count(*) AS images "
        f"FROM {one_each('index')} GROUP BY ALL ORDER BY images DESC, height, width"
    )
    if not rows:
        return None
    total = sum(row["images"] for row in rows)
    found = [
        Size((row["height"], row["width"]), row["images"], row["images"] / total) for row in rows
    ]
    by_pixels = sorted((size.size for size in found), key=lambda s: (s[0] * s[1], s))
    return Sizes(found[:_SIZES], len(found[_SIZES:]), by_pixels[0], by_pixels[-1])


def together(opened: Tables, names: Sequence[str]) -> Together:
    """Which classes the stored masks show together, augmented copies left out."""
    rows = opened.rows(
        "WITH shown AS (SELECT shard, position, generate_subscripts(class_pixels, 1) - 1 AS id, "
        "unnest(class_pixels) AS pixels FROM index WHERE variant = 0), "
        "present AS (SELECT shard, position, id FROM shown WHERE pixels > 0) "
        "SELECT a.id AS a, b.id AS b, count(*) AS images FROM present AS a JOIN present AS b "
        "USING (shard, position) GROUP BY ALL"
    )
    counts: NDArray[np.int64] = np.zeros((len(names), len(names)), np.int64)
    for row in rows:
        counts[row["a"], row["b"]] = row["images"]
    shown = np.diag(counts)
    kept = np.sort(np.argsort(-shown, kind="stable")[:_CLASSES])
    return Together(
        [names[i] for i in kept],
        grid(counts[np.ix_(kept, kept)], shown[kept]),
        len(names) - len(kept),
    )


def odd_masks(opened: Tables, seed: int, most: int) -> list[Odd]:
    """Stored masks without any valid pixel, and of a single class, with up to `most` of each."""
    return [
        _odd(opened, "No class at all", _EMPTY, seed, most),
        _odd(opened, "One class alone", _ONE_CLASS, seed, most),
    ]


def _odd(opened: Tables, what: str, condition: str, seed: int, most: int) -> Odd:
    (counts,) = opened.rows(
        f"SELECT count(*) AS checked, count(*) FILTER ({condition}) AS found FROM index "
        "WHERE variant = 0"
    )
    rows = opened.rows(
        f"SELECT key, split, shard, position FROM index WHERE variant = 0 AND {condition} "
        "ORDER BY md5($seed || key), key LIMIT $most",
        seed=str(seed),
        most=most,
    )
    return Odd(what, counts["found"], counts["checked"], rows)
