"""Segmentation scores: exact counts of pixels, and what is made of them."""

from segflow.scores.confusion import (
    confusion_matrix,
    frequency_weighted_iou,
    iou_per_class,
    mean_iou,
    ratio,
    summarize,
)

__all__ = [
    "confusion_matrix",
    "frequency_weighted_iou",
    "iou_per_class",
    "mean_iou",
    "ratio",
    "summarize",
]
