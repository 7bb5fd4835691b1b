"""Segmentation scores from a confusion matrix, exact in int64.

Conventions (as in mmsegmentation): ignored pixels are dropped; a prediction can only be a
class id; IoU = TP / (TP + FP + FN); a class absent from both truth and prediction has no
score and is left out of the mean.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def confusion_matrix(
    truth: NDArray[Any], prediction: NDArray[Any], num_classes: int, ignore_id: int
) -> NDArray[np.int64]:
    """Counts pixels by (true class, predicted class).

    Args:
        truth: Integer ids of any shape; pixels equal to `ignore_id` are dropped.
        prediction: Integer class ids of the same shape.
        num_classes: Number of classes n.
        ignore_id: The id that does not count.

    Returns:
        int64 [n, n]; rows are truth, columns prediction.

    Raises:
        ValueError: Shapes differ, or an id is neither a class nor, in `truth`, ignored.
    """
    if truth.shape != prediction.shape:
        raise ValueError(f"truth {truth.shape} and prediction {prediction.shape} differ in shape")
    kept = truth != ignore_id
    rows, columns = truth[kept].astype(np.int64), prediction[kept].astype(np.int64)
    for name, ids in (("truth", rows), ("prediction", columns)):
        if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) < num_classes:
            raise ValueError(
                f"{name} holds ids {int(ids.min())} to {int(ids.max())}; "
                f"expected 0 to {num_classes - 1}"
            )
    flat = np.bincount(rows * num_classes + columns, minlength=num_classes**2)
    return flat.astype(np.int64).reshape(num_classes, num_classes)


def iou_per_class(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """IoU of each class, float64 [n]; NaN for a class absent from truth and prediction."""
    hits = np.diag(confusion)
    return ratio(hits, confusion.sum(0) + confusion.sum(1) - hits)


def mean_iou(confusion: NDArray[np.int64]) -> float:
    """Mean IoU over the classes present in truth or prediction; NaN if there are none."""
    return mean_of_defined(iou_per_class(confusion))


def frequency_weighted_iou(confusion: NDArray[np.int64]) -> float:
    """IoU of each class weighted by its share of the true pixels; NaN without a pixel.

    As in Long et al. 2015 (https://arxiv.org/abs/1411.4038), section 5.
    """
    truth = confusion.sum(1)
    present = truth > 0
    weighted = truth[present] * iou_per_class(confusion)[present]
    return float(ratio(weighted.sum(), truth.sum()))


def summarize(confusion: NDArray[np.int64], names: Sequence[str]) -> dict[str, Any]:
    """The scores of `metrics.json` and `bundle.json`; an undefined score is None.

    Returns:
        `mean_iou`, `frequency_weighted_iou`, `pixel_accuracy`, `per_class.<name>` {`iou`,
        `dice`, `precision`, `recall`, `pixels`} and `confusion_matrix` as nested lists of int.

    Raises:
        ValueError: There is not one name for each class.
    """
    if len(names) != len(confusion):
        raise ValueError(f"{len(names)} names for a {len(confusion)} x {len(confusion)} matrix")
    hits, truth, predicted = np.diag(confusion), confusion.sum(1), confusion.sum(0)
    columns = {
        "iou": iou_per_class(confusion),
        "dice": ratio(2 * hits, truth + predicted),
        "precision": ratio(hits, predicted),
        "recall": ratio(hits, truth),
    }
    per_class = {
        name: {k: number(v[i]) for k, v in columns.items()} | {"pixels": int(truth[i])}
        for i, name in enumerate(names)
    }
    return {
        "mean_iou": number(mean_iou(confusion)),
        "frequency_weighted_iou": number(frequency_weighted_iou(confusion)),
        "pixel_accuracy": number(ratio(hits.sum(), confusion.sum())),
        "per_class": per_class,
        "confusion_matrix": confusion.tolist(),
    }


def always_commonest(pixels: Sequence[int]) -> tuple[int, float, float]:
    """What a model scores that answers the commonest class everywhere: the least to beat.

    That class's IoU is its share of the pixels; every other class that there is has 0.

    Args:
        pixels: True pixels by class id; at least one is above 0.

    Returns:
        The class id, the mean IoU, and the pixel accuracy.
    """
    commonest = max(range(len(pixels)), key=pixels.__getitem__)
    share = pixels[commonest] / sum(pixels)
    return commonest, share / sum(count > 0 for count in pixels), share


def mean_of_defined(values: NDArray[np.float64]) -> float:
    """The mean of what is not NaN; NaN if all are."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")


def ratio(part: Any, whole: Any) -> NDArray[np.float64]:
    """`part` / `whole`, elementwise, in float64; NaN for 0 / 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(part, np.float64) / np.asarray(whole, np.float64)


def number(value: Any) -> float | None:
    """A score as JSON has it: None where it is undefined."""
    return None if np.isnan(value) else float(value)
