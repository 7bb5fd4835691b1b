"""Stored examples made again from their sources: what a row of the index says is enough."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from segflow.data.augment import Augmentation
from segflow.data.config import ExampleConfig
from segflow.data.pair import Example, make_example, resize_pair
from segflow.data.pieces import Piece, read_pieces
from segflow.data.records import Record, decode_example, read_frames
from segflow.dataset import Dataset
from segflow.errors import RejectCode, RejectError, UsageError


@dataclass(frozen=True)
class Remade:
    """An example made again, beside what is stored.

    Attributes:
        row: Of the index.
        example: Made of the row and the source files.
        stored: The record in the dataset.
    """

    row: Mapping[str, Any]
    example: Example
    stored: Record

    @property
    def is_equal(self) -> bool:
        """Whether the two have the same bytes, image, mask and all that is said of them."""
        return self.example.record == self.stored


def remake(dataset: Dataset, key: str, variant: int) -> Remade:
    """Makes a stored example again, and reads the stored one to compare.

    Raises:
        UsageError: The dataset has no such example, or its shard is damaged.
        RejectError: A source file is gone, has changed, or cannot be read.
    """
    row = find_row(dataset, key, variant)
    return Remade(row, remake_example(dataset, row), _stored(dataset, row))


def remake_example(dataset: Dataset, row: Mapping[str, Any]) -> Example:
    """Makes an example, augmented or not, from its row of the index and its source files.

    What happened to it comes from the row's column `augmentation`; no random number is drawn. The
    image is held to its recorded SHA-256; the index has none of the mask, so compare what is made
    with what is stored, as `remake` does.

    Args:
        dataset: For its label map and the settings it was made with.
        row: Of the dataset's index; all columns but `shard` and `position` matter.

    Raises:
        RejectError: A source file is gone, has changed, or cannot be read.
        UsageError: The dataset's record, or the row's augmentation, is of another version.
    """
    try:
        config = ExampleConfig.from_recorded(dataset.record["config"])
        recorded = row["augmentation"]
        augmentation = None if recorded is None else Augmentation.from_json(recorded)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"dataset {dataset.folder}: made by another version of segflow, whose settings or "
            f"augmentations this one cannot read ({error}); ingest again or use that version"
        ) from error
    piece = _piece(row, dataset, config)
    if piece.pair.image_sha256 != row["image_sha256"]:
        raise RejectError(
            RejectCode.SOURCE_CHANGED, f"{row['image_uri']}: has changed since it was ingested"
        )
    resized = resize_pair(piece.pair, config, dataset.label_map)
    filename = Path(row["image_uri"]).name
    return make_example(resized, row["key"], filename, augmentation, config, dataset.label_map)


def _piece(row: Mapping[str, Any], dataset: Dataset, config: ExampleConfig) -> Piece:
    """Reads what the row's example was made of; of a tile's picture, its row of tiles alone."""
    planned = dict(row)
    if row.get("tile_row") is not None:
        planned |= {"first_tile_row": row["tile_row"], "tile_rows": 1}
    pieces = read_pieces(planned, dataset.label_map, config)
    try:
        return next(itertools.islice(pieces, row.get("tile_column") or 0, None))
    except RejectError as error:
        what = "mask" if str(error).startswith("mask") else "image"
        raise RejectError(error.code, f"{row[f'{what}_uri']}: {error}") from error


def find_row(dataset: Dataset, key: str, variant: int) -> dict[str, Any]:
    """The row of the index of a key's variant.

    Raises:
        UsageError: There is none; the message says which variants the key has.
    """
    paths = [file["path"] for file in dataset.record["files"]]
    rows = [
        row
        for path in paths
        if path.startswith("index/")
        for row in pq.read_table(dataset.folder / path, filters=[("key", "=", key)]).to_pylist()
    ]
    for row in rows:
        if row["variant"] == variant:
            return dict(row)
    if not rows:
        raise UsageError(f"--key {key}: dataset {dataset.folder} has no example of that key")
    raise UsageError(
        f"--variant {variant}: dataset {dataset.folder} has the variants 0 to {len(rows) - 1} of "
        f"{key}"
    )


def _stored(dataset: Dataset, row: Mapping[str, Any]) -> Record:
    listed = {path.name: path for name in dataset.splits for path in _shards(dataset, name)}
    try:
        frames = read_frames(listed[row["shard"]])
        return decode_example(next(itertools.islice(frames, row["position"], None)))
    except (KeyError, OSError, ValueError, StopIteration) as error:
        raise UsageError(
            f"dataset {dataset.folder}: {row['shard']} cannot be read; try segflow verify"
        ) from error


def _shards(dataset: Dataset, split: str) -> list[Path]:
    return [dataset.folder / shard.file for shard in dataset.splits[split].shards]
