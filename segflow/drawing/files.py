"""Writes drawn scenes as people's folders hold them: pairs, a label map, and broken files."""

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from segflow import storage
from segflow.drawing.scenes import LABEL_MAP, Scene, draw_scene
from segflow.errors import RejectCode, UsageError
from segflow.hashing import stable_seed

_TURNED_RIGHT = 6  # EXIF orientation: a viewer turns the stored pixels by 90° clockwise
_UNKNOWN_ID = 77
_BROKEN = {
    "broken-cut-off": RejectCode.UNREADABLE,
    "broken-half-size": RejectCode.SIZE_MISMATCH,
    "broken-jpeg-mask": RejectCode.LOSSY_MASK,
    "broken-no-image": RejectCode.MISSING_IMAGE,
    "broken-no-mask": RejectCode.MISSING_MASK,
    "broken-text": RejectCode.UNREADABLE,
    "broken-unknown-label": RejectCode.UNKNOWN_LABEL,
}

Files = dict[str, bytes]


@dataclass(frozen=True)
class DrawnDataset:
    """Where a drawn data set lies and what ingest should say of it.

    Attributes:
        images: Folder of JPEG and PNG pictures.
        masks: Folder of palette PNG masks with the same stems.
        label_map: Path of the label map.
        examples: Number of sound pairs.
        broken: Stem of each broken pair and the code that it must be rejected with.
    """

    images: Path
    masks: Path
    label_map: Path
    examples: int
    broken: Mapping[str, RejectCode]


def draw_dataset(
    folder: str | Path,
    *,
    examples: int = 400,
    size: tuple[int, int] = (128, 160),
    seed: int = 0,
    broken: bool = True,
) -> DrawnDataset:
    """Draws pairs of `images/` and `masks/`, and `labels.json`.

    Files that already hold what would be drawn are left as they are, so that a repeated
    demo finds its inputs unchanged.

    Args:
        folder: Made if it is missing.
        examples: Number of sound pairs.
        size: (height, width) of all of them, in pixels.
        seed: The same seed, number and size give the same bytes.
        broken: Whether to add seven broken pairs, which ingest must reject.

    Raises:
        UsageError: The folder holds other images or masks.
    """
    images: Files = {}
    masks: Files = {}
    for index in range(examples):
        name = f"scene-{index:04d}"
        scene = _scene(name, *size, seed)
        suffix, encode = (".png", _png) if index % 4 == 3 else (".jpg", _jpeg)
        images[name + suffix] = encode(scene.image)
        masks[name + ".png"] = _mask_png(scene.mask)
    if broken:
        _add_broken(images, masks, _scene("broken", *size, seed))
    drawn = DrawnDataset(
        images=Path(folder, "images"),
        masks=Path(folder, "masks"),
        label_map=Path(folder, "labels.json"),
        examples=examples,
        broken=_BROKEN if broken else {},
    )
    _write(drawn.images, images)
    _write(drawn.masks, masks)
    _write_changed(drawn.label_map, storage.to_json(LABEL_MAP.to_dict()))
    return drawn


def draw_collection(
    folder: str | Path, *, pictures: int = 40, seed: int = 0, broken: bool = True
) -> Mapping[str, RejectCode]:
    """Draws larger pictures of many sizes and shapes, without masks: something to label.

    The last one is stored on its side with an EXIF orientation. `broken` adds a cut-off JPEG.

    Returns:
        The name of each broken file and the code that it must be rejected with.

    Raises:
        UsageError: The folder holds other files.
    """
    files: Files = {}
    for index in range(pictures):
        name = f"picture-{index:03d}"
        scene = _scene(name, *_varied_size(name, seed), seed)
        if index == pictures - 1:
            files[f"{name}-turned.jpg"] = _turned_jpeg(scene.image)
        elif index % 8 == 7:
            files[f"{name}.png"] = _png(scene.image)
        else:
            files[f"{name}.jpg"] = _jpeg(scene.image)
    codes = {}
    if broken:
        whole = _jpeg(_scene("broken", 240, 320, seed).image)
        files["broken-cut-off.jpg"] = whole[: len(whole) // 2]
        codes["broken-cut-off.jpg"] = RejectCode.UNREADABLE
    _write(Path(folder), files)
    return codes


def _scene(name: str, height: int, width: int, seed: int) -> Scene:
    return draw_scene(height, width, np.random.default_rng(stable_seed(seed, name)))


def _varied_size(name: str, seed: int) -> tuple[int, int]:
    rng = np.random.default_rng(stable_seed(seed, name, "size"))
    side, aspect = rng.uniform(220, 460), math.exp(rng.uniform(-0.4, 0.4))
    return round(side * aspect), round(side / aspect)


def _add_broken(images: Files, masks: Files, scene: Scene) -> None:
    """Adds one pair for each entry of `_BROKEN`."""
    image, mask = _png(scene.image), _mask_png(scene.mask)
    unknown = scene.mask.copy()
    unknown[:8, :8] = _UNKNOWN_ID
    images |= {
        "broken-cut-off.png": image[: len(image) // 2],
        "broken-half-size.png": image,
        "broken-jpeg-mask.png": image,
        "broken-no-mask.png": image,
        "broken-text.jpg": b"Not a picture.\n",
        "broken-unknown-label.png": image,
    }
    masks |= {
        "broken-cut-off.png": mask,
        "broken-half-size.png": _mask_png(scene.mask[::2, ::2]),
        "broken-jpeg-mask.jpg": _jpeg(scene.mask),
        "broken-no-image.png": mask,
        "broken-text.png": mask,
        "broken-unknown-label.png": _mask_png(unknown),
    }


def _write(folder: Path, files: Files) -> None:
    strangers = sorted(set(storage.names_in(folder)) - set(files))
    if strangers:
        raise UsageError(
            f"{folder}: expected an empty folder or the same drawing, found {strangers[0]!r}; "
            "choose another folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        _write_changed(folder / name, data)


def _write_changed(path: Path, data: bytes) -> None:
    if not (path.is_file() and path.read_bytes() == data):
        path.write_bytes(data)


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    return _encode(Image.fromarray(image), "JPEG", quality=92)


def _turned_jpeg(image: NDArray[np.uint8]) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = _TURNED_RIGHT
    return _encode(Image.fromarray(np.rot90(image)), "JPEG", quality=92, exif=exif)


def _png(image: NDArray[np.uint8]) -> bytes:
    return _encode(Image.fromarray(image), "PNG", compress_level=1)


def _mask_png(mask: NDArray[np.uint8]) -> bytes:
    """Indices with a palette, so that a viewer shows the classes in their colours."""
    palette = np.full((256, 3), 255, np.uint8)
    palette[: LABEL_MAP.num_classes] = LABEL_MAP.palette()
    picture = Image.fromarray(mask)
    picture.putpalette(palette.tobytes())
    return _encode(picture, "PNG")


def _encode(picture: Image.Image, format_name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format_name, **options)
    return buffer.getvalue()
