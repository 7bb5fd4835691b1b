"""The page of a model bundle: scores, learning curves, best and worst predictions, training."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from markupsafe import Markup

from segflow import storage
from segflow.data import mask_formats
from segflow.label_map import LabelMap
from segflow.report import pictures, plots, sections
from segflow.report.pictures import Card
from segflow.report.render import render, score


def page(folder: Path) -> str:
    """The HTML report of a model bundle.

    Raises:
        UsageError: The label map in `bundle.json` is not sound.
    """
    bundle = storage.read_json(folder / "bundle.json")
    label_map = LabelMap.from_dict(bundle["label_map"], str(folder / "bundle.json"))
    examples = _examples(folder, label_map)
    return render(
        "model.html",
        kind="model",
        name=folder.resolve().name,
        bundle=bundle,
        metrics=bundle["metrics"],
        curves=_curves(folder / "history.csv", bundle["training"]),
        classes=sections.class_scores(bundle["metrics"]["per_class"], label_map),
        confusion=sections.confusion(bundle["confusion_matrix"], label_map.names),
        examples=examples,
        legend=sections.swatches(label_map),
    )


def _curves(path: Path, training: Mapping[str, Any]) -> list[tuple[str, Markup]]:
    """(Title, plot) of loss and mean IoU over the epochs; none without a history."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    epochs, best = [int(row["epoch"]) for row in rows], training.get("best_epoch")
    pairs = (("Loss", "loss", None), ("Mean IoU", "mean_iou", (0.0, 1.0)))
    return [
        (
            title,
            plots.curves(
                f"{title} by epoch",
                epochs,
                [
                    plots.Curve("training", _column(rows, column)),
                    plots.Curve("validation", _column(rows, f"val_{column}")),
                ],
                best,
                limits,
            ),
        )
        for title, column, limits in pairs
    ]


def _column(rows: Sequence[Mapping[str, str]], name: str) -> list[float | None]:
    return [float(row[name]) if row.get(name) else None for row in rows]


def _examples(folder: Path, label_map: LabelMap) -> list[tuple[str, list[Card]]]:
    """Best and worst validation examples, the best first in its group and so the worst."""
    path = folder / "examples.parquet"
    if not path.is_file():
        return []
    # Few rows, chosen when the model was scored.
    rows = sorted(pq.read_table(path).to_pylist(), key=lambda row: (row["mean_iou"], row["key"]))
    groups = (("worst", rows), ("best", rows[::-1]))
    return [
        (rank, [_card(row, label_map) for row in ordered if row["rank"] == rank])
        for rank, ordered in groups
    ]


def _card(row: Mapping[str, Any], label_map: LabelMap) -> Card:
    return pictures.comparison(
        row["key"],
        [f"mIoU {score(row['mean_iou'])}"],
        pictures.decode_rgb(row["image"]),
        mask_formats.decode(row["truth"], "png"),
        mask_formats.decode(row["prediction"], "png"),
        label_map,
    )
