"""How sure the model is of each image and of all: columns of `images`, and totals of a run."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from segflow.data.masks import encode_mask
from segflow.label.fields import field
from segflow.label.prediction import Prediction

MEANS = {
    "mean_confidence": "mean largest class probability, at the model's resolution",
    "mean_entropy": "mean entropy of the class probabilities over that of equal ones, 0 to 1, at "
    "the model's resolution",
    "uncertain_fraction": "share of pixels, at the model's resolution, whose largest class "
    "probability is below uncertain_below in the run's config",
}
"""Columns that are means over an image's pixels, and what they are."""

FIELDS = (
    *(field(name, pa.float64(), description) for name, description in MEANS.items()),
    field(
        "uncertainty",
        pa.binary(),
        "where the model is unsure: mean entropies of cells, 0 to 255 for 0 to 1, as grey PNG of "
        "at most 64 x 64",
    ),
)
"""The fields of these columns."""

_MILLION = 1_000_000


def columns(prediction: Prediction) -> dict[str, Any]:
    """An image's values in these columns."""
    return {
        "mean_confidence": prediction.confidence,
        "mean_entropy": prediction.entropy,
        "uncertain_fraction": prediction.uncertain_fraction,
        "uncertainty": encode_mask(prediction.uncertainty),
    }


def image_sums(images: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Each mean times the images' pixels, in millionths: integers, which add up in any order.

    Args:
        images: Rows of the table.
    """
    return {
        name: sum(round(row[name] * row["height"] * row["width"] * _MILLION) for row in images)
        for name in MEANS
    }


def means(sums: Mapping[str, int], pixels: int) -> dict[str, float | None]:
    """The means over all images, each counting as many times as it has pixels.

    Args:
        sums: Of all images.
        pixels: Of all images; if there are none, each mean is None.
    """
    return {name: sums[name] / (_MILLION * pixels) if pixels else None for name in MEANS}
