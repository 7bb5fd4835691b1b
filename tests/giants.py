"""Draws TIFFs of any size by windows, of pixels that can be computed again for any window."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.transform import from_origin

CLASSES = 5
_ROWS_AT_ONCE = 512
_METRES = 0.5


def truth(top: int, left: int, height: int, width: int) -> np.ndarray:
    """Class ids of a window, uint8: blocks of odd sizes, and single pixels strewn over them."""
    y = np.arange(top, top + height, dtype=np.uint32)[:, None]
    x = np.arange(left, left + width, dtype=np.uint32)[None, :]
    blocks = (y // 97) * 3 + x // 61
    strewn = (y * 31 + x * 17) % 1009 == 0
    return ((blocks + strewn) % CLASSES).astype(np.uint8)


def picture(top: int, left: int, height: int, width: int) -> np.ndarray:
    """The image over the same window, uint8 [height, width, 3]: a colour for each class."""
    ids = truth(top, left, height, width)
    return np.stack([ids * 50, 255 - ids * 30, ids % 2 * 200], -1)


def draw(folder: Path, height: int, width: int, **image: Any) -> tuple[Path, Path]:
    """Writes `images/giant.tif` and `masks/giant.tif`, a window at a time.

    Args:
        folder: Where the folders go.
        height: In pixels.
        width: Likewise.
        **image: rasterio's options for the image; by default in tiles of 256; the mask is in
            strips.
    """
    shared = {
        **{"driver": "GTiff", "height": height, "width": width, "dtype": "uint8"},
        **{"compress": "deflate", "zlevel": 1, "crs": "EPSG:32633"},
        "transform": from_origin(500_000, 5_000_000, _METRES, _METRES),
    }
    tiled = {"tiled": True, "blockxsize": 256, "blockysize": 256} | image
    paths = folder / "images/giant.tif", folder / "masks/giant.tif"
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
    with (
        rasterio.open(paths[0], "w", count=3, **shared, **tiled) as images,
        rasterio.open(paths[1], "w", count=1, **shared) as masks,
    ):
        for top, rows in _bands(height):
            window = ((top, top + rows), (0, width))
            images.write(np.moveaxis(picture(top, 0, rows, width), -1, 0), window=window)
            masks.write(truth(top, 0, rows, width), 1, window=window)
    return paths


def write_label_map(path: Path) -> Path:
    """The label map of `truth`."""
    classes = [{"id": i, "name": f"class_{i}"} for i in range(CLASSES)]
    path.write_text(json.dumps({"classes": classes}))
    return path


def _bands(height: int) -> Iterator[tuple[int, int]]:
    for top in range(0, height, _ROWS_AT_ONCE):
        yield top, min(_ROWS_AT_ONCE, height - top)
