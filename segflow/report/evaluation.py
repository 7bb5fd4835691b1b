"""The page of an evaluation: scores, distribution over the images, best and worst images."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segflow import storage
from segflow.data import mask_formats
from segflow.data.config import DecodeLimits
from segflow.data.pair import read_pair
from segflow.errors import RejectError
from segflow.label_map import LabelMap
from segflow.report import pictures, sections, tables
from segflow.report.pictures import Card
from segflow.report.render import render, score
from segflow.report.stored import read_records
from segflow.report.tables import Tables

_SHOWN = 6  # of the best, and of the worst
_BINS = 40

_COLUMNS = {
    "images": "key VARCHAR, image_uri VARCHAR, mask_uri VARCHAR, annotation VARCHAR, "
    "shard VARCHAR, position INT, mean_iou DOUBLE, pixel_accuracy DOUBLE, prediction BLOB, "
    "image_part VARCHAR, mask_part VARCHAR",
    "rejects": sections.REJECTS_COLUMNS,
}

_Source = tuple[NDArray[np.uint8], NDArray[Any]]  # image [h, w, 3] and truth [h, w]


def page(folder: Path) -> str:
    """The HTML report of an evaluation.

    Raises:
        UsageError: The label map in `metrics.json` is not sound.
    """
    metrics = storage.read_json(folder / "metrics.json")
    label_map = LabelMap.from_dict(metrics["label_map"], str(folder / "metrics.json"))
    with tables.opened(folder, metrics["files"], _COLUMNS) as opened:
        return render(
            "evaluation.html",
            kind="evaluation",
            name=folder.resolve().name,
            metrics=metrics,
            classes=sections.class_scores(metrics["per_class"], label_map),
            confusion=sections.confusion(metrics["confusion_matrix"], label_map.names),
            distribution=sections.histogram(opened, "images", "mean_iou", _BINS, "mean IoU"),
            examples=_examples(opened, metrics, label_map),
            legend=sections.swatches(label_map),
            rejects=sections.rejects(opened, metrics["inputs"]["by_code"]),
        )


def _examples(
    opened: Tables, metrics: Mapping[str, Any], label_map: LabelMap
) -> list[tuple[str, list[Card]]]:
    """The worst images and, as far as they are others, the best."""
    worst = _extreme(opened, "ASC", [])
    best = _extreme(opened, "DESC", [row["key"] for row in worst])
    groups = (("worst", worst), ("best", best))
    return [(rank, _cards(rows, metrics["data"], label_map)) for rank, rows in groups if rows]


def _extreme(opened: Tables, order: str, without: Sequence[str]) -> list[dict[str, Any]]:
    return opened.rows(
        "SELECT key, image_uri, mask_uri, annotation, image_part, mask_part, shard, position, "
        "mean_iou, pixel_accuracy, prediction FROM images "
        "WHERE mean_iou IS NOT NULL AND NOT list_contains($without, key) "
        f"ORDER BY mean_iou {order}, key LIMIT $n",
        without=list(without),
        n=_SHOWN,
    )


def _cards(
    rows: Sequence[Mapping[str, Any]], data: Mapping[str, Any], label_map: LabelMap
) -> list[Card]:
    if data.get("dataset"):
        sources = _stored(rows, Path(data["dataset"]))
    else:
        sources = [_raw(row, label_map) for row in rows]
    return [_card(row, source, label_map) for row, source in zip(rows, sources, strict=True)]


def _stored(rows: Sequence[Mapping[str, Any]], dataset: Path) -> list[_Source | str]:
    return [
        (pictures.decode_rgb(record.image), mask_formats.decode(record.mask, "png"))
        if record
        else f"{dataset / row['shard']} is gone or damaged; the scores above still hold"
        for row, record in zip(rows, read_records(dataset, rows), strict=True)
    ]


def _raw(row: Mapping[str, Any], label_map: LabelMap) -> _Source | str:
    try:
        pair = read_pair(row, label_map, DecodeLimits())
    except RejectError as error:
        what, colon, why = str(error).partition(": ")  # read_pair says which file it means
        path = row["mask_uri"] if what == "mask" else row["image_uri"]
        why = why if what in ("image", "mask") else f"{what}{colon}{why}"
        return f"{path}: {why}; the scores above still hold"
    return pair.image, pair.mask


def _card(row: Mapping[str, Any], source: _Source | str, label_map: LabelMap) -> Card:
    notes = [f"mIoU {score(row['mean_iou'])}, pixel accuracy {score(row['pixel_accuracy'])}"]
    if isinstance(source, str):
        return Card(row["key"], notes, problem=source)
    rgb, truth = source
    prediction = mask_formats.decode(row["prediction"], "png")
    return pictures.comparison(row["key"], notes, rgb, truth, prediction, label_map)
