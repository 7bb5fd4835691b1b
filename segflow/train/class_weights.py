"""How much each class counts in the loss."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import yaml
from numpy.typing import NDArray

from segflow.dataset import Dataset
from segflow.errors import UsageError


def class_weights(rule: str, dataset: Dataset) -> NDArray[np.float32] | None:
    """The weight of each class in the loss, from the pixels of the training split.

    `inverse_frequency`: all valid pixels / (number of classes * pixels of the class), so that the
    mean weight of a pixel is 1. `median_frequency` (Eigen and Fergus 2015,
    https://arxiv.org/abs/1411.4734): median(f) / f, f being the pixels of the class over all valid
    pixels of those images in which it occurs, so that a class is not punished for being in few
    images.

    Args:
        rule: `none`, `inverse_frequency`, `median_frequency`, or the path of a JSON or YAML file
            {class name: weight}, taken as it is.
        dataset: Where the pixels are counted.

    Returns:
        float32 [num_classes], 0 for a class without pixels; None for `none`.

    Raises:
        UsageError: The file is missing or is no table of all classes.
    """
    if rule == "none":
        return None
    if rule not in ("inverse_frequency", "median_frequency"):
        return _read_weights(Path(rule), dataset.label_map.names)
    counts = _pixels_per_example(dataset)
    pixels = counts.sum(0)
    if rule == "inverse_frequency":
        present = np.count_nonzero(pixels)
        return _divide(np.full(len(pixels), pixels.sum() / present), pixels)
    around = ((counts > 0) * counts.sum(1, keepdims=True)).sum(0)
    frequency = pixels[pixels > 0] / around[pixels > 0]
    return _divide(np.median(frequency) * around, pixels)


def _pixels_per_example(dataset: Dataset) -> NDArray[np.int64]:
    """Valid pixels of the stored training masks, int64 [examples, num_classes]."""
    parts = [f["path"] for f in dataset.record["files"] if f["path"].startswith("index/")]
    rows: list[list[int]] = []
    for part in parts:
        table = pq.read_table(
            dataset.folder / part, columns=["class_pixels"], filters=[("split", "=", "train")]
        )
        rows += table["class_pixels"].to_pylist()
    counts = np.array(rows, np.int64).reshape(len(rows), dataset.label_map.num_classes)
    if not counts.any():
        raise UsageError(f"dataset {dataset.folder}: the split 'train' has only ignored pixels")
    return counts


def _divide(whole: NDArray[Any], part: NDArray[Any]) -> NDArray[np.float32]:
    return np.divide(whole, part, out=np.zeros(len(part)), where=part > 0).astype(np.float32)


def _read_weights(path: Path, names: tuple[str, ...]) -> NDArray[np.float32]:
    try:
        text = path.read_text(encoding="utf-8")
        table = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UsageError(
            f"class weights {str(path)!r}: neither a known rule (none, inverse_frequency, "
            f"median_frequency) nor a file that can be read: {error}"
        ) from error
    if not isinstance(table, dict) or set(table) != set(names):
        raise UsageError(
            f"class weights {path}: expected a weight for each of {', '.join(names)}, "
            f"found {str(table)[:80]}"
        )
    weights = [table[name] for name in names]
    if not all(isinstance(w, int | float) and 0 <= w < float("inf") for w in weights):
        raise UsageError(f"class weights {path}: weights must be numbers from 0, found {weights}")
    if not any(weights):
        raise UsageError(f"class weights {path}: at least one weight must be above 0")
    return np.array(weights, np.float32)
