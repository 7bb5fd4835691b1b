"""One image/mask pair: read, checked, resized, augmented, encoded. Pure but for reading."""

import functools
import hashlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from segflow.data import annotations, augment, augment_pixels, contained, packs, resize
from segflow.data.annotations import MaskSource
from segflow.data.annotators import each_mask, majority
from segflow.data.augment import Augmentation
from segflow.data.config import DecodeLimits, ExampleConfig
from segflow.data.decode import read_bytes
from segflow.data.masks import encode_mask, raw_to_ids
from segflow.data.reading import AS_SHOWN, ReadingConfig
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
        ground_resolution: Side of a pixel in metres; None where the file does not say.
    """

    image: NDArray[np.uint8]
    mask: NDArray[Any]
    image_sha256: str
    ground_resolution: float | None = None


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
    read = functools.partial(read_bytes, path, limits)
    if part is not None:
        read = functools.partial(_read_part, packs.from_json(part), limits, what)
    _require_as_planned(path, planned, what, part)
    data = about(what, read)
    _require_as_planned(path, planned, what, part)  # nor while it was read
    return data


def _read_part(part: packs.Part, limits: DecodeLimits, what: str) -> bytes:
    data = packs.read_part(part, limits)
    if data is None:
        code = RejectCode.MISSING_IMAGE if what == "image" else RejectCode.MISSING_MASK
        raise RejectError(code, f"{part.pack.path} has none for it")
    return data


def require_unchanged(row: Mapping[str, Any], what: str) -> None:
    """Compares a row's `image` or `mask` with what it was when it was listed.

    Raises:
        RejectError: It has changed since.
    """
    _require_as_planned(row[f"{what}_uri"], _planned(row, what), what, row.get(f"{what}_part"))


def _planned(row: Mapping[str, Any], what: str) -> tuple[int | None, int | None]:
    return row.get(f"{what}_bytes"), row.get(f"{what}_mtime_ns")


def _require_as_planned(
    path: str, planned: tuple[int | None, int | None], what: str, part: str | None
) -> None:
    if planned == (None, None):
        return
    if part is not None:
        pack = packs.from_json(part).pack
        path, planned = pack.path, (pack.bytes, planned[1])
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


def read_pair(
    row: Mapping[str, Any],
    label_map: LabelMap,
    limits: DecodeLimits,
    reading: ReadingConfig = AS_SHOWN,
) -> Pair:
    """Reads and checks the pair that a row of the plan addresses.

    Raises:
        RejectError: With the contract's code; the message says which of the two files.
    """
    image, sha256, resolution = read_image(row, limits, reading)
    mask = read_mask(row, (image.shape[0], image.shape[1]), label_map, limits)
    require_equal_sizes(image.shape[:2], mask.shape)
    return Pair(image, mask, sha256, resolution)


def read_image(
    row: Mapping[str, Any], limits: DecodeLimits, reading: ReadingConfig = AS_SHOWN
) -> tuple[NDArray[np.uint8], str, float | None]:
    """Reads the image that a row of a plan addresses.

    Returns:
        RGB uint8 [height, width, 3], orientation applied; SHA-256 of the file's bytes in hex;
        and the ground resolution.

    Raises:
        RejectError: It has changed since it was listed, or cannot be decoded.
    """
    part = row.get("image_part")
    data = read_source(row["image_uri"], _planned(row, "image"), limits, "image", part)
    image = about("image", lambda: contained.decode_rgb(data, limits, reading))
    return image, hashlib.sha256(data).hexdigest(), contained.ground_resolution(data, limits)


def read_mask(
    row: Mapping[str, Any], image_size: tuple[int, int], label_map: LabelMap, limits: DecodeLimits
) -> NDArray[Any]:
    """Reads, or draws, the mask that a row of the plan addresses: ids [height, width].

    A row of several masks means what most of their annotators chose (`segflow.data.annotators`).

    Raises:
        RejectError: With the contract's code.
    """
    if row.get("mask_uris"):
        read = functools.partial(_mask_of_file, image_size=image_size, label_map=label_map)
        masks = [
            about(f"mask {single['mask_uri']}", functools.partial(read, single, limits=limits))
            for single in each_mask(row)
        ]
        return majority(masks, label_map)
    if annotation := row.get("annotation"):
        drawn = MaskSource(lambda: _mask_bytes(row, limits), image_size, label_map, limits)
        return about("mask", lambda: annotations.mask_of(annotation, drawn))
    return _mask_of_file(row, image_size, label_map, limits)


def _mask_bytes(row: Mapping[str, Any], limits: DecodeLimits) -> bytes:
    return read_source(row["mask_uri"], _planned(row, "mask"), limits, "mask", row.get("mask_part"))


def _mask_of_file(
    row: Mapping[str, Any], image_size: tuple[int, int], label_map: LabelMap, limits: DecodeLimits
) -> NDArray[Any]:
    data = _mask_bytes(row, limits)
    raw = about("mask", lambda: contained.decode_raw_mask(data, limits))
    require_equal_sizes(image_size, raw.shape[:2])  # what its values are matters less
    return about("mask", lambda: raw_to_ids(raw, label_map))


def require_equal_sizes(image: Sequence[int], mask: Sequence[int]) -> None:
    """Raises `RejectError` if two sizes (height, width) differ."""
    if tuple(image) != tuple(mask):
        raise RejectError(
            RejectCode.SIZE_MISMATCH,
            f"image {image[0]}x{image[1]} and mask {mask[0]}x{mask[1]} (height x width, each "
            "after its own EXIF orientation) differ",
        )


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
    mask = resize.resize_mask(pair.mask, placement, label_map.ignore_id, config.mask_resize)
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


def about(what: str, read: Callable[[], Any]) -> Any:
    """What `read` returns; the message of its `RejectError` begins with `what` file it means."""
    try:
        return read()
    except RejectError as error:
        message = str(error)
        named = message.startswith(f"{what}: ")
        raise RejectError(error.code, message if named else f"{what}: {message}") from error
