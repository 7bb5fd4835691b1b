"""Options of `segflow ingest`."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal

from segflow import storage
from segflow.data.augment_config import AugmentationConfig
from segflow.data.patterns import parse_mask_pattern
from segflow.data.reading import ReadingConfig
from segflow.data.splits import parse_group_pattern
from segflow.data.tiles import TileConfig
from segflow.dataset import ResizePolicy
from segflow.errors import UsageError
from segflow.ranges import require_range

MaskResize = Literal["nearest", "majority"]
Annotators = Literal["first", "majority"]

# Pillow refuses to open anything larger, whatever the caller allows.
LARGEST_DECODED = 2 * 89_478_485
_LARGEST_JPEG = 65_500  # pixels a side, by libjpeg


@dataclass(frozen=True)
class DecodeLimits:
    """What one file may cost; sizes are read from its header before anything is decoded."""

    max_pixels: int = 80_000_000
    """Largest image or mask, in pixels; above it an input is rejected as too_large."""
    max_bytes: int = 256 * 1024 * 1024
    """Largest image or mask file, in bytes; above it an input is rejected as too_large."""
    decode_seconds: float = 60.0
    """Longest time that decoding or drawing one file may take, in seconds; above it an input is
    rejected as decoder_timeout."""

    def __post_init__(self) -> None:
        require_range("--limits.decode-seconds", self.decode_seconds, 0.001, 86_400)
        if not 1 <= self.max_pixels <= LARGEST_DECODED:
            raise UsageError(
                f"--limits.max-pixels must be 1 to {LARGEST_DECODED} (Pillow's own limit), "
                f"found {self.max_pixels}"
            )
        if self.max_bytes < 1:
            raise UsageError(f"--limits.max-bytes must be at least 1, found {self.max_bytes}")

    @classmethod
    def recorded(cls, config: Mapping[str, Any]) -> "DecodeLimits":
        """The caps that the config in a record names; those by default where it names none.

        Raises:
            UsageError: They make no sense.
        """
        try:
            return cls(**config.get("limits", {}))
        except TypeError as error:
            raise UsageError(
                f"a record's limits make no sense: {error}; restore the record"
            ) from error


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
    tile: TileConfig = field(default_factory=TileConfig)
    augment_copies: int = 0
    """Augmented copies of every training example, besides the example itself."""
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
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
        if self.augment_copies and not self.augmentation.operations:
            raise UsageError(
                f"--augment-copies {self.augment_copies} with --augmentation.preset "
                f"{self.augmentation.preset} would store copies that change nothing; choose "
                "another preset or give a probability"
            )

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return parse_image_size(self.image_size)

    @classmethod
    def from_recorded(cls, config: Mapping[str, Any]) -> "ExampleConfig":
        """Reads the settings of examples out of the `config` that `dataset.json` records.

        Raises:
            TypeError: A setting is missing, or of another version.
            UsageError: One is not sound.
        """
        named = {f.name: f.type for f in fields(ExampleConfig) if f.name in config}
        return ExampleConfig(**{name: restored(t, config[name]) for name, t in named.items()})


@dataclass(frozen=True, kw_only=True)
class PlacesConfig:
    """Where images, masks and classes are found, and where the dataset goes."""

    images: str
    """Folder of images, with its subfolders; glob such as 'data/*.jpg'; a layout's root; or a
    manifest (CSV, JSONL, Parquet)."""
    masks: str | None = None
    """Folder or glob of masks, paired with --images by stem; for COCO: which annotation files; a
    layout may do without."""
    mask_pattern: str | None = None
    """Regular expression that fits the whole of a mask's path without extension; what its
    parentheses match is the image's, as in '(.+)_mask'. Both may then lie in one folder."""
    annotators: Annotators | None = None
    """What several masks of one image mean, in the layouts paired and manifest: first takes the
    first by address, majority the class that most chose, pixel by pixel (ties are ignored). None:
    the image is rejected as duplicate_key."""
    root: str | None = None
    """For a manifest: folder that relative entries start from (none: the list's folder);
    if it is given, nothing outside it is read."""
    output: str
    """Folder to write the dataset to."""
    layout: str = "auto"
    """How images, masks and splits are laid out: auto, paired, camvid, voc, cityscapes, ade20k,
    coco, labelme, cvat, manifest, tar, parquet, tfrecord, or one that another package adds."""
    label_map: str | None = None
    """Label map as JSON, YAML, or CVAT's labelmap.txt; none: the layout's own."""
    splits: str | None = None
    """Shares, by hash of the group or key; none: the layout's own, or
    train=0.8,val=0.1,test=0.1."""


@dataclass(frozen=True, kw_only=True)
class SplitsConfig:
    """Which images must not be told apart by the splits, and what becomes of leaks."""

    group_pattern: str | None = None
    """Regular expression on the key; what its parentheses match (a video, a patient) stays in one
    split; none: the layout's own groups."""
    stratify: bool = False
    """With --splits: give every split its share of every class, groups kept whole. All pairs are
    read beforehand, and data added later may move others to another split."""
    duplicates: Literal["keep", "drop", "fail"] = "keep"
    """Images that occur more than once: keep and report them; drop all but one, which reads every
    pair beforehand; or fail."""
    near_duplicates: int | None = None
    """Count images as duplicates, too, whose perceptual hashes (of 64 bits) differ in so many bits
    at most, 0 to 8; 4 finds copies that were scaled or compressed. None: exact copies alone."""

    def __post_init__(self) -> None:
        if self.group_pattern is not None:
            parse_group_pattern(self.group_pattern)
        if self.near_duplicates is not None:
            require_range("--near-duplicates", self.near_duplicates, 0, 8)

    @property
    def needs_survey(self) -> bool:
        """Whether every pair must be read before the plan is final."""
        return self.stratify or self.duplicates != "keep"


@dataclass(frozen=True, kw_only=True)
class IngestConfig(ExampleConfig, SplitsConfig, PlacesConfig):
    """Raw images + masks to resized, validated, augmented TFRecord shards."""

    shard_size: int = 256
    """Examples a TFRecord file."""
    max_reject_fraction: float = 0.05
    """Share of the inputs that may be rejected; above it nothing is committed (exit code 3)."""

    def __post_init__(self) -> None:
        ExampleConfig.__post_init__(self)
        SplitsConfig.__post_init__(self)
        if self.mask_pattern is not None:
            parse_mask_pattern(self.mask_pattern)
        if self.splits is not None:
            parse_splits(self.splits)
        elif self.stratify:
            raise UsageError(
                "--stratify needs --splits, such as --splits train=0.8,val=0.1,test=0.1: a data "
                "set's own splits are left out"
            )
        require_range("--max-reject-fraction", self.max_reject_fraction, 0, 1)
        if self.shard_size < 1:
            raise UsageError(f"--shard-size must be 1 or more, found {self.shard_size}")

    def recorded(self) -> dict[str, Any]:
        """What decides the dataset's bytes: all but where it goes and when it is refused."""
        whole = replace(self, augmentation=self.augmentation.resolved())  # presets may change
        config = json.loads(json.dumps(asdict(whole)))  # tuples become lists, as when read back
        for name in ("output", "max_reject_fraction"):
            del config[name]
        for name in ("images", "masks", "root", "label_map"):
            if config[name] is not None:
                config[name] = storage.absolute(config[name])
        return config


def restored(kind: Any, value: Any) -> Any:
    """A setting as it was before JSON: sections are dataclasses, lists tuples."""
    if isinstance(kind, type) and is_dataclass(kind):
        return kind(**{name: restored(None, part) for name, part in value.items()})
    return tuple(value) if isinstance(value, list) else value


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
