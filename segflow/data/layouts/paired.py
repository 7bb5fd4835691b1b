"""Two folders, or one with two patterns: image and mask share a stem."""

from collections.abc import Iterator
from dataclasses import dataclass

from segflow.data.layouts.base import SourceFile, has_own_masks
from segflow.data.listing import list_files
from segflow.errors import UsageError
from segflow.label_map import LabelMap


@dataclass(frozen=True)
class Paired:
    """`--images a/ --masks b/`, or `--images 'd/*.jpg' --masks 'd/*_mask.png'`.

    The key is the path relative to the folder without extension, or what the wildcards match.
    """

    name: str = "paired"

    def recognise(self, images: str, masks: str | None) -> str | None:
        """Any two places are paired by stem."""
        return "--masks is given" if has_own_masks(images, masks) else None

    def sources(self, images: str, masks: str | None) -> Iterator[SourceFile]:
        """Images, then masks."""
        if masks is None or not has_own_masks(images, masks):
            raise UsageError(
                "layout paired: expected --masks with another folder than --images, or two globs "
                "such as --images 'data/*.jpg' --masks 'data/*.png'"
            )
        for file in list_files(images, "--images"):
            yield SourceFile("image", file, file.key)
        for file in list_files(masks, "--masks"):
            yield SourceFile("mask", file, file.key)

    def label_map(self) -> LabelMap | None:
        """None: two folders say nothing of their classes."""
        return None
