"""The page of an evaluation: scores, by group and over the images, and images to look at."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segflow import storage
from segflow.data import mask_formats
from segflow.data.config import DecodeLimits
from segflow.data.pair import read_pair
from segflow.data.reading import ReadingConfig
from segflow.errors import RejectError, UsageError
from segflow.label_map import LabelMap
from segflow.report import pictures, scored, sections, shown, tables
from segflow.report.pictures import Card
from segflow.report.render import render
from segflow.report.stored import read_records
from segflow.report.tables import Tables
from segflow.scores.disagreement import NOTEWORTHY

_SHOWN = {"worst": 6, "median": 3, "best": 3, "doubtful": 6}
_GROUPS = 40  # in the table: the worst
_BINS = 40

_COLUMNS = {
    "images": "key VARCHAR, image_uri VARCHAR, mask_uri VARCHAR, annotation VARCHAR, "
    "shard VARCHAR, position INT, mean_iou DOUBLE, confident_disagreement DOUBLE, "
    "doubtful BLOB, prediction BLOB, image_part VARCHAR, mask_part VARCHAR, "
    "mask_uris VARCHAR[]",
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
            classes=scored.class_scores(metrics["per_class"], label_map),
            interval=scored.interval,
            calibration=scored.of_evaluation(metrics["calibration"]),
            groups=_groups(metrics["by_group"]),
            words=scored.mix_ups(metrics["confusion_matrix"], label_map.names),
            confusion=sections.confusion(metrics["confusion_matrix"], label_map.names),
            distribution=sections.histogram(opened, "images", "mean_iou", _BINS, "mean IoU"),
            examples=_examples(opened, metrics, label_map),
            legend=sections.swatches(label_map),
            rejects=sections.rejects(opened, metrics["inputs"]["by_code"]),
        )


def _groups(by_group: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the table of groups, the worst first."""
    rows = [{"name": name, **values} for name, values in by_group.items()]
    rows.sort(key=lambda row: (row["mean_iou"] is None, row["mean_iou"], row["name"]))
    return rows[:_GROUPS]


def _examples(
    opened: Tables, metrics: Mapping[str, Any], label_map: LabelMap
) -> dict[str, list[Card]]:
    """The images of each rank that has any; none is of two ranks by score."""
    rows = _ranked(opened)
    data = metrics["data"]
    if data.get("dataset"):
        sources = _stored(rows, Path(data["dataset"]))
    else:
        sources = [_raw(row, label_map, metrics["config"]) for row in rows]
    cards: dict[str, list[Card]] = {}
    for row, source in zip(rows, sources, strict=True):
        cards.setdefault(row["rank"], []).append(shown.card(row, source, label_map))
    return cards


_ORDERS = {
    "worst": "mean_iou, key",
    "best": "mean_iou DESC, key",
    "median": "abs(mean_iou - (SELECT median(mean_iou) FROM images)), key",
}


def _ranked(opened: Tables) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for rank, order in _ORDERS.items():
        there = [row["key"] for row in found]
        found += _rows(opened, rank, "NOT list_contains($there, key)", order, there=there)
    doubtful = "confident_disagreement DESC, key"
    noteworthy = f"confident_disagreement >= {NOTEWORTHY}"
    return found + _rows(opened, "doubtful", noteworthy, doubtful)


def _rows(
    opened: Tables, rank: str, where: str, order: str, **parameters: Any
) -> list[dict[str, Any]]:
    return opened.rows(
        "SELECT $rank AS rank, key, image_uri, mask_uri, mask_uris, annotation, image_part, "
        "mask_part, shard, position, mean_iou, confident_disagreement, doubtful, prediction "
        f"FROM images WHERE mean_iou IS NOT NULL AND {where} ORDER BY {order} LIMIT $n",
        rank=rank,
        n=_SHOWN[rank],
        **parameters,
    )


def _stored(rows: Sequence[Mapping[str, Any]], dataset: Path) -> list[_Source | str]:
    return [
        (pictures.decode_rgb(record.image), mask_formats.decode(record.mask, "png"))
        if record
        else f"{dataset / row['shard']} is gone or damaged; the scores above still hold"
        for row, record in zip(rows, read_records(dataset, rows), strict=True)
    ]


def _raw(row: Mapping[str, Any], label_map: LabelMap, config: Mapping[str, Any]) -> _Source | str:
    """The pair as the run read it, or why it cannot be read again."""
    try:
        limits = DecodeLimits.recorded(config)
        pair = read_pair(row, label_map, limits, ReadingConfig(**config.get("reading", {})))
    except RejectError as error:
        what, colon, why = str(error).partition(": ")  # read_pair says which file it means
        path = row["mask_uri"] if what == "mask" else row["image_uri"]
        why = why if what in ("image", "mask") else f"{what}{colon}{why}"
        return f"{path}: {why}; the scores above still hold"
    except UsageError as error:  # bands, and nothing here that reads them
        return f"{row['image_uri']}: {error}; the scores above still hold"
    return pair.image, pair.mask
