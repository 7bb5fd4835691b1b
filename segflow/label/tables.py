"""The tables that labelling writes: one row for each image, one for each image and class."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from segflow.data.mask_formats import MaskFormat, encode
from segflow.label import certainty
from segflow.label.prediction import Prediction
from segflow.label_map import LabelMap

IMAGES_SCHEMA = pa.schema(
    [
        pa.field("image_uri", pa.string(), metadata={"description": "as listed"}),
        pa.field("image_sha256", pa.string(), metadata={"description": "of the file's bytes"}),
        pa.field("height", pa.int32(), metadata={"description": "pixels, after EXIF orientation"}),
        pa.field("width", pa.int32(), metadata={"description": "pixels, after EXIF orientation"}),
        pa.field("mask", pa.binary(), metadata={"description": "class ids, see mask_format"}),
        pa.field("mask_format", pa.string(), metadata={"description": "png, rle or none"}),
        *certainty.FIELDS,
        pa.field("model_fingerprint", pa.string()),
    ]
)

AREAS_SCHEMA = pa.schema(
    [
        pa.field("image_uri", pa.string()),
        pa.field("class_id", pa.int32()),
        pa.field("class_name", pa.string()),
        pa.field("pixels", pa.int64()),
        pa.field("fraction", pa.float64(), metadata={"description": "of the image's pixels"}),
        pa.field(
            "area", pa.float64(), metadata={"description": "null without a ground resolution"}
        ),
        pa.field(
            "mean_confidence",
            pa.float64(),
            metadata={"description": "null: the class has no pixel at the model's resolution"},
        ),
        pa.field(
            "regions",
            pa.int64(),
            metadata={"description": "connected ones, of 4 neighbours; null: not counted"},
        ),
    ]
)


@dataclass(frozen=True)
class Labelled:
    """One labelled image: its row of `images` and its rows of `areas`."""

    image: dict[str, Any]
    areas: list[dict[str, Any]]


def labelled(
    uri: str,
    sha256: str,
    prediction: Prediction,
    mask_format: MaskFormat,
    label_map: LabelMap,
    model_fingerprint: str,
    *,
    regions: NDArray[np.int64] | None = None,
) -> Labelled:
    """The rows of one image; the areas' pixels add up to height x width.

    Args:
        uri: As listed.
        sha256: Of the image file's bytes, in hex.
        prediction: Of the image.
        mask_format: How to store the mask.
        label_map: The model's.
        model_fingerprint: The bundle's.
        regions: Of each class in the mask, int64 [n]; None: not counted.
    """
    mask = prediction.mask
    counts = np.bincount(mask.ravel(), minlength=label_map.num_classes)
    image = {
        "image_uri": uri,
        "image_sha256": sha256,
        "height": mask.shape[0],
        "width": mask.shape[1],
        "mask": encode(mask, mask_format),
        "mask_format": mask_format,
        **certainty.columns(prediction),
        "model_fingerprint": model_fingerprint,
    }
    areas = [
        {
            "image_uri": uri,
            "class_id": c.id,
            "class_name": c.name,
            "pixels": int(counts[c.id]),
            "fraction": int(counts[c.id]) / mask.size,
            "area": None,
            "mean_confidence": _or_none(prediction.class_confidence[c.id]),
            "regions": None if regions is None else int(regions[c.id]),
        }
        for c in label_map.classes
        if counts[c.id]
    ]
    return Labelled(image, areas)


def class_sums(rows: Sequence[Labelled]) -> dict[str, Any]:
    """Pixels and images by class id, and pixels in all."""
    classes: dict[str, dict[str, int]] = {}
    for row in rows:
        for area in row.areas:
            entry = classes.setdefault(str(area["class_id"]), {"pixels": 0, "images": 0})
            entry["pixels"] += area["pixels"]
            entry["images"] += 1
    return {"classes": classes, "pixels": sum(c["pixels"] for c in classes.values())}


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
