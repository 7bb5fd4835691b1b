"""Options of `segflow ingest`."""

import importlib.util
import json
import re
from dataclasses import asdict, dataclass
from typing import Any, Literal

from segflow import storage
from segflow.errors import UsageError

ResizePolicy = Literal["stretch", "letterbox", "crop", "tile"]
EdgeRule = Literal["pad", "shift", "drop"]
MaskResize = Literal["nearest", "majority"]

# Pillow refuses to open anything larger, whatever the caller allows.
_PILLOW_LIMIT = 2 * 89_478_485
_LARGEST_JPEG = 65_500  # pixels a side, by libjpeg


def require_range(flag: str, value: float, low: float, high: float) -> None:
    """Raises `UsageError` unless `low` <= `value` <= `high`."""
    if not low <= value <= high:
        raise UsageError(f"{flag} must be {low} to {high}, found {value}")


@dataclass(frozen=True)
class DecodeLimits:
    """Caps that are read from a file's size and header before anything is decoded."""

    max_pixels: int = 80_000_000
    """Largest image or mask, in pixels; above it an input is rejected as too_large."""
    max_bytes: int = 256 * 1024 * 1024
    """Largest image or mask file, in bytes; above it an input is rejected as too_large."""

    def __post_init__(self) -> None:
        if not 1 <= self.max_pixels <= _PILLOW_LIMIT:
            raise UsageError(
                f"--limits.max-pixels must be 1 to {_PILLOW_LIMIT} (Pillow's own limit), "
                f"found {self.max_pixels}"
            )
        if self.max_bytes < 1:
            raise UsageError(f"--limits.max-bytes must be at least 1, found {self.max_bytes}")


@dataclass(frozen=True)
class ReadingConfig:
    """How pixels become 8-bit RGB where a file leaves a choice."""

    bands: str | None = None
    """Bands of a TIFF that become red, green and blue, such as 4,3,2; or one that becomes grey.
    None: the first three. Needs segflow[geo]."""
    value_range: str = "0,65535"
    """LOW,HIGH: values of 16-bit grey and TIFF that become 0 and 255, evenly between; others are
    cut off there."""
    frames: Literal["first", "reject"] = "first"
    """What an animation is: its first frame, or rejected as unsupported_format."""

    def __post_init__(self) -> None:
        if self.bands is not None and len(self.chosen_bands or ()) not in (1, 3):
            raise UsageError(f"--bands must name 1 or 3 bands such as 4,3,2, found {self.bands!r}")
        if self.chosen_bands:
            require_geo("--bands")
        low, high = self.values
        if not 0 <= low < high <= 65535:
            raise UsageError(
                "--value-range must be a smaller and a larger value of 0 to 65535 such as "
                f"0,10000, found {self.value_range!r}"
            )

    @property
    def chosen_bands(self) -> tuple[int, ...] | None:
        """Numbers of the bands, from 1; None: the first three."""
        return None if self.bands is None else _integers("--bands", self.bands, least=1)

    @property
    def has_value_range(self) -> bool:
        """Whether a part of the 16 bits was chosen."""
        return self.values != (0, 65535)

    @property
    def values(self) -> tuple[int, int]:
        """Smallest and largest value of `value_range`."""
        found = _integers("--value-range", self.value_range)
        return (found[0], found[1]) if len(found) == 2 else (0, 0)


@dataclass(frozen=True)
class TileConfig:
    """How --resize tile cuts images."""

    overlap: int = 0
    """Pixels that neighbouring tiles have in common, down and across."""
    edge: EdgeRule = "pad"
    """The last tile of a row or column, if it would reach over the edge: pad what is missing
    (ignored in the mask), shift the tile inward, or drop it. A picture that is smaller than a
    tile is padded in any case."""


@dataclass(frozen=True)
class AugmentationConfig:
    """What the augmented copies of training examples go through; image and mask together."""

    flip_horizontal: float = 0.5
    """Probability of a mirror image."""
    flip_vertical: float = 0.0
    """Probability of turning upside down."""
    rotation: float = 10.0
    """Largest rotation either way, in degrees."""
    zoom: tuple[float, float] = (0.8, 1.25)
    """Smallest and largest magnification."""
    brightness: float = 0.2
    """Largest change of brightness, as a share."""
    contrast: float = 0.2
    """Largest change of contrast, as a share."""
    saturation: float = 0.2
    """Largest change of saturation, as a share."""

    def __post_init__(self) -> None:
        for name in ("flip_horizontal", "flip_vertical", "brightness", "contrast", "saturation"):
            require_range(f"--augmentation.{name.replace('_', '-')}", getattr(self, name), 0, 1)
        require_range("--augmentation.rotation", self.rotation, 0, 180)
        if not 0.05 <= self.zoom[0] <= self.zoom[1] <= 20:
            raise UsageError(
                "--augmentation.zoom must be a smaller and a larger factor between 0.05 and 20, "
                f"found {self.zoom[0]} {self.zoom[1]}"
            )


