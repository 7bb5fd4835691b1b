"""Options of `segflow evaluate`."""

from dataclasses import dataclass, field
from typing import Any

from segflow import storage
from segflow.data.config import Annotators, DecodeLimits
from segflow.data.patterns import parse_mask_pattern
from segflow.errors import UsageError
from segflow.label.windows import Windows, WindowsMode
from segflow.ranges import require_range
from segflow.train.bundle import Tta


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Scores a model on a dataset split, or on raw image/mask pairs at their own size."""

    model: str
    """Model bundle, as written by segflow train."""
    dataset: str | None = None
    """Dataset whose split to score on; else --images and --masks."""
    split: str = "val"
    """Split of --dataset; augmented copies are left out."""
    images: str | None = None
    """Folder of raw images, with its subfolders; glob; or a layout's root."""
    masks: str | None = None
    """Folder or glob of raw masks, paired with --images by stem."""
    mask_pattern: str | None = None
    """How masks are named otherwise than their images; see segflow ingest."""
    annotators: Annotators | None = None
    """What several masks of one raw image mean; see segflow ingest. None: the image is rejected
    as duplicate_key."""
    root: str | None = None
    """For a manifest: folder that relative entries start from; see segflow ingest."""
    layout: str = "auto"
    """How raw images and masks are laid out; see segflow ingest."""
    output: str
    """Folder to write metrics, per-image scores and the report to."""
    tta: Tta = "none"
    """Test-time augmentation: flip averages over the image and its mirror image (twice the work);
    flip_scale also over both at 0.75 and 1.25 times their size (twelve times)."""
    windows: WindowsMode = "auto"
    """Windows that slide over images and are blended; see segflow label. Above --limits images are
    too_large in any case."""
    window_overlap: float = 0.25
    """Share of a window that its neighbour sees, too, 0 to 0.5."""
    batch_size: int = 8
    """Images the model sees at once; the last batch is padded."""
    worker_threads: int = 2
    """Batches a worker process has in hand at once, each on one thread."""
    shard_size: int = 256
    """Raw pairs a shard; a dataset's shards are taken as they are."""
    limits: DecodeLimits = field(default_factory=DecodeLimits)
    max_reject_fraction: float = 0.05
    """Share of the inputs that may be rejected; above it nothing is committed (exit code 3)."""

    def __post_init__(self) -> None:
        require_range("--max-reject-fraction", self.max_reject_fraction, 0, 1)
        Windows(self.windows, self.window_overlap)  # says what is wrong with them
        if (self.dataset is None) == (self.images is None):
            raise UsageError(
                "give either --dataset (and --split) or --images (and --masks), "
                f"found {'neither' if self.dataset is None else 'both'}"
            )
        if self.mask_pattern is not None:
            parse_mask_pattern(self.mask_pattern)
        for name in ("batch_size", "worker_threads", "shard_size"):
            if getattr(self, name) < 1:
                flag = f"--{name.replace('_', '-')}"
                raise UsageError(f"{flag} must be 1 or more, found {getattr(self, name)}")

    def recorded(self) -> dict[str, Any]:
        """What decides the scores, besides the model."""
        raw = ("images", "masks", "mask_pattern", "annotators", "root", "layout")
        names = ("dataset", "split") if self.dataset is not None else raw
        values = {name: getattr(self, name) for name in names}
        for name in ("dataset", "images", "masks", "root"):
            if values.get(name) is not None:
                values[name] = storage.absolute(values[name])
        return values | {
            "tta": self.tta,
            "windows": self.windows,
            "window_overlap": self.window_overlap,
            "batch_size": self.batch_size,
            "limits": vars(self.limits),
        }
