"""One image/mask pair: read, checked, resized, augmented, encoded. Pure but for reading."""

import functools
import hashlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segflow.data import annotations, augment, augment_pixels, contained, packs, resize
from segflow.data.annotations import MaskSource
from segflow.data.augment import Augmentation
from segflow.data.config import DecodeLimits, ExampleConfig
from segflow.data.decode import read_bytes
from segflow.data.masks import decode_mask, encode_mask
from segflow.data.records import Record
from segflow.errors import RejectCode, RejectError
from segflow.label_map import LabelMap


@dataclass(frozen=True)
class Pair:
    """A decoded pair.

    Attributes:
        image: uint8 [height, width, 3], orientation applied.
        mask: Ids of the label map, [height, width].
        image_sha256: Of the image file's bytes, in hex.
    """

    image: NDArray[np.uint8]
    mask: NDArray[Any]
    image_sha256: str


@dataclass(frozen=True)
class Example:
    """One stored example and its row of the index; `augmentation` is None for variant 0."""

    record: Record
    class_pixels: list[int]
    ignored_pixels: int
    augmentation: Augmentation | None


def read_source(
    path: str,
    planned: tuple[int | None, int | None],
    limits: DecodeLimits,
    what: str = "image",
    part: str | None = None,
) -> bytes:
    """Reads a source file.

    Args:
        path: The file.
        planned: Its size in bytes and time of modification when it was listed; Nones: unknown.
        limits: Caps.
        what: What the message calls it, `image` or `mask`.
        part: Where it lies in a pack (see `segflow.data.packs`); None: it is a file of its own.

    Raises:
        RejectError: It has changed since, cannot be read, or is too large.
        OSError: The storage failed in a way that may pass.
    """
    listed = planned != (None, None)
    read = functools.partial(read_bytes, path, limits)
    if part is not None:
        address = packs.from_json(part)
        path, planned = address.pack.path, (address.pack.bytes, planned[1])
        read = functools.partial(_read_part, address, limits, what)
    if listed:
        _require_unchanged(path, planned, what)
    data = _about(what, read)
    if listed:
        _require_unchanged(path, planned, what)  # nor while it was read
    return data


def _read_part(part: packs.Part, limits: DecodeLimits, what: str) -> bytes:
    data = packs.read_part(part, limits)
    if data is None:
        code = RejectCode.MISSING_IMAGE if what == "image" else RejectCode.MISSING_MASK
        raise RejectError(code, f"{part.pack.path} has none for it")
    return data


def _require_unchanged(path: str, planned: tuple[int | None, int | None], what: str) -> None:
    try:
        stat = Path(path).stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RejectError(RejectCode.SOURCE_CHANGED, f"{what}: gone since it was listed") from error
    except PermissionError:
        return  # reading it says so
    if planned != (stat.st_size, stat.st_mtime_ns):
        sizes = f"{planned[0]} bytes then, {stat.st_size} now"
        how = sizes if planned[0] != stat.st_size else "written at another time, of equal size"
        raise RejectError(RejectCode.SOURCE_CHANGED, f"{what}: changed since it was listed: {how}")


def read_pair(row: Mapping[str, Any], label_map: LabelMap, limits: DecodeLimits) -> Pair:
    """Reads and checks the pair that a row of the plan addresses.

    Raises:
        RejectError: With the contract's code; the message says which of the two files.
    """
    image_planned = (row.get("image_bytes"), row.get("image_mtime_ns"))
    image_bytes = read_source(
        row["image_uri"], image_planned, limits, "image", row.get("image_part")
    )
    image = _about("image", lambda: contained.decode_rgb(image_bytes, limits))
    mask = _read_mask(row, (image.shape[0], image.shape[1]), label_map, limits)
    if image.shape[:2] != mask.shape:
        raise RejectError(
            RejectCode.SIZE_MISMATCH,
            f"image {_size(image)} and mask {_size(mask)} (height x width, each after its own "
            "EXIF orientation) differ",
        )
    return Pair(image, mask, hashlib.sha256(image_bytes).hexdigest())


