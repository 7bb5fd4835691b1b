"""Pictures in reports: thumbnails, overlays and coloured masks as data URIs."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segflow.label_map import LabelMap

SIDE = 384  # pixels along the longer side: sharp in a card on a dense screen, some 20 kB each
_OPACITY = 0.55  # of a class's colour on the image; its outline is opaque
_WRONG = (224, 36, 72)
_UNKNOWN = (128, 128, 128)
_STRIPE = 4  # pixels; ignored pixels are striped, as no single colour is free of meaning


@dataclass(frozen=True)
class Picture:
    """An image for an `<img>`: data URI, alternative text, caption, size in pixels."""

    src: str
    alt: str
    label: str
    width: int
    height: int


@dataclass(frozen=True)
class Card:
    """Pictures of one example side by side, or the reason why there are none.

    Attributes:
        title: The example's key or address, shown as it is.
        notes: Short facts below the title.
        pictures: All of one size.
        problem: Why pictures are missing; empty if none is.
    """

    title: str
    notes: Sequence[str] = ()
    pictures: Sequence[Picture] = ()
    problem: str = ""


def decode_rgb(data: bytes) -> NDArray[np.uint8]:
    """Decodes a stored image to uint8 [h, w, 3]; stored images need no orientation."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def photo(rgb: NDArray[np.uint8], alt: str, label: str = "image", side: int = SIDE) -> Picture:
    """The image itself, uint8 [h, w, 3], reduced to at most `side` pixels a side."""
    return _jpeg(_reduce(rgb, side), alt, label)


def overlay(
    rgb: NDArray[np.uint8],
    ids: NDArray[Any],
    label_map: LabelMap,
    alt: str,
    label: str,
    side: int = SIDE,
) -> Picture:
    """A mask, integers [h, w], in its classes' colours over its image, uint8 [h', w', 3].

    Ignored pixels are striped. The two sizes may differ: the mask follows the image.
    """
    base = _reduce(rgb, side)
    small = _fit(ids, base)
    colors = _paint(small, label_map).astype(np.float32)
    weight = np.where(_outline(small), 1.0, _OPACITY)[..., None]
    mixed = base * (1 - weight) + colors * weight
    return _jpeg(_stripe(mixed, small == label_map.ignore_id), alt, label)


def mask(ids: NDArray[Any], label_map: LabelMap, alt: str, label: str) -> Picture:
    """A mask, integers [h, w], in its classes' colours, where there is no image to lay it on."""
    scale = min(1, SIDE / max(ids.shape))
    base = np.zeros((*(max(1, round(side * scale)) for side in ids.shape), 3), np.uint8)
    small = _fit(ids, base)
    return _jpeg(_stripe(_paint(small, label_map), small == label_map.ignore_id), alt, label)


def errors(
    rgb: NDArray[np.uint8],
    truth: NDArray[Any],
    prediction: NDArray[Any],
    label_map: LabelMap,
    alt: str,
) -> Picture:
    """Wrongly predicted pixels in red over a pale grey image; ignored pixels are striped."""
    base = _reduce(rgb)
    small_truth, small_prediction = _fit(truth, base), _fit(prediction, base)
    ignored = small_truth == label_map.ignore_id
    grey = _pale(base)
    grey[(small_truth != small_prediction) & ~ignored] = _WRONG
    return _jpeg(_stripe(grey, ignored), alt, "errors")


def doubts(
    rgb: NDArray[np.uint8], doubtful: NDArray[np.bool_], alt: str, label: str = "doubtful"
) -> Picture:
    """Pixels that look mislabelled, bool [h', w'], in red over a pale grey image."""
    base = _reduce(rgb)
    grey = _pale(base)
    grey[_fit(doubtful, base) > 0] = _WRONG
    return _jpeg(grey.round().astype(np.uint8), alt, label)


def uncertainty(
    rgb: NDArray[np.uint8], levels: NDArray[np.uint8], alt: str, label: str = "uncertainty"
) -> Picture:
    """How unsure the model is, uint8 [h', w'], as red over a pale grey image; 255 is all red."""
    base = _reduce(rgb)
    smooth = Image.fromarray(levels).resize(base.shape[1::-1], Image.Resampling.BILINEAR)
    share = np.asarray(smooth, np.float32)[..., None] / 255
    mixed = _pale(base) * (1 - share) + np.array(_WRONG) * share
    return _jpeg(mixed.round().astype(np.uint8), alt, label)


def comparison(
    key: str,
    notes: Sequence[str],
    rgb: NDArray[np.uint8],
    truth: NDArray[Any],
    prediction: NDArray[Any],
    label_map: LabelMap,
    doubtful: NDArray[np.bool_] | None = None,
) -> Card:
    """Image, truth, prediction, and errors or else doubtful pixels of one example, side by side."""
    last = (
        errors(rgb, truth, prediction, label_map, f"errors in {key}")
        if doubtful is None
        else doubts(rgb, doubtful, f"doubtful pixels of {key}")
    )
    return Card(
        key,
        notes,
        [
            photo(rgb, key),
            overlay(rgb, truth, label_map, f"truth of {key}", "truth"),
            overlay(rgb, prediction, label_map, f"prediction for {key}", "prediction"),
            last,
        ],
    )


def _reduce(rgb: NDArray[np.uint8], side: int = SIDE) -> NDArray[np.uint8]:
    image = Image.fromarray(rgb)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return np.asarray(image)


def _pale(base: NDArray[np.uint8]) -> NDArray[Any]:
    """Its brightness alone, low in contrast: what colours are laid on to be seen."""
    return np.repeat(base.mean(-1, keepdims=True) * 0.5 + 96, 3, axis=-1)


def _fit(ids: NDArray[Any], base: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Takes the nearest pixel of `ids` for each pixel of `base`."""
    height, width = base.shape[:2]
    rows = (np.arange(height) * 2 + 1) * ids.shape[0] // (2 * height)
    columns = (np.arange(width) * 2 + 1) * ids.shape[1] // (2 * width)
    return np.asarray(ids[np.ix_(rows, columns)], np.int64)


def _paint(ids: NDArray[np.int64], label_map: LabelMap) -> NDArray[np.uint8]:
    palette = np.vstack([label_map.palette(), np.array([_UNKNOWN], np.uint8)])
    known = (ids >= 0) & (ids < label_map.num_classes)
    return palette[np.where(known, ids, label_map.num_classes)]


def _outline(ids: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Pixels whose right or lower neighbour has another id."""
    edge = np.zeros(ids.shape, bool)
    edge[:, :-1] |= ids[:, :-1] != ids[:, 1:]
    edge[:-1] |= ids[:-1] != ids[1:]
    return edge


def _stripe(pixels: NDArray[Any], where: NDArray[np.bool_]) -> NDArray[np.uint8]:
    rows, columns = np.indices(where.shape)
    light = (rows + columns) // _STRIPE % 2 == 0
    striped = np.where(light[..., None], 232.0, 150.0) * 0.7 + pixels * 0.3
    return np.where(where[..., None], striped, pixels).round().astype(np.uint8)


def _jpeg(pixels: NDArray[np.uint8], alt: str, label: str) -> Picture:
    buffer = io.BytesIO()
    # 4:4:4: halved chroma would smear the outlines of neighbouring classes. Not optimized: Pillow
    # then needs room for the whole file beforehand, and guesses too little for noise.
    Image.fromarray(pixels).save(buffer, "JPEG", quality=85, subsampling=0)
    data = base64.b64encode(buffer.getvalue()).decode()
    height, width = pixels.shape[:2]
    return Picture(f"data:image/jpeg;base64,{data}", alt, label, width, height)
