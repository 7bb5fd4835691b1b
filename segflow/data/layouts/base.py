"""The interface of a layout: one small class, which says what is an image and what a mask."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

from segflow import storage
from segflow.data.listing import Listed
from segflow.errors import UsageError
from segflow.label_map import LabelMap

Role = Literal["image", "mask"]


@dataclass(frozen=True)
class SourceFile:
    """An image or a mask of a data set; the two with one `key` are a pair.

    Attributes:
        role: What the file is.
        file: Where it lies. A mask that is drawn from annotations has their file, and as `bytes`
            what its annotation weighs.
        key: Relative to the root, without extension.
        split: None where the data set does not say.
        annotation: For a mask: what to draw, or how to read the file; see
            `segflow.data.annotations`. None: the file holds values or colours.
        near: Files with one such name are read together, and so stay neighbours in the plan.
        group: What must not straddle splits: a video, a patient, a flight. None: the image
            stands alone.
        ground_resolution: For an image: side of a pixel in metres. None: what the file says.
    """

    role: Role
    file: Listed
    key: str
    split: str | None = None
    annotation: str | None = None
    near: str | None = None
    group: str | None = None
    ground_resolution: float | None = None


@dataclass(frozen=True)
class SourcePaths:
    """Where a data set lies.

    Attributes:
        images: `--images`.
        masks: `--masks`.
        root: `--root`.
        mask_pattern: `--mask-pattern`.
    """

    images: str
    masks: str | None = None
    root: str | None = None
    mask_pattern: str | None = None

    @property
    def has_own_masks(self) -> bool:
        """Whether `--masks` names another place than `--images`."""
        return self.masks is not None and Path(self.masks) != Path(self.images)

    def absolute(self) -> "SourcePaths":
        """The same, so that a file has one address from wherever the command is run."""
        given = (self.images, self.masks, self.root)
        images, masks, root = (p and storage.absolute(p) for p in given)
        return replace(self, images=images or "", masks=masks, root=root)


class Layout(Protocol):
    """How a data set's folders are read."""

    @property
    def name(self) -> str:
        """What `--layout` calls it."""

    def recognise(self, paths: SourcePaths) -> str | None:
        """Why this looks like the layout; None if it doesn't."""

    def sources(self, paths: SourcePaths) -> Iterator[SourceFile]:
        """Every image and mask.

        Raises:
            UsageError: A folder is missing.
        """

    def label_map(self, paths: SourcePaths) -> LabelMap | None:
        """The layout's own label map, if it has one."""


def require_no_masks(layout: str, paths: SourcePaths) -> Path:
    """The root of a data set that holds its masks.

    Raises:
        UsageError: `--masks` names another place, or there is no such folder.
    """
    if paths.has_own_masks:
        raise UsageError(
            f"layout {layout}: the masks lie in --images {paths.images}; found --masks "
            f"{paths.masks}; leave it out"
        )
    if not Path(paths.images).is_dir():
        raise UsageError(f"--images {paths.images}: no such folder")
    return Path(paths.images)


def canonical_split(name: str) -> str | None:
    """The usual name of a split that a data set calls `train2017`, `Training` or `Validation`.

    None for CVAT's `default`, which stands for no split at all.
    """
    plain = re.sub(r"_?(19|20)\d\d$", "", name.lower()) or name.lower()
    return {
        "training": "train",
        "valid": "val",
        "validation": "val",
        "testing": "test",
        "default": None,
    }.get(plain, plain)


def read_lines(path: Path) -> list[str]:
    """The lines of a list file, without blank ones.

    Raises:
        UsageError: It cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from error
    return [stripped for line in lines if (stripped := line.strip())]