def _read_mask(
    row: Mapping[str, Any], image_size: tuple[int, int], label_map: LabelMap, limits: DecodeLimits
) -> NDArray[Any]:
    planned = (row.get("mask_bytes"), row.get("mask_mtime_ns"))

    def read() -> bytes:
        return read_source(row["mask_uri"], planned, limits, "mask", row.get("mask_part"))

    if annotation := row.get("annotation"):
        drawn = MaskSource(read, image_size, label_map, limits)
        return _about("mask", lambda: annotations.mask_of(annotation, drawn))
    data = read()
    return _about("mask", lambda: decode_mask(data, label_map, limits))


def make_examples(
    pair: Pair, key: str, filename: str, copies: int, config: ExampleConfig, label_map: LabelMap
) -> Iterator[Example]:
    """The example of a pair and its augmented copies: a pure function of its arguments.

    The pair is resized once; one example is in memory at a time.

    Args:
        pair: As decoded.
        key: The example's.
        filename: The source's base name.
        copies: How many to make, besides the example itself, which comes first.
        config: Size, augmentation and encoding.
        label_map: The classes.
    """
    resized = resize_pair(pair, config, label_map)
    yield make_example(resized, key, filename, None, config, label_map)
    for variant in range(1, copies + 1):
        chosen = augment.choose(
            *(config.augmentation, config.seed, key, variant),
            *(resized.mask, label_map.num_classes),
        )
        yield make_example(resized, key, filename, chosen, config, label_map)


def resize_pair(pair: Pair, config: ExampleConfig, label_map: LabelMap) -> Pair:
    """The pair at the stored size, which all its variants are made of."""
    placement = resize.place((pair.mask.shape[0], pair.mask.shape[1]), config.size, config.resize)
    image = resize.resize_image(pair.image, placement)
    mask = resize.resize_mask(pair.mask, placement, label_map.ignore_id)
    return replace(pair, image=image, mask=mask)


def make_example(
    resized: Pair,
    key: str,
    filename: str,
    augmentation: Augmentation | None,
    config: ExampleConfig,
    label_map: LabelMap,
) -> Example:
    """Augments a pair of the stored size (None: not at all) and encodes it."""
    image, mask = resized.image, resized.mask
    if augmentation is not None:
        image, mask = augment_pixels.apply(augmentation, image, mask, label_map.ignore_id)
    counts = count_pixels(mask, label_map)
    record = Record(
        image=encode_image(image, config),
        image_format=config.image_format,
        mask=encode_mask(mask),
        height=image.shape[0],
        width=image.shape[1],
        channels=3,
        filename=filename,
        source_id=key,
    )
    return Example(record, counts, mask.size - sum(counts), augmentation)


def count_pixels(mask: NDArray[Any], label_map: LabelMap) -> list[int]:
    """Pixels by class id; ignored ones are left out."""
    counts = np.bincount(mask.ravel(), minlength=label_map.num_classes)
    return [int(n) for n in counts[: label_map.num_classes]]


def encode_image(image: NDArray[np.uint8], config: ExampleConfig) -> bytes:
    """JPEG or PNG bytes of a uint8 [height, width, 3] image."""
    buffer = io.BytesIO()
    if config.image_format == "jpeg":
        Image.fromarray(image).save(buffer, "JPEG", quality=config.jpeg_quality)
    else:
        Image.fromarray(image).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _about(what: str, read: Any) -> Any:
    try:
        return read()
    except RejectError as error:
        message = str(error)
        named = message.startswith(f"{what}: ")
        raise RejectError(error.code, message if named else f"{what}: {message}") from error


def _size(array: NDArray[Any]) -> str:
    return f"{array.shape[0]}x{array.shape[1]}"
