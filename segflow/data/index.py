"""The index of a dataset: a row for each stored example."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from segflow.data.pair import Example
from segflow.data.pieces import Piece
from segflow.jobs.run import Shard

INDEX_SCHEMA = pa.schema(
    [
        pa.field("key", pa.string()),
        pa.field("variant", pa.int32(), metadata={"description": "0 = not augmented"}),
        pa.field("split", pa.string()),
        pa.field("image_uri", pa.string()),
        pa.field("mask_uri", pa.string()),
        pa.field("image_sha256", pa.string(), metadata={"description": "of the source file"}),
        pa.field("source_height", pa.int32(), metadata={"description": "after EXIF orientation"}),
        pa.field("source_width", pa.int32(), metadata={"description": "after EXIF orientation"}),
        pa.field("height", pa.int32()),
        pa.field("width", pa.int32()),
        pa.field("shard", pa.string(), metadata={"description": "TFRecord file"}),
        pa.field("position", pa.int32(), metadata={"description": "of the record in its shard"}),
        pa.field("class_pixels", pa.list_(pa.int64()), metadata={"description": "by class id"}),
        pa.field("ignored_pixels", pa.int64()),
        pa.field("augmentation", pa.string(), metadata={"description": "JSON; null: variant 0"}),
        pa.field("annotation", pa.string(), metadata={"description": "null: the mask is a file"}),
        pa.field("group", pa.string(), metadata={"description": "what must not straddle splits"}),
        pa.field(
            "image_phash",
            pa.string(),
            metadata={"description": "perceptual hash in hex; null unless asked for"},
        ),
        pa.field("image_part", pa.string(), metadata={"description": "where in a pack; or null"}),
        pa.field("mask_part", pa.string(), metadata={"description": "where in a pack; or null"}),
        pa.field("tile_row", pa.int32(), metadata={"description": "null: not a tile"}),
        pa.field("tile_column", pa.int32(), metadata={"description": "null: not a tile"}),
        pa.field("tile_top", pa.int32(), metadata={"description": "first row in the source"}),
        pa.field("tile_left", pa.int32(), metadata={"description": "first column in the source"}),
        pa.field(
            "ground_resolution",
            pa.float64(),
            metadata={"description": "metres a source pixel; null: unknown"},
        ),
    ]
)


@dataclass(frozen=True)
class Place:
    """Where an example is stored, and which of its source's variants it is."""

    shard: Shard
    position: int
    variant: int


def shard_name(shard: Shard) -> str:
    """`train-00000-of-00008.tfrecord`, as TensorFlow names shards."""
    return f"{shard.group}-{shard.group_index:05d}-of-{shard.group_shards:05d}.tfrecord"


def index_row(
    row: Mapping[str, Any], piece: Piece, look: str | None, example: Example, place: Place
) -> dict[str, Any]:
    """The row of an example.

    Args:
        row: Of the plan, that the example was made of.
        piece: What was read.
        look: Perceptual hash of the whole image, where one is asked for.
        example: As stored.
        place: Where.
    """
    tile = piece.tile
    return {
        "key": piece.key,
        "variant": place.variant,
        "split": place.shard.group,
        "image_uri": row["image_uri"],
        "mask_uri": row["mask_uri"],
        "image_sha256": piece.pair.image_sha256,
        "source_height": piece.source[0],
        "source_width": piece.source[1],
        "height": example.record.height,
        "width": example.record.width,
        "shard": shard_name(place.shard),
        "position": place.position,
        "class_pixels": example.class_pixels,
        "ignored_pixels": example.ignored_pixels,
        "augmentation": example.augmentation.to_json() if example.augmentation else None,
        "annotation": row.get("annotation"),
        "group": row["group"],
        "image_phash": look,
        "image_part": row.get("image_part"),
        "mask_part": row.get("mask_part"),
        "tile_row": tile and tile.row,
        "tile_column": tile and tile.column,
        "tile_top": tile and tile.top,
        "tile_left": tile and tile.left,
        "ground_resolution": row.get("ground_resolution") or piece.pair.ground_resolution,
    }
