"""The index of a dataset: a row for each stored example."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from segflow.data.making import Made
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
        pa.field(
            "mask_uris",
            pa.list_(pa.string()),
            metadata={"description": "of all annotators, where several; or null"},
        ),
    ]
)


def shard_name(shard: Shard) -> str:
    """`train-00000-of-00008.tfrecord`, as TensorFlow names shards."""
    return f"{shard.group}-{shard.group_index:05d}-of-{shard.group_shards:05d}.tfrecord"


def index_row(row: Mapping[str, Any], made: Made, shard: Shard, position: int) -> dict[str, Any]:
    """The row of an example.

    Args:
        row: Of the plan, that the example was made of.
        made: The example.
        shard: Where it is stored.
        position: And which of the shard's records it is.
    """
    tile = made.tile
    return {
        "key": made.key,
        "variant": made.variant,
        "split": shard.group,
        "image_uri": row["image_uri"],
        "mask_uri": row["mask_uri"],
        "image_sha256": made.image_sha256,
        "source_height": made.source[0],
        "source_width": made.source[1],
        "height": made.record.height,
        "width": made.record.width,
        "shard": shard_name(shard),
        "position": position,
        "class_pixels": made.class_pixels,
        "ignored_pixels": made.ignored_pixels,
        "augmentation": made.augmentation,
        "annotation": row.get("annotation"),
        "group": row["group"],
        "image_phash": made.image_phash,
        "image_part": row.get("image_part"),
        "mask_part": row.get("mask_part"),
        "tile_row": tile and tile.row,
        "tile_column": tile and tile.column,
        "tile_top": tile and tile.top,
        "tile_left": tile and tile.left,
        "ground_resolution": row.get("ground_resolution") or made.ground_resolution,
        "mask_uris": row.get("mask_uris"),
    }
