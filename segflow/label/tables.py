"""The tables that labelling writes: one row for each image, one for each image and class."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from segflow.data.mask_formats import StoredMask
from segflow.label import certainty
from segflow.label.fields import field
from segflow.label.prediction import Prediction
from segflow.label_map import LabelMap
from segflow.scores.areas import effective_number

_IMAGE_URI = "address of the image, as listed; of one in a pack, the pack's and its name there"

GONE_SCHEMA = pa.schema([field("image_uri", pa.string(), _IMAGE_URI)])

IMAGES_SCHEMA = pa.schema(
    [
        field("image_uri", pa.string(), _IMAGE_URI),
        field("image_part", pa.string(), "where in a pack it lies, as JSON; null: it is a file"),
        field("key", pa.string(), "of the list, or the path in its source without extension"),
        field("group", pa.string(), "of the list; null: it says none"),
        field("image_sha256", pa.string(), "of the file's bytes, in hex"),
        field("height", pa.int32(), "after EXIF orientation", "pixels"),
        field("width", pa.int32(), "after EXIF orientation", "pixels"),
        field("ground_resolution", pa.float64(), "side of a pixel; null: unknown", "m"),
        field("mask", pa.binary(), "class ids, of the image's size; see mask_format"),
        field("mask_format", pa.string(), "png, rle or none"),
        *certainty.FIELDS,
        field("model_fingerprint", pa.string(), "SHA-256 of the model bundle, in hex"),
    ]
)

AREAS_SCHEMA = pa.schema(
    [
        field("image_uri", pa.string(), _IMAGE_URI),
        field("class_id", pa.int32(), "id of the class in the model's label map"),
        field("class_name", pa.string(), "name of the class in the model's label map"),
        field("pixels", pa.int64(), "of the class, at the image's size", "pixels"),
        field("fraction", pa.float64(), "of the image's pixels"),
        field("area", pa.float64(), "of the class; null without a ground resolution", "m2"),
        field(
            "mean_confidence",
            pa.float64(),
            "of its pixels; null: the class has no pixel at the model's resolution",
        ),
        field("regions", pa.int64(), "connected ones, of 4 neighbours; null: not counted"),
    ]
)

# Columns whose values come again and again; of others, a dictionary would be as long as they are.
IMAGES_DICTIONARIES = ("group", "mask_format", "model_fingerprint")
AREAS_DICTIONARIES = ("image_uri", "class_id", "class_name")

_AREA_DIGITS = 100  # bits behind the point, of sums of areas


@dataclass(frozen=True)
class Labelled:
    """One labelled image: its row of `images`, its rows of `areas`, and whether it is a giant."""

    image: dict[str, Any]
    areas: list[dict[str, Any]]
    by_rows: bool = False


def labelled(
    row: Mapping[str, Any],
    sha256: str,
    mask: StoredMask,
    prediction: Prediction,
    label_map: LabelMap,
    model_fingerprint: str,
    ground_resolution: float | None = None,
    *,
    regions: NDArray[np.int64] | None = None,
) -> Labelled:
    """The rows of one image; the areas' pixels add up to height x width.

    Args:
        row: Of the plan: where the image lies.
        sha256: Of the image file's bytes, in hex.
        mask: Of the image, as stored.
        prediction: Of the image; its own mask is not looked at.
        label_map: The model's.
        model_fingerprint: The bundle's.
        ground_resolution: Side of a pixel in metres; None: unknown.
        regions: Of each class in the mask, int64 [n]; None: not counted.
    """
    counts, (height, width) = mask.pixels, mask.size
    pixel_area = None if ground_resolution is None else ground_resolution**2
    image = {
        **{name: row.get(name) for name in ("image_uri", "image_part", "key", "group")},
        "image_sha256": sha256,
        "height": height,
        "width": width,
        "ground_resolution": ground_resolution,
        "mask": mask.data,
        "mask_format": mask.format,
        **certainty.columns(prediction),
        "model_fingerprint": model_fingerprint,
    }
    areas = [
        {
            "image_uri": row["image_uri"],
            "class_id": c.id,
            "class_name": c.name,
            "pixels": int(counts[c.id]),
            "fraction": int(counts[c.id]) / (height * width),
            "area": None if pixel_area is None else int(counts[c.id]) * pixel_area,
            "mean_confidence": _or_none(prediction.class_confidence[c.id]),
            "regions": None if regions is None else int(regions[c.id]),
        }
        for c in label_map.classes
        if counts[c.id]
    ]
    return Labelled(image, areas)


def class_sums(rows: Sequence[Labelled]) -> dict[str, Any]:
    """Pixels, area and images by class id; in all, pixels, squares, giants, images without an area.

    Areas are integers, 2**-100 square metres each: those add up alike in any order. `squares` are
    of the pixels and of the area of each image.
    """
    classes: dict[str, dict[str, int]] = {}
    squares = {"pixels": 0, "area": 0}
    for row in rows:
        whole = {"pixels": 0, "area": 0}
        for area in row.areas:
            none = {"pixels": 0, "area": 0, "images": 0}
            entry = classes.setdefault(str(area["class_id"]), none)
            of_area = {
                "pixels": area["pixels"],
                "area": int(math.ldexp(area["area"] or 0, _AREA_DIGITS)),
            }
            for name, value in of_area.items():
                entry[name] += value
                whole[name] += value
            entry["images"] += 1
        for name, value in whole.items():
            squares[name] += value**2
    return {
        "classes": classes,
        "pixels": sum(c["pixels"] for c in classes.values()),
        "squares": squares,
        "by_rows": sum(row.by_rows for row in rows),
        "without_area": sum(row.image["ground_resolution"] is None for row in rows),
    }


def class_totals(label_map: LabelMap, sums: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a commit record says of each class, from the sums of all shards.

    `area`, in square metres, is None unless every image has one.
    """
    pixels, has_area = sums.get("pixels", 0), _has_area(sums)
    classes = []
    for c in label_map.classes:
        found = sums.get("classes", {}).get(str(c.id), {"pixels": 0, "area": 0, "images": 0})
        totals = {
            "id": c.id,
            "name": c.name,
            "pixels": found["pixels"],
            "images": found["images"],
            "fraction": found["pixels"] / pixels if pixels else 0.0,
            "area": found["area"] / 2**_AREA_DIGITS if has_area else None,
        }
        classes.append(totals)
    return classes


def effective_images(sums: Mapping[str, Any]) -> dict[str, float | None]:
    """How many images of one size vary as much as those of all shards: by `pixels` and `area`.

    `area` is None unless every image has one.
    """
    squares = sums.get("squares", {"pixels": 0, "area": 0})
    area = sum(found["area"] for found in sums.get("classes", {}).values())
    return {
        "pixels": effective_number(sums.get("pixels", 0), squares["pixels"]),
        "area": effective_number(area, squares["area"]) if _has_area(sums) else None,
    }


def _has_area(sums: Mapping[str, Any]) -> bool:
    return bool(sums.get("pixels")) and not sums["without_area"]


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
