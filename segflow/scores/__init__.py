"""Segmentation scores: exact counts of pixels, and what is made of them."""

from segflow.scores.confusion import (
    always_commonest,
    confusion_matrix,
    frequency_weighted_iou,
    iou_per_class,
    mean_iou,
    ratio,
    summarize,
)

__all__ = [
    "always_commonest",
    "confusion_matrix",
    "frequency_weighted_iou",
    "iou_per_class",
    "mean_iou",
    "ratio",
    "summarize",
]
