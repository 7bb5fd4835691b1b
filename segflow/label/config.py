"""Options of `segflow label`."""

from dataclasses import dataclass, field
from typing import Any, Literal

from segflow import storage
from segflow.data.config import DecodeLimits
from segflow.data.mask_formats import MaskFormat
from segflow.errors import UsageError
from segflow.label.prediction import UNCERTAIN_BELOW
from segflow.label.windows import Windows, WindowsMode
from segflow.ranges import GROUND_RESOLUTION, require_range
from segflow.train.bundle import Tta

ChangeDetection = Literal["time", "hash"]

_LONGEST_REVIEW = 1000  # images; their pictures are all on one page


@dataclass(frozen=True, kw_only=True)
class LabelConfig:
    """Segments every image of a collection: masks and class areas, as Parquet."""

    model: str
    """Model bundle, as written by segflow train."""
    images: str
    """Folder of images, with its subfolders; glob such as 'photos/**/*.jpg'; list (CSV, JSONL or
    Parquet with a column image, and optional key, group, ground_resolution); or packs (tar,
    TFRecord, Parquet with the images' bytes), one, a folder or a glob of them."""
    root: str | None = None
    """For a list: folder that relative entries start from (none: the list's folder);
    if it is given, nothing outside it is read."""
    output: str
    """Folder of labels; a second run into it labels only what is new or changed."""
    detect_changes: ChangeDetection = "time"
    """What makes an image a changed one: time: another size or time of modification; hash: other
    bytes (every known image of equal size is read). A pack's images change with the pack."""
    mask_format: MaskFormat = "png"
    """png: class ids; rle: COCO run lengths, one for each class, as JSON; none: areas only."""
    ground_resolution: float | None = None
    """Side of a pixel in metres, of images at their own size, for areas in square metres; for
    images whose size on the ground neither the list nor a GeoTIFF says."""
    tta: Tta = "none"
    """Test-time augmentation: flip averages over the image and its mirror image (twice the work);
    flip_scale also over both at 0.75 and 1.25 times their size (twelve times)."""
    windows: WindowsMode = "auto"
    """Windows that slide over images and are blended. auto: for a model trained on crops or tiles,
    and for TIFFs above --limits, read by rows at their own scale; always: for all images, at their
    own scale; never: images are only resized, and those above --limits are too_large."""
    window_overlap: float = 0.25
    """Share of a window that its neighbour sees, too, 0 to 0.5; 0 may leave seams."""
    uncertain_below: float = UNCERTAIN_BELOW
    """Pixels whose largest class probability is below this count as uncertain."""
    count_regions: bool = False
    """Counts the connected regions of each class in each image, for the areas table."""
    review: int = 50
    """Images of the review list, the least certain of the run; 0: no list."""
    batch_size: int = 8
    """Images the model sees at once; the last batch is padded."""
    worker_threads: int = 2
    """Batches a worker process has in hand at once, each on one thread: while one is in the model,
    others are decoded or encoded. Changes no result."""
    shard_size: int = 256
    """Images a shard: what is lost at most when a worker dies, and rows of a part file."""
    limits: DecodeLimits = field(default_factory=DecodeLimits)
    max_reject_fraction: float = 0.05
    """Share of the images that may be rejected; above it nothing is committed (exit code 3)."""

    def __post_init__(self) -> None:
        require_range("--max-reject-fraction", self.max_reject_fraction, 0, 1)
        if self.ground_resolution is not None:
            require_range("--ground-resolution", self.ground_resolution, *GROUND_RESOLUTION)
        Windows(self.windows, self.window_overlap)  # says what is wrong with them
        require_range("--uncertain-below", self.uncertain_below, 0, 1)
        require_range("--review", self.review, 0, _LONGEST_REVIEW)
        for name in ("batch_size", "worker_threads", "shard_size"):
            if getattr(self, name) < 1:
                flag = f"--{name.replace('_', '-')}"
                raise UsageError(f"{flag} must be 1 or more, found {getattr(self, name)}")

    def recorded(self) -> dict[str, Any]:
        """What decides the labels' bytes, besides the model."""
        return {
            "images": storage.absolute(self.images),
            "root": self.root and storage.absolute(self.root),
            "mask_format": self.mask_format,
            "ground_resolution": self.ground_resolution,
            "tta": self.tta,
            "windows": self.windows,
            "window_overlap": self.window_overlap,
            "uncertain_below": self.uncertain_below,
            "count_regions": self.count_regions,
            "batch_size": self.batch_size,
            "shard_size": self.shard_size,
            "limits": vars(self.limits),
        }
