"""The images themselves in the exported tree: copied or linked, if they are still the same."""

import errno
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from segflow import hashing
from segflow.data.config import DecodeLimits
from segflow.data.decode import PERMANENT_ERRORS
from segflow.data.pair import read_source
from segflow.errors import JobError, RejectCode, RejectError
from segflow.export.config import Placing
from segflow.export.rows import Row


@dataclass(frozen=True)
class Pictures:
    """Brings images into a tree.

    Attributes:
        tree: The tree.
        folder: Where images lie in it, relative to the tree.
        placing: How they come there; None: not at all. Out of a pack they are always copied.
        limits: Of each run: what it took is not too large now.
    """

    tree: Path
    folder: str
    placing: Placing | None
    limits: Mapping[str, DecodeLimits]

    def place(self, row: Row) -> str | None:
        """Copies or links an image.

        Returns:
            Its path relative to the tree; None where images stay where they are.

        Raises:
            RejectError: The image is gone, or is not what was labelled any more.
            JobError: It lies on another disk, where a hard link cannot lead.
        """
        if self.placing is None:
            return None
        relative = f"{self.folder}/{row.file_name}"
        target = self.tree / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        if row.image_part is not None:
            _unpack(row.uri, row.image_part, self.limits[row.run], target)
        elif not Path(row.uri).is_file():
            raise RejectError(RejectCode.MISSING_IMAGE, "gone since it was labelled")
        elif self.placing == "link":
            _link(row.uri, target)
        else:
            _copy(row.uri, target)
        if hashing.sha256_file(target) != row.stored["image_sha256"]:
            target.unlink()
            raise RejectError(RejectCode.SOURCE_CHANGED, "has changed since it was labelled")
        return relative


def _unpack(uri: str, part: str, limits: DecodeLimits, target: Path) -> None:
    data = read_source(uri, (None, None), limits, "image", part)
    with target.open("xb") as copy:
        copy.write(data)


def _copy(source: str, target: Path) -> None:
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        # Of the image; a target that cannot be written concerns all.
        if error.errno not in PERMANENT_ERRORS or error.filename != source:
            raise
        raise RejectError(RejectCode.UNREADABLE, f"cannot be opened: {error.strerror}") from error


def _link(source: str, target: Path) -> None:
    try:
        os.link(Path(source).resolve(), target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        raise JobError(
            f"--link-images: {source} lies on another disk than --output; choose --copy-images"
        ) from error
