"""Trees of mask files: class ids, VOC's palette masks, CVAT's colours."""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segflow import storage
from segflow.data.layouts import voc
from segflow.data.masks import encode_mask
from segflow.errors import UsageError
from segflow.export.classes import (
    LABEL_MAP,
    distinct_colors,
    exported_label_map,
    labelmap_txt,
)
from segflow.export.rows import Row
from segflow.label_map import RGB, VOC_VOID, LabelMap

MANIFEST = "manifest.jsonl"

_VOC_VOID_ID = 255
_VOC_LIST = Path("ImageSets", "Segmentation", "default.txt")  # of no split, as CVAT calls it

Encode = Callable[[NDArray[Any]], bytes]


@dataclass(frozen=True)
class Tree:
    """A format that keeps a file for each mask.

    Attributes:
        folder: Where it is written.
        images: Where copies of images lie, relative to the folder.
        label_map: The model's.
        masks: How masks are encoded, by the folder they lie in; the first is what counts.
        files: The files that name the classes, by path.
        lists: Whether ImageSets/Segmentation lists the names.
    """

    folder: Path
    images: str
    label_map: LabelMap
    masks: Mapping[str, Encode]
    files: Mapping[str, bytes]
    lists: bool = False

    def write(self, row: Row, image: str | None) -> dict[str, Any]:
        """Writes an image's masks; safe to call from several threads.

        Args:
            row: The image.
            image: Where its copy lies, relative to the folder; None: it stays where it is.

        Returns:
            Its row of the manifest.

        Raises:
            JobError: The stored mask is damaged.
        """
        mask = row.mask(self.label_map)
        for folder, encode in self.masks.items():
            path = self.folder / _mask_path(folder, row)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                file.write(encode(mask))
        return {
            "image": image or row.uri,
            "mask": _mask_path(next(iter(self.masks)), row),
            "key": row.name,
            "image_uri": row.uri,
            "image_sha256": row.stored["image_sha256"],
            "run": row.run,
        }

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Lists what `write` returned."""
        with (self.folder / MANIFEST).open("a", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
        if self.lists:
            path = self.folder / _VOC_LIST
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as file:
                file.writelines(f"{row['key']}\n" for row in rows)

    def close(self) -> None:
        """Names the classes."""
        for name, data in self.files.items():
            storage.put(self.folder / name, data)


def png_tree(folder: Path, label_map: LabelMap, in_color: bool) -> Tree:
    """`masks/`: class ids, 8 bits or 16; on request `color_masks/`, RGB."""
    colors = distinct_colors(label_map)
    masks: dict[str, Encode] = {"masks": encode_mask}
    if in_color:
        masks["color_masks"] = _painter(colors)
    exported = exported_label_map(label_map, colors)
    files = {LABEL_MAP: storage.to_json(exported.to_dict())}
    return Tree(folder, "images", label_map, masks, files)


def voc_tree(folder: Path, label_map: LabelMap) -> Tree:
    """Pascal VOC: palette masks of class ids; 255 stays free for void.

    Raises:
        UsageError: There are too many classes for that, or one of a name that it cannot hold.
    """
    flag = "--format voc"
    if label_map.num_classes > _VOC_VOID_ID:
        raise UsageError(
            f"{flag}: holds {_VOC_VOID_ID} classes, found {label_map.num_classes}; choose another"
        )
    colors = distinct_colors(label_map)
    files = {voc.LABEL_MAP: labelmap_txt(label_map, colors, flag)}
    masks = {voc.MASKS: _palette_encoder(colors)}
    return Tree(folder, voc.IMAGES, label_map, masks, files, lists=True)


def cvat_tree(folder: Path, label_map: LabelMap) -> Tree:
    """CVAT's mask export: masks in the colours of labelmap.txt.

    Raises:
        UsageError: A class has a name that labelmap.txt cannot hold.
    """
    colors = distinct_colors(label_map)
    files = {voc.LABEL_MAP: labelmap_txt(label_map, colors, "--format cvat")}
    masks = {voc.MASKS: _painter(colors)}
    return Tree(folder, voc.IMAGES, label_map, masks, files, lists=True)


def _mask_path(folder: str, row: Row) -> str:
    return f"{folder}/{row.name}.png"


def _painter(colors: Sequence[RGB]) -> Encode:
    palette = np.array(colors, np.uint8)
    return lambda ids: encode_mask(palette[ids])


def _palette_encoder(colors: Sequence[RGB]) -> Encode:
    palette = [value for color in colors for value in color]
    palette += [0] * (3 * _VOC_VOID_ID - len(palette)) + list(VOC_VOID)

    def encode(ids: NDArray[Any]) -> bytes:
        image = Image.fromarray(ids.astype(np.uint8))
        image.putpalette(palette)
        buffer = io.BytesIO()
        image.save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()

    return encode
