"""Examples with a model's predictions, for galleries of the worst, median, best and doubtful."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segflow.data import mask_formats
from segflow.label_map import LabelMap
from segflow.report import pictures
from segflow.report.pictures import Card
from segflow.report.render import percent, score


def card(
    row: Mapping[str, Any],
    source: tuple[NDArray[np.uint8], NDArray[Any]] | str,
    label_map: LabelMap,
) -> Card:
    """The card of a row.

    Args:
        row: `rank`, `key`, `mean_iou`, `confident_disagreement`, and as PNG `prediction` and
            `doubtful`.
        source: Image, uint8 [h, w, 3], and truth [h, w]; or why they are missing.
        label_map: Names and colours.
    """
    is_doubtful = row["rank"] == "doubtful"
    note = f"mIoU {score(row['mean_iou'])}"
    if is_doubtful:
        note = f"{percent(row['confident_disagreement'])} of its pixels, {note}"
    if isinstance(source, str):
        return Card(row["key"], [note], problem=source)
    image, truth = source
    prediction = mask_formats.decode(row["prediction"], "png")
    doubtful = mask_formats.decode(row["doubtful"], "png") > 0 if is_doubtful else None
    notes = [note]
    if doubtful is not None:
        notes.append(_mostly(truth, prediction, doubtful, label_map))
    return pictures.comparison(row["key"], notes, image, truth, prediction, label_map, doubtful)


def _mostly(
    truth: NDArray[Any],
    prediction: NDArray[Any],
    doubtful: NDArray[np.bool_],
    label_map: LabelMap,
) -> str:
    """The commonest pair of classes where the masks look wrong; empty if sizes hide them all."""
    rows, columns = (
        (2 * np.arange(side) + 1) * small // (2 * side)
        for side, small in zip(truth.shape, doubtful.shape, strict=True)
    )
    where = doubtful[np.ix_(rows, columns)] & (truth != prediction)
    where &= truth != label_map.ignore_id
    if not where.any():
        return ""
    classes = label_map.num_classes
    pairs = truth[where].astype(np.int64) * classes + prediction[where]
    of_truth, of_model = divmod(int(np.bincount(pairs).argmax()), classes)
    names = label_map.names
    return f"mostly {names[of_truth]} in the mask, {names[of_model]} to the model"
