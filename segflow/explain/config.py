"""The options of `segflow explain`."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from segflow.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class ExplainConfig:
    """Where a row of a table comes from, back to the first sources; and makes it again."""

    folder: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
    """Labels, a dataset, an evaluation, or a model bundle, which needs no row."""
    image: Annotated[str | None, tyro.conf.arg(metavar="URI")] = None
    """Labels, evaluation: the row of this image, by its image_uri."""
    run: Annotated[str | None, tyro.conf.arg(metavar="RUN")] = None
    """Labels: the row that this run wrote; none: the newest of the image."""
    key: Annotated[str | None, tyro.conf.arg(metavar="KEY")] = None
    """Dataset, evaluation: the row of this key."""
    variant: int = 0
    """Dataset: which copy of the key; 0 is the example without augmentation."""
    again: bool = False
    """Make the row again, with the same model and settings, and compare bit by bit; the exit code
    is 1 if it differs, or cannot be made."""
    model: Annotated[str | None, tyro.conf.arg(metavar="MODEL")] = None
    """Where the model bundle lies now; none: where it lay then."""
    json: bool = False
    """Print all of it as JSON."""

    def __post_init__(self) -> None:
        if self.image is not None and self.key is not None:
            raise UsageError("--image and --key both name a row; give one of them")
        if self.run is not None and self.image is None:
            raise UsageError("--run chooses among the rows of an image; name that with --image")
