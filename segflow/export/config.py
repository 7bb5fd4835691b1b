"""The options of `segflow export`."""

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from segflow.errors import UsageError

ExportFormat = Literal["png", "coco", "voc", "cvat"]
Placing = Literal["copy", "link"]
"""How an image comes into the exported tree."""


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Masks of labelled images as files: for labelling tools, and back through ingest."""

    labels: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="LABELS")]
    """Folder that segflow label wrote: what its newest model says now; or LABELS/runs/RUN.json."""
    format: ExportFormat
    """png: masks of class ids; coco: one run-length object for each class of an image; voc:
    palette masks; cvat: masks in the classes' colours, as CVAT's mask export has them."""
    output: Annotated[str, tyro.conf.arg(metavar="FOLDER")]
    """Folder to write; it must be empty, or not be there."""
    run: Annotated[str | None, tyro.conf.arg(metavar="RUN")] = None
    """Export what this run wrote, whatever came after it; none: what holds now."""
    images_from: Annotated[str | None, tyro.conf.arg(metavar="LIST")] = None
    """Export only images that a list names: CSV, JSONL or Parquet with a column image_uri or
    image; none: all."""
    review_only: bool = False
    """Export only the images of the newest review list that segflow label has left."""
    copy_images: bool = False
    """Copy the images, too; one that is gone or has changed since is left out, and that is said."""
    link_images: bool = False
    """As --copy-images, but with hard links, which take no room and need one disk for both."""
    color_masks: bool = False
    """png: write the masks in the classes' colours, too, to look at."""

    def __post_init__(self) -> None:
        if self.review_only and self.images_from is not None:
            raise UsageError("--review-only is a list of its own; leave out --images-from")
        if self.copy_images and self.link_images:
            raise UsageError("--copy-images and --link-images exclude each other; choose one")
        if self.color_masks and self.format != "png":
            raise UsageError(
                f"--color-masks is for --format png, found {self.format}; leave it out"
            )

    @property
    def placing(self) -> Placing | None:
        """How images come into the tree; None: not at all."""
        return "copy" if self.copy_images else "link" if self.link_images else None
