"""What each augmentation of a dataset does: one example, each operation alone, at its largest."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segflow.data import mask_formats
from segflow.data.augment import Augmentation, strongest
from segflow.data.augment_config import AugmentationConfig
from segflow.data.augment_pixels import apply
from segflow.data.config import ExampleConfig
from segflow.dataset import Dataset
from segflow.errors import UsageError
from segflow.report import pictures
from segflow.report.pictures import Card
from segflow.report.stored import read_records
from segflow.report.tables import Tables

_SIDE = 192  # pixels; a thumbnail has a quarter of a card's width
_OF_THE_IMAGE = ("brightness", "contrast", "saturation", "hue", "grey", "blur", "noise", "jpeg")


def cards(opened: Tables, dataset: Dataset) -> Sequence[Card]:
    """The original and each operation that the dataset's copies may go through.

    The example is one that shows the most classes. Empty if there are no copies.
    """
    config = _config(dataset)
    splits = [split.name for split in dataset.splits.values() if split.examples > split.sources]
    if config is None or not splits:
        return []
    rows = opened.rows(
        "SELECT shard, position FROM index WHERE variant = 0 AND split = $split ORDER BY "
        "(SELECT count(*) FROM unnest(class_pixels) AS pixels(n) WHERE n > 0) DESC, "
        "md5($seed || key), key LIMIT 1",
        split=splits[0],
        seed=str(dataset.seed),
    )
    records = read_records(dataset.folder, rows)
    if not records or records[0] is None:
        return []
    rgb = pictures.decode_rgb(records[0].image)
    ids = mask_formats.decode(records[0].mask, "png")
    shown = [_card(dataset, rgb, ids, "original", "", Augmentation())]
    for name, operation in config.operations.items():
        alone = strongest(name, operation)
        if alone != Augmentation():
            shown.append(_card(dataset, rgb, ids, name, operation.describe(name), alone))
    return shown


def _config(dataset: Dataset) -> AugmentationConfig | None:
    """None for a dataset of another version, whose settings cannot be read."""
    try:
        return ExampleConfig.from_recorded(dataset.record["config"]).augmentation
    except (TypeError, UsageError):
        return None


def _card(
    dataset: Dataset,
    rgb: NDArray[np.uint8],
    ids: NDArray[Any],
    name: str,
    label: str,
    augmentation: Augmentation,
) -> Card:
    image, mask = apply(augmentation, rgb, ids, dataset.label_map.ignore_id)
    title = name.replace("_", " ")
    if name in _OF_THE_IMAGE:  # a mask over it would hide what happens
        return Card(title, pictures=[pictures.photo(image, f"{title} alone", label, _SIDE)])
    alt = f"{title} alone, with the mask"
    return Card(
        title, pictures=[pictures.overlay(image, mask, dataset.label_map, alt, label, _SIDE)]
    )