@dataclass(frozen=True, kw_only=True)
class ExampleConfig(ReadingConfig):
    """How a pair becomes stored examples."""

    image_size: str
    """HEIGHTxWIDTH of every stored image and mask, in pixels, such as 360x480."""
    resize: ResizePolicy = "stretch"
    """stretch to the size; letterbox: keep the aspect ratio and pad (padding is ignored); crop:
    keep it, fill the size and cut off what is left on two sides; tile: cut into tiles of that
    size without any scaling."""
    mask_resize: MaskResize = "nearest"
    """nearest: the mask's pixel at the centre of each new one; majority: the id that fills most of
    it."""
    tile: TileConfig = TileConfig()
    augment_copies: int = 0
    """Augmented copies of every training example, besides the example itself."""
    augmentation: AugmentationConfig = AugmentationConfig()
    image_format: Literal["jpeg", "png"] = "jpeg"
    """Format of stored images; masks are always PNG."""
    jpeg_quality: int = 95
    """Quality of stored JPEG images, 1 to 100."""
    seed: int = 0
    """Seed of splits, order and augmentation."""
    limits: DecodeLimits = DecodeLimits()

    def __post_init__(self) -> None:
        super().__post_init__()
        height, width = self.size
        if not 0 <= self.tile.overlap < min(height, width):
            raise UsageError(
                f"--tile.overlap must be 0 or more and less than a side of --image-size "
                f"{self.image_size}, found {self.tile.overlap}"
            )
        if height * width > self.limits.max_pixels or max(height, width) > _LARGEST_JPEG:
            raise UsageError(
                f"--image-size must be at most {self.limits.max_pixels} pixels "
                f"(--limits.max-pixels) and {_LARGEST_JPEG} a side, found {self.image_size}"
            )
        require_range("--jpeg-quality", self.jpeg_quality, 1, 100)
        if self.augment_copies < 0:
            raise UsageError(f"--augment-copies must be 0 or more, found {self.augment_copies}")

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return parse_image_size(self.image_size)


@dataclass(frozen=True, kw_only=True)
class PlacesConfig:
    """Where images, masks and classes are found, and where the dataset goes."""

    images: str
    """Folder of images, with its subfolders; glob such as 'data/*.jpg'; a layout's root; or a
    manifest (CSV, JSONL, Parquet)."""
    masks: str | None = None
    """Folder or glob of masks, paired with --images by stem; for COCO: which annotation files; a
    layout may do without."""
    root: str | None = None
    """For a manifest: folder that relative entries start from (none: the list's folder);
    if it is given, nothing outside it is read."""
    output: str
    """Folder to write the dataset to."""
    layout: str = "auto"
    """How images, masks and splits are laid out: auto, paired, camvid, voc, cityscapes, ade20k,
    coco, labelme, cvat, manifest, or one that another package adds."""
    label_map: str | None = None
    """Label map as JSON, YAML, or CVAT's labelmap.txt; none: the layout's own."""
    splits: str | None = None
    """Shares, by hash of the key; none: the layout's own, or train=0.8,val=0.1,test=0.1."""


@dataclass(frozen=True, kw_only=True)
class IngestConfig(ExampleConfig, PlacesConfig):
    """Raw images + masks to resized, validated, augmented TFRecord shards."""

    shard_size: int = 256
    """Examples a TFRecord file."""
    max_reject_fraction: float = 0.05
    """Share of the inputs that may be rejected; above it nothing is committed (exit code 3)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.splits is not None:
            parse_splits(self.splits)
        require_range("--max-reject-fraction", self.max_reject_fraction, 0, 1)
        if self.shard_size < 1:
            raise UsageError(f"--shard-size must be 1 or more, found {self.shard_size}")

    def recorded(self) -> dict[str, Any]:
        """What decides the dataset's bytes: all but where it goes and when it is refused."""
        config = json.loads(json.dumps(asdict(self)))  # tuples become lists, as when read back
        for name in ("output", "max_reject_fraction"):
            del config[name]
        for name in ("images", "masks", "root", "label_map"):
            if config[name] is not None:
                config[name] = storage.absolute(config[name])
        return config


def require_geo(flag: str) -> None:
    """Raises `UsageError` unless rasterio is installed, which `flag` needs."""
    if importlib.util.find_spec("rasterio") is None:
        raise UsageError(f"{flag} needs rasterio; install it with: pip install 'segflow[geo]'")


def _integers(flag: str, text: str, least: int = 0) -> tuple[int, ...]:
    if not re.fullmatch(r"\d{1,6}(,\d{1,6})*", text):
        raise UsageError(f"{flag} must be numbers with commas between, found {text!r}")
    found = tuple(map(int, text.split(",")))
    if min(found) < least:
        raise UsageError(f"{flag} must be {least} or more, found {text!r}")
    return found


def parse_image_size(text: str) -> tuple[int, int]:
    """Reads `HxW` in pixels.

    Raises:
        UsageError: It is no such thing.
    """
    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
    if match is None:
        raise UsageError(f"--image-size must be HEIGHTxWIDTH such as 360x480, found {text!r}")
    return int(match[1]), int(match[2])


def parse_splits(text: str) -> dict[str, float]:
    """Reads `name=share,…`; shares must add up to 1.

    Raises:
        UsageError: It is no such thing.
    """
    shares: dict[str, float] = {}
    for item in text.split(","):
        match = re.fullmatch(r"([A-Za-z][A-Za-z0-9_]*)=([0-9]*\.?[0-9]+)", item.strip())
        if match is None or match[1] in shares:
            raise UsageError(f"--splits must look like train=0.8,val=0.1,test=0.1, found {text!r}")
        shares[match[1]] = float(match[2])
    if abs(sum(shares.values()) - 1) > 1e-9:
        raise UsageError(f"--splits must add up to 1, found {sum(shares.values()):g} in {text!r}")
    return shares


AS_SHOWN = ReadingConfig()  # as a viewer would show a file
