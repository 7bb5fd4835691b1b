"""Options of `segflow label`."""

from dataclasses import dataclass, field
from typing import Any

from segflow import storage
from segflow.data.config import DecodeLimits
from segflow.data.mask_formats import MaskFormat
from segflow.errors import UsageError
from segflow.label.prediction import UNCERTAIN_BELOW
from segflow.ranges import require_range
from segflow.train.bundle import Tta

_LONGEST_REVIEW = 1000  # images; their pictures are all on one page


@dataclass(frozen=True, kw_only=True)
class LabelConfig:
    """Segments every image of a collection: masks and class areas, as Parquet."""

    model: str
    """Model bundle, as written by segflow train."""
    images: str
    """Folder of images, with its subfolders, or glob such as 'photos/**/*.jpg'."""
    output: str
    """Folder of labels; a second run into it labels only what is new or changed."""
    mask_format: MaskFormat = "png"
    """png: class ids; rle: COCO run lengths, one for each class, as JSON; none: areas only."""
    tta: Tta = "none"
    """Test-time augmentation: flip averages over the image and its mirror image (twice the work);
    flip_scale also over both at 0.75 and 1.25 times their size (twelve times)."""
    uncertain_below: float = UNCERTAIN_BELOW
    """Pixels whose largest class probability is below this count as uncertain."""
    count_regions: bool = False
    """Counts the connected regions of each class in each image, for the areas table."""
    review: int = 50
    """Images of the review list, the least certain of the run; 0: no list."""
    batch_size: int = 8
    """Images the model sees at once; the last batch is padded."""
    worker_threads: int = 2
    """Batches a worker process has in hand at once, each on one thread; changes no result."""
    shard_size: int = 256
    """Images a shard: what is lost at most when a worker dies, and rows of a part file."""
    limits: DecodeLimits = field(default_factory=DecodeLimits)
    max_reject_fraction: float = 0.05
    """Share of the images that may be rejected; above it nothing is committed (exit code 3)."""

    def __post_init__(self) -> None:
        require_range("--max-reject-fraction", self.max_reject_fraction, 0, 1)
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
            "mask_format": self.mask_format,
            "tta": self.tta,
            "uncertain_below": self.uncertain_below,
            "count_regions": self.count_regions,
            "batch_size": self.batch_size,
            "shard_size": self.shard_size,
            "limits": vars(self.limits),
        }
