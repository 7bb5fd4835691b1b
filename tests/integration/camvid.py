"""CamVid from the shared data, and how the tests read it: with NumPy and Pillow alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

CLASSES = 11
VOID = 11
SPLITS = {"train": 367, "val": 101}
SIZE = (360, 480)


def masks(root: Path, split: str) -> Iterator[tuple[str, NDArray[Any]]]:
    """Stem and raw ids of every annotation of a split."""
    for path in sorted((root / f"{split}annot").iterdir()):
        with Image.open(path) as image:
            yield path.stem, np.asarray(image)


def class_pixels(root: Path, split: str) -> tuple[dict[str, int], int]:
    """Pixels by class id, and of void, counted from the mask files."""
    counts = np.zeros(256, np.int64)
    for _, mask in masks(root, split):
        counts += np.bincount(mask.ravel(), minlength=256)
    assert not counts[CLASSES + 1 :].any()
    return {str(i): int(counts[i]) for i in range(CLASSES)}, int(counts[VOID])


def mean_iou(root: Path, split: str, predicted: dict[str, NDArray[Any]]) -> float:
    """Mean IoU over the classes in truth or prediction, void dropped: a plain computation."""
    hits = np.zeros(CLASSES, np.int64)
    union = np.zeros(CLASSES, np.int64)
    for stem, truth in masks(root, split):
        valid = truth != VOID
        for class_id in range(CLASSES):
            is_true = (truth == class_id) & valid
            is_predicted = (predicted[stem] == class_id) & valid
            hits[class_id] += np.count_nonzero(is_true & is_predicted)
            union[class_id] += np.count_nonzero(is_true | is_predicted)
    present = union > 0
    return float(np.mean(hits[present] / union[present]))
