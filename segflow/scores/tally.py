"""All scores of a set of images, whose counts are added batch by batch."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segflow.scores.bootstrap import LEVEL, RESAMPLES, Bootstrap
from segflow.scores.boundary import boundary_iou
from segflow.scores.confusion import mean_of_defined, number, ratio, summarize


class Tally:
    """Adds up exact counts; what it keeps does not grow with the images.

    Args:
        classes: Number of classes n.
        groups: Those to be scored by themselves.
    """

    def __init__(self, classes: int, groups: Iterable[str] = ()) -> None:
        self.confusion = np.zeros((classes, classes), np.int64)
        self._boundary = np.zeros((2, classes), np.int64)
        self._bootstrap = Bootstrap(classes)
        self._groups = {group: _Group(classes) for group in groups}

    def add(
        self,
        keys: Sequence[str],
        confusion: NDArray[np.int64],
        boundary: NDArray[np.int64],
        groups: Sequence[str | None] = (),
    ) -> None:
        """Adds k images.

        Args:
            keys: Of the images; they decide how often a resample draws each.
            confusion: int64 [k, n, n]; rows are truth.
            boundary: int64 [k, 2, n], as `boundary_counts` gives them.
            groups: The group of each image, if any.
        """
        self.confusion += confusion.sum(0)
        self._boundary += boundary.sum(0)
        self._bootstrap.add(keys, confusion)
        for group, one in zip(groups, confusion, strict=False):
            if group in self._groups:
                self._groups[group].add(one)

    def summary(self, names: Sequence[str]) -> dict[str, Any]:
        """What `scores.summarize` gives, boundary IoU, intervals, and `by_group`.

        Args:
            names: Of the classes.

        Raises:
            ValueError: There is not one name for each class.
        """
        summary = summarize(self.confusion, names)
        intervals = self._bootstrap.intervals()
        boundary = boundary_iou(self._boundary)
        for i, name in enumerate(names):
            summary["per_class"][name] |= {
                "boundary_iou": number(boundary[i]),
                "iou_interval": intervals["iou"][i],
            }
        return {
            **summary,
            "mean_boundary_iou": number(mean_of_defined(boundary)),
            "intervals": {
                "level": LEVEL,
                "resamples": RESAMPLES,
                "mean_iou": intervals["mean_iou"],
                "pixel_accuracy": intervals["pixel_accuracy"],
            },
            "by_group": {
                name: group.summary(names) for name, group in sorted(self._groups.items())
            },
        }


class _Group:
    """Hits, true and predicted pixels by class; a whole matrix a group would be too much."""

    def __init__(self, classes: int) -> None:
        self._images = 0
        self._sums = np.zeros((3, classes), np.int64)

    def add(self, confusion: NDArray[np.int64]) -> None:
        self._images += 1
        self._sums += np.stack([np.diag(confusion), confusion.sum(1), confusion.sum(0)])

    def summary(self, names: Sequence[str]) -> dict[str, Any]:
        hits, truth, predicted = self._sums
        iou = ratio(hits, truth + predicted - hits)
        return {
            "examples": self._images,
            "mean_iou": number(mean_of_defined(iou)),
            "pixel_accuracy": number(ratio(hits.sum(), truth.sum())),
            "iou": {name: number(value) for name, value in zip(names, iou, strict=True)},
        }
