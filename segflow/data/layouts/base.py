"""The interface of a layout: one small class, which says what is an image and what a mask."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from segflow.data.listing import Listed
from segflow.label_map import LabelMap


@dataclass(frozen=True)
class SourceFile:
    """An image or a mask of a data set; the two with one `key` are a pair.

    `split` is None where the layout has no splits of its own.
    """

    role: Literal["image", "mask"]
    file: Listed
    key: str
    split: str | None = None


class Layout(Protocol):
    """How a data set's folders are read."""

    @property
    def name(self) -> str:
        """What `--layout` calls it."""

    def recognise(self, images: str, masks: str | None) -> str | None:
        """Why these folders look like this layout; None if they don't."""

    def sources(self, images: str, masks: str | None) -> Iterator[SourceFile]:
        """Every image and mask.

        Raises:
            UsageError: A folder is missing.
        """

    def label_map(self) -> LabelMap | None:
        """The layout's own label map, if it has one."""


def has_own_masks(images: str, masks: str | None) -> bool:
    """Whether `--masks` names another place than `--images`."""
    return masks is not None and Path(masks) != Path(images)
