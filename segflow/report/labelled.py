"""Pictures of a labelled image: the photo, its labels, and where the model is unsure."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segflow.data import contained, mask_formats
from segflow.data.config import DecodeLimits
from segflow.data.pair import about, read_source
from segflow.errors import RejectError
from segflow.label_map import LabelMap
from segflow.report import pictures
from segflow.report.pictures import Picture

COLUMNS = "image_uri VARCHAR, image_part VARCHAR, mask BLOB, mask_format VARCHAR"
"""The columns of `images` that are needed."""


def pictures_of(
    row: Mapping[str, Any], label_map: LabelMap, limits: DecodeLimits
) -> tuple[list[Picture], str]:
    """Photo and labels of an image, and its uncertainty where the row has it.

    Args:
        row: Of `images`; a mask that is None was not stored.
        label_map: Names and colours.
        limits: Of the run: what it had to read by rows is not held whole for a small picture.

    Returns:
        The pictures, and what is wrong with the photo: then the labels stand alone.
    """
    uri = row["image_uri"]
    ids = None
    if row["mask"] is not None:
        ids = mask_formats.decode_to_show(row["mask"], row["mask_format"])
    alt = f"labels of {uri}"
    try:
        rgb = _read(row, limits)
    except RejectError as error:
        shown = [] if ids is None else [pictures.mask(ids, label_map, alt, "labels")]
        return shown, f"the {error}; its labels still hold"
    shown = [pictures.photo(rgb, uri)]
    if ids is not None:
        shown.append(pictures.overlay(rgb, ids, label_map, alt, "labels"))
    if "uncertainty" in row:
        levels = mask_formats.decode(row["uncertainty"], "png")
        shown.append(pictures.uncertainty(rgb, levels, f"uncertainty in {uri}"))
    return shown, ""


def _read(row: Mapping[str, Any], limits: DecodeLimits) -> NDArray[np.uint8]:
    """The image of a row, whether it is a file or lies in a pack."""
    data = read_source(row["image_uri"], (None, None), limits, part=row["image_part"])
    return about("image", lambda: contained.decode_rgb(data, limits))
