"""A drawn data set, ingested in this process."""

from pathlib import Path
from typing import Any

from rich.console import Console

from segflow.data.command import ingest
from segflow.data.config import IngestConfig
from segflow.dataset import Dataset
from segflow.drawing import draw_dataset


def drawn_dataset(
    folder: Path, examples: int, size: tuple[int, int], *, broken: bool, **options: Any
) -> Dataset:
    """Draws into `folder` and ingests at the size of the drawings.

    Args:
        folder: Gets `drawn/` and `dataset/`.
        examples: Pairs to draw.
        size: (height, width) in pixels.
        broken: Whether some files are broken on purpose.
        **options: Further ones of `IngestConfig`.
    """
    drawn = draw_dataset(folder / "drawn", examples=examples, size=size, broken=broken)
    config = IngestConfig(
        images=str(drawn.images),
        masks=str(drawn.masks),
        label_map=str(drawn.label_map),
        output=str(folder / "dataset"),
        image_size=f"{size[0]}x{size[1]}",
        **options,
    )
    ingest(config, ("--direct_running_mode=in_memory",), Console(quiet=True))
    return Dataset.load(config.output)
