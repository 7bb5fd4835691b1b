"""What the page of labels says of classes: how much there is of each, where, and what changed."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from segflow.label_map import LabelMap
from segflow.references.adjustment import adjusted_for_labels
from segflow.report import plots
from segflow.report.sections import Cell, Swatch, grid, swatches
from segflow.report.tables import Tables
from segflow.scores.areas import effective_number

_PLOTTED = 25  # classes in the chart: those with most pixels
_SPREAD = 40  # classes in the table of tenths, likewise
_CHANGED = 20  # classes whose shares changed most
_TENTHS = 10

_Run = Mapping[str, Any]


@dataclass(frozen=True)
class Adjusted:
    """Areas adjusted for the model's errors.

    Attributes:
        rows: Of each class, by id: `share`, `low`, `high` and `error`, in shares of all pixels,
            and `area`, `area_low` and `area_high`; each None where it is not known. None without
            a reference that fits.
        reason: Why there are no rows.
        reference: What the record says of it, if there is one.
        warnings: What speaks against relying on them.
        plot: The largest classes with their intervals; None without rows.
    """

    rows: Sequence[Mapping[str, Any]] | None
    reason: str | None
    reference: Mapping[str, Any] | None
    warnings: Sequence[str]
    plot: Markup | None


@dataclass(frozen=True)
class Tenths:
    """How much of an image a class takes: a row for each class, a cell for each tenth.

    A cell's share is that of the images that show the class; its pixels are the number of them.
    """

    swatches: Sequence[Swatch]
    rows: Sequence[Sequence[Cell]]
    omitted: int


@dataclass(frozen=True)
class Change:
    """Shares of the pixels in the newest run and the one before it, largest difference first.

    `rows` holds (class, share before, share after, share of all that holds now).
    """

    before: _Run
    after: _Run
    rows: Sequence[tuple[Swatch, float, float, float]]


def classes(opened: Tables, label_map: LabelMap) -> list[dict[str, Any]]:
    """A row per class, by id: `id`, `name`, `swatch`, `pixels`, `share`, `images`, `area` in m²."""
    found = opened.rows(
        "SELECT class_id, sum(pixels)::BIGINT AS pixels, count(*) AS images, "
        # As in a run's record: of all images or of none.
        "CASE WHEN (SELECT bool_and(area IS NOT NULL) FROM current_areas) THEN sum(area)::DOUBLE "
        "END AS area FROM current_areas GROUP BY class_id"
    )
    by_id = {row["class_id"]: row for row in found}
    total = sum(row["pixels"] for row in found) or 1
    rows = []
    for class_id, swatch in enumerate(swatches(label_map)):
        row = by_id.get(class_id, {"pixels": 0, "images": 0, "area": None})
        known = {"id": class_id, "name": swatch.name, "swatch": swatch}
        rows.append({**row, **known, "share": row["pixels"] / total})
    return rows


def effective_images(opened: Tables) -> dict[str, float | None]:
    """How many images of one size vary as much as those of now: by `pixels` and by `area`."""
    (found,) = opened.rows(
        "SELECT sum(pixels) AS pixels, sum(pixels ** 2) AS pixels_squared, sum(area) AS area, "
        "sum(area ** 2) AS area_squared FROM (SELECT sum(pixels)::DOUBLE AS pixels, "
        "sum(area)::DOUBLE AS area FROM current_areas GROUP BY image_uri)"
    )
    return {
        name: effective_number(found[name] or 0, found[f"{name}_squared"] or 0)
        for name in ("pixels", "area")
    }


def adjusted(
    runs: Sequence[_Run], rows: Sequence[Mapping[str, Any]], images: Mapping[str, float | None]
) -> Adjusted:
    """Adjusts the areas that hold now by what the newest model's bundle keeps by now.

    Args:
        runs: The records of the newest model's runs, newest first.
        rows: As `classes` gives them.
        images: As `effective_images` gives them.
    """
    model, config = runs[0]["model"], {"tta": "none", **runs[0]["config"]}  # older runs have none
    by_rows = sum(run.get("images_by_rows", 0) for run in runs)
    found = adjusted_for_labels(
        Path(model["path"]), model["fingerprint"], config, rows, images, by_rows
    )
    told = found["reason"], found["reference"], found["warnings"]
    if found["classes"] is None:
        return Adjusted(None, *told, None)
    total = sum(row["pixels"] for row in rows)
    shares = [_shares(entry, total) for entry in found["classes"]]
    return Adjusted(shares, *told, _chart(rows, shares))


def _shares(entry: Mapping[str, Any], total: int) -> dict[str, Any]:
    low, high = entry["pixels_interval"] or (None, None)
    area_low, area_high = entry["area_interval"] or (None, None)
    pixels = {
        "share": entry["adjusted_pixels"],
        "low": low,
        "high": high,
        "error": entry["pixels_standard_error"],
    }
    return {
        **{name: None if value is None else value / total for name, value in pixels.items()},
        "area": entry["adjusted_area"],
        "area_low": area_low,
        "area_high": area_high,
    }


def _chart(rows: Sequence[Mapping[str, Any]], shares: Sequence[Mapping[str, Any]]) -> Markup:
    order = sorted(range(len(rows)), key=lambda i: -rows[i]["pixels"])[:_PLOTTED]
    columns = {
        name: [np.nan if shares[i][name] is None else shares[i][name] for i in order]
        for name in ("share", "low", "high")
    }
    return plots.intervals(
        "Share of the pixels by class, adjusted for errors",
        [rows[i]["name"] for i in order],
        [rows[i]["share"] for i in order],
        columns["share"],
        columns["low"],
        columns["high"],
    )


def tenths(opened: Tables, rows: Sequence[Mapping[str, Any]]) -> Tenths | None:
    """How the classes with most pixels spread over the images; None without an image."""
    found = opened.rows(
        f"SELECT class_id, least(floor(fraction * {_TENTHS}), {_TENTHS - 1})::INT AS tenth, "
        "count(*) AS images FROM current_areas GROUP BY ALL"
    )
    if not found:
        return None
    counts = np.zeros((len(rows), _TENTHS), np.int64)
    for row in found:
        counts[row["class_id"], row["tenth"]] = row["images"]
    present = [row["id"] for row in rows if row["pixels"]]
    largest = sorted(present, key=lambda i: -rows[i]["pixels"])[:_SPREAD]
    return Tenths(
        [rows[i]["swatch"] for i in largest],
        grid(counts[largest], counts[largest].sum(1)),
        len(present) - len(largest),
    )


def change(runs: Sequence[_Run], rows: Sequence[Mapping[str, Any]]) -> Change | None:
    """What the newest run that labelled anything found more or less of than the one before it.

    Args:
        runs: The records of all runs, newest first.
        rows: As `classes` gives them.

    Returns:
        None if there is no such pair of the same classes.
    """
    told = [run for run in runs if run["classes"] and run.get("pixels")][:2]
    if len(told) < 2 or len({tuple(c["name"] for c in run["classes"]) for run in told}) > 1:
        return None
    after, before = told
    if [entry["name"] for entry in after["classes"]] != [row["name"] for row in rows]:
        return None
    shares = [
        (row["swatch"], one["fraction"], other["fraction"], row["share"])
        for row, one, other in zip(rows, before["classes"], after["classes"], strict=True)
    ]
    shares = [row for row in shares if any(row[1:])]
    return Change(before, after, sorted(shares, key=lambda r: -abs(r[2] - r[1]))[:_CHANGED])


def throughput(run: _Run) -> float | None:
    """Images a second from a run's start to its commit; None where it cannot be told.

    An interrupted run's pause counts, too.
    """
    if not (run.get("finished") and run.get("started")):
        return None
    started, finished = (datetime.datetime.fromisoformat(run[n]) for n in ("started", "finished"))
    seconds = (finished - started).total_seconds()
    images: int = run["inputs"]["accepted"]
    return images / seconds if seconds > 0 and images else None
