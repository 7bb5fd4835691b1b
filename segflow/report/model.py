"""The page of a model bundle: scores, learning curves, predictions, cost, training or members."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from markupsafe import Markup

from segflow import storage
from segflow.data import mask_formats
from segflow.label_map import LabelMap
from segflow.report import history, pictures, plots, scored, sections, shown, side_by_side
from segflow.report.pictures import Card
from segflow.report.render import render


def page(folder: Path) -> str:
    """The HTML report of a model bundle.

    Raises:
        UsageError: The label map in `bundle.json` is not sound.
    """
    bundle = storage.read_json(folder / "bundle.json")
    label_map = LabelMap.from_dict(bundle["label_map"], str(folder / "bundle.json"))
    rows, members = history.read(folder), side_by_side.members(folder, bundle)
    return render(
        "model.html",
        kind="model",
        name=folder.resolve().name,
        bundle=bundle,
        metrics=bundle["metrics"],
        curves=_curves(rows, bundle["training"]),
        members=members,
        member_classes=side_by_side.class_rows(members),
        interval=scored.interval,
        calibration=scored.of_bundle(bundle.get("calibration")),
        cost=_cost(bundle, rows),
        examples=_examples(folder, label_map),
        legend=sections.swatches(label_map),
        **_scores(bundle, label_map),
    )


def _scores(bundle: Mapping[str, Any], label_map: LabelMap) -> dict[str, Any]:
    """Tables of scores; none of an ensemble that was not scored."""
    if bundle["metrics"] is None:
        return {}
    return {
        "classes": scored.class_scores(bundle["metrics"]["per_class"], label_map),
        "words": scored.mix_ups(bundle["confusion_matrix"], label_map.names),
        "confusion": sections.confusion(bundle["confusion_matrix"], label_map.names),
    }


def _cost(bundle: Mapping[str, Any], rows: history.Rows) -> dict[str, str]:
    """What the model costs to keep, to run, and to train, as far as it is known."""
    architecture, seconds = bundle["architecture"], bundle["training"].get("seconds")
    speed = history.speed(rows)
    flops = architecture.get("flops")
    known = {
        "Weights": f"{architecture['weights']:,}" if "weights" in architecture else None,
        "Model file": f"{bundle['model']['bytes'] / 1e6:.1f} MB",
        "Floating-point operations an image": f"{flops / 1e9:.2f} billion" if flops else None,
        "Training": f"{speed:.1f} images a second, median epoch" if speed else None,
        "Time of training": f"{seconds / 60:.1f} minutes" if seconds else None,
    }
    return {name: value for name, value in known.items() if value}


def _curves(rows: history.Rows, training: Mapping[str, Any]) -> list[tuple[str, Markup]]:
    """(Title, plot) of loss and mean IoU over the epochs; none without a history."""
    if not rows:
        return []
    epochs, best = [int(row["epoch"]) for row in rows], training.get("best_epoch")
    pairs = (("Loss", "loss", None), ("Mean IoU", "mean_iou", (0.0, 1.0)))
    return [
        (
            title,
            plots.curves(
                f"{title} by epoch",
                epochs,
                [
                    plots.Curve("training", history.column(rows, column)),
                    plots.Curve("validation", history.column(rows, f"val_{column}")),
                ],
                best,
                limits,
            ),
        )
        for title, column, limits in pairs
    ]


def _examples(folder: Path, label_map: LabelMap) -> dict[str, list[Card]]:
    """The validation examples of each rank, in the order in which they were chosen."""
    path = folder / "examples.parquet"
    cards: dict[str, list[Card]] = {}
    if path.is_file():
        for row in pq.read_table(path).to_pylist():  # few rows
            source = pictures.decode_rgb(row["image"]), mask_formats.decode(row["truth"], "png")
            cards.setdefault(row["rank"], []).append(shown.card(row, source, label_map))
    return cards
