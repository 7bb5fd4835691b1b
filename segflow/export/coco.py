"""COCO's JSON: for each image and class one object, as run lengths (Caesar et al. 2018 do so)."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from segflow import hashing, storage
from segflow.data.run_lengths import RunLengthWriter
from segflow.export.classes import LABEL_MAP, categories, distinct_colors, exported_label_map
from segflow.export.rows import Row
from segflow.label_map import LabelMap

# Labelling tools know what a file holds by this beginning of its name.
ANNOTATIONS = Path("annotations", "instances_default.json")

_FIRST = 1  # category id of class 0: readers of instances take 0 for what no object covers


@dataclass
class Coco:
    """Writes one JSON file, an image at a time: neither list of it is ever in memory.

    Attributes:
        folder: Where the tree is written.
        spill: Folder for the two lists while they grow.
        label_map: The model's.
        images: Where copies of images lie, relative to the folder.
    """

    folder: Path
    spill: Path
    label_map: LabelMap
    images: str = "images"
    _lists: Mapping[str, "_List"] = field(init=False)

    def __post_init__(self) -> None:
        self._lists = {name: _List(self.spill / name) for name in ("images", "annotations")}

    def write(self, row: Row, image: str | None) -> dict[str, Any]:
        """What the file says of an image; safe to call from several threads.

        Args:
            row: The image.
            image: Where its copy lies; None: it stays where it is.

        Raises:
            JobError: The stored mask is damaged.
        """
        mask = row.mask(self.label_map)
        about = {
            "id": row.id,
            "file_name": row.file_name,
            "height": mask.shape[0],
            "width": mask.shape[1],
            "image_uri": row.uri,
            "image_sha256": row.stored["image_sha256"],
            "run": row.run,
        }
        return {"images": [about], "annotations": self._annotations(mask, row.id)}

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Adds what `write` returned."""
        for row in rows:
            for name, values in row.items():
                self._lists[name].extend(values)

    def close(self) -> None:
        """Puts the file together, and names the classes for ingest."""
        colors = distinct_colors(self.label_map)
        head = {
            "info": {"description": "segflow export"},
            "licenses": [],
            "categories": categories(self.label_map, colors, _FIRST),
        }
        path = self.folder / ANNOTATIONS
        path.parent.mkdir(parents=True)
        with path.open("xb") as file:
            file.write(hashing.canonical_json(head).removesuffix(b"}"))
            for name, values in self._lists.items():
                file.write(f',"{name}":['.encode())
                values.move_to(file)
                file.write(b"]")
            file.write(b"}\n")
        exported = exported_label_map(self.label_map, colors, _FIRST)
        storage.put(self.folder / LABEL_MAP, storage.to_json(exported.to_dict()))

    def _annotations(self, mask: NDArray[Any], image_id: int) -> list[dict[str, Any]]:
        """One for each class there is; its id follows from the image's and the class's."""
        before = (image_id - 1) * self.label_map.num_classes
        writer = RunLengthWriter((mask.shape[0], mask.shape[1]))
        writer.add(mask)
        annotations = []
        for entry in json.loads(writer.finish()):
            class_id = entry["class_id"]
            where = mask == class_id
            annotations.append(
                {
                    "id": before + class_id + 1,
                    "image_id": image_id,
                    "category_id": class_id + _FIRST,
                    "segmentation": {"size": entry["size"], "counts": entry["counts"]},
                    "area": int(np.count_nonzero(where)),
                    "bbox": _box(where),
                    "iscrowd": 0,
                }
            )
        return annotations


def _box(where: NDArray[np.bool_]) -> list[float]:
    """Left, top, width and height of the box around an object."""
    rows, columns = (np.flatnonzero(where.any(axis)) for axis in (1, 0))
    left, top = float(columns[0]), float(rows[0])
    return [left, top, float(columns[-1]) + 1 - left, float(rows[-1]) + 1 - top]


class _List:
    """The values of a JSON array, in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO = path.open("xb")

    def extend(self, values: Sequence[Any]) -> None:
        """Adds values."""
        for value in values:
            self._file.write(b",\n" if self._file.tell() else b"\n")
            self._file.write(hashing.canonical_json(value))

    def move_to(self, file: BinaryIO) -> None:
        """Writes all of them to another file, and removes its own."""
        self._file.close()
        with self._path.open("rb") as values:
            shutil.copyfileobj(values, file, 1 << 20)
        self._path.unlink()
