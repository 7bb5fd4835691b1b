"""Tiny pairs of image and mask for the tests that run programs: classes differ by colour."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from segflow import storage
from segflow.label_map import LabelClass, LabelMap

SIZE = (16, 24)  # height, width
LABELS = LabelMap(
    (
        LabelClass(0, "ground", (60, 90, 60)),
        LabelClass(1, "disc", (210, 70, 60)),
        LabelClass(2, "bar", (60, 80, 220)),
    )
)


def scene(number: int, size: tuple[int, int] = SIZE) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """An image, uint8 [height, width, 3], and its mask; an ignored row on top; no symmetry."""
    height, width = size
    rows, columns = np.mgrid[:height, :width]
    mask = np.zeros(size, np.uint8)
    mask[(rows - height * 0.6) ** 2 + (columns - 6 - number % 5) ** 2 < 16] = 1
    mask[: height // 2, width - 5 :] = 2
    noise = np.random.default_rng(number).normal(0, 6, (*size, 3))
    image = np.clip(LABELS.palette()[mask] + noise, 0, 255).astype(np.uint8)
    mask[0] = LABELS.ignore_id
    return image, mask


def encode(picture: NDArray[Any], kind: str = "PNG", **options: Any) -> bytes:
    """The bytes of an image file."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, kind, **options)
    return buffer.getvalue()


def decode(data: bytes) -> NDArray[Any]:
    """The pixels of an image file."""
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture)


class Pairs:
    """A data set being drawn: `images/`, `masks/` and `labels.json` in one folder."""

    def __init__(self, folder: Path, count: int = 4, label_map: LabelMap = LABELS) -> None:
        self.folder = folder
        self.images, self.masks = folder / "images", folder / "masks"
        self.label_map = folder / "labels.json"
        for path in (self.images, self.masks):
            path.mkdir(parents=True)
        storage.put(self.label_map, storage.to_json(label_map.to_dict()))
        for number in range(count):
            self.add(f"pair-{number}", number)

    def add(self, stem: str, number: int = 0) -> None:
        """Adds a sound pair."""
        image, mask = scene(number)
        (self.images / f"{stem}.png").write_bytes(encode(image))
        (self.masks / f"{stem}.png").write_bytes(encode(mask))

    def flags(self, output: Path, **changes: object) -> list[str]:
        """What `segflow ingest` needs; `changes` replace or add flags, None takes one away."""
        flags: dict[str, object] = {
            "images": self.images,
            "masks": self.masks,
            "label-map": self.label_map,
            "image-size": "16x24",
            "output": output,
            "max-reject-fraction": 1,
        }
        flags |= {name.replace("_", "-"): value for name, value in changes.items()}
        return [f"--{name}={value}" for name, value in flags.items() if value is not None]


def rows_of(folder: Path, table: str) -> list[dict[str, Any]]:
    """The rows of all part files of a table of an output folder."""
    parts = sorted(folder.glob(f"{table}/**/part-*.parquet"))
    return pa.concat_tables([pq.read_table(part) for part in parts]).to_pylist() if parts else []
