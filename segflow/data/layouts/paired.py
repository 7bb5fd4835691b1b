"""Two folders, or one with two patterns: image and mask share a stem."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from segflow.data.layouts.base import SourceFile, SourcePaths
from segflow.data.listing import list_files
from segflow.data.patterns import captured, parse_mask_pattern
from segflow.errors import UsageError
from segflow.label_map import LabelMap


@dataclass(frozen=True)
class Paired:
    """`--images a/ --masks b/`, or `--images 'd/*.jpg' --masks 'd/*_mask.png'`.

    The key is the path relative to the folder without extension, or what the wildcards match; of a
    mask, with `--mask-pattern`, what its parentheses match in that.
    """

    name: str = "paired"

    def recognise(self, paths: SourcePaths) -> str | None:
        """Any two places are paired by stem; a JSON file holds annotations, not masks."""
        masks = paths.masks or ""
        if paths.mask_pattern is not None:
            return "--mask-pattern is given"
        return "--masks is given" if paths.has_own_masks and not masks.endswith(".json") else None

    def sources(self, paths: SourcePaths) -> Iterator[SourceFile]:
        """Images and masks; in one folder, the masks are those that `--mask-pattern` fits."""
        if paths.mask_pattern is not None:
            yield from _by_pattern(paths, parse_mask_pattern(paths.mask_pattern))
            return
        if paths.masks is None or not paths.has_own_masks:
            raise UsageError(
                f"layout paired: expected --masks with another folder than --images, found "
                f"{paths.masks or 'none'}; where both lie in one folder, give two globs such as "
                "--images 'data/*.jpg' --masks 'data/*_mask.png', or --mask-pattern '(.+)_mask'"
            )
        for file in list_files(paths.images, "--images"):
            yield SourceFile("image", file, file.key)
        for file in list_files(paths.masks, "--masks"):
            yield SourceFile("mask", file, file.key)

    def label_map(self, paths: SourcePaths) -> LabelMap | None:
        """None: two folders say nothing of their classes."""
        return None


def _by_pattern(paths: SourcePaths, pattern: re.Pattern[str]) -> Iterator[SourceFile]:
    """Masks are files whose whole key the pattern matches; others beside them are left alone."""
    for file in list_files(paths.images, "--images"):
        if paths.has_own_masks or not pattern.fullmatch(file.key):
            yield SourceFile("image", file, file.key)
    for file in list_files(paths.masks or paths.images, "--masks"):
        if match := pattern.fullmatch(file.key):
            yield SourceFile("mask", file, captured(match))
