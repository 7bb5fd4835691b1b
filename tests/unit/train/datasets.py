"""Tiny datasets, as ingest would write them, for the tests of training."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from segflow import hashing, storage
from segflow.class_weights import inverse_frequency, median_frequency
from segflow.data import records
from segflow.label_map import LabelClass, LabelMap
from segflow.train.config import TrainConfig

SIZE = (16, 24)
LABELS = LabelMap((LabelClass(0, "ground"), LabelClass(1, "disc"), LabelClass(2, "bar")))


def encode(picture: np.ndarray, kind: str = "PNG") -> bytes:
    data = io.BytesIO()
    Image.fromarray(picture).save(data, kind)
    return data.getvalue()


def draw(rng: np.random.Generator, size: tuple[int, int] = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """An image uint8 [h, w, 3] and its mask uint8 [h, w]: classes by colour, a border ignored."""
    height, width = size
    rows, columns = np.mgrid[:height, :width]
    mask = np.zeros(size, np.uint8)
    row, column = height * rng.uniform(0.25, 0.75), width * rng.uniform(0.25, 0.75)
    mask[(rows - row) ** 2 + (columns - column) ** 2 < 16] = 1
    at = rng.integers(0, width - 4)
    mask[:, at : at + 4] = 2
    colours = np.array([[60, 90, 60], [200, 80, 60], [70, 90, 210]])
    image = colours[mask] + rng.normal(0, 12, (*size, 3))
    mask[:1] = 255
    return np.clip(image, 0, 255).astype(np.uint8), mask


def write_dataset(
    folder: Path,
    counts: Mapping[str, Sequence[int]],
    label_map: LabelMap = LABELS,
    size: tuple[int, int] = SIZE,
    change: Any = lambda image, mask: (image, mask),
    image_kind: str = "PNG",
) -> Path:
    """Writes `counts[split]` examples per shard; PNG images keep pixels exact."""
    rng = np.random.default_rng(5)
    rows: list[dict[str, Any]] = []
    splits: dict[str, Any] = {}
    folder.mkdir(parents=True)
    for split, shard_counts in counts.items():
        shards = []
        for number, count in enumerate(shard_counts):
            name = f"{split}-{number:05d}-of-{len(shard_counts):05d}.tfrecord"
            with (folder / name).open("wb") as file:
                for position in range(count):
                    image, mask = change(*draw(rng, size))
                    key = f"{split}/{number}-{position}"
                    example = records.Record(
                        encode(image, image_kind),
                        image_kind.lower(),
                        encode(mask),
                        *size,
                        3,
                        f"{key}.png",
                        key,
                    )
                    records.write_frame(file, records.encode_example(example))
                    rows.append(_index_row(key, name, position, mask, label_map))
            shards.append(_file(folder, name) | {"examples": count})
        splits[split] = _split(shards, [r for r in rows if r["split"] == split])
    (folder / "index").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), folder / "index/part-00000.parquet")
    record = {
        "format_version": 1,
        "label_map": label_map.to_dict(),
        "image_size": list(size),
        "resize": "stretch",
        "seed": 0,
        "splits": splits,
        "class_weights": _class_weights([r for r in rows if r["split"] == "train"], label_map),
        "files": [{"path": "index/part-00000.parquet"}],
    }
    record["fingerprint"] = hashing.fingerprint(record)
    storage.put(folder / "dataset.json", storage.to_json(record))
    return folder


def _class_weights(
    rows: Sequence[Mapping[str, Any]], label_map: LabelMap
) -> dict[str, dict[str, float]]:
    listed = [row["class_pixels"] for row in rows]
    counts = np.array(listed, np.int64).reshape(len(rows), label_map.num_classes)
    pixels, around = counts.sum(0), ((counts > 0) * counts.sum(1, keepdims=True)).sum(0)
    weights = {
        "inverse_frequency": inverse_frequency(pixels),
        "median_frequency": median_frequency(pixels, around),
    }
    return {r: {str(i): w for i, w in enumerate(values)} for r, values in weights.items()}


def _index_row(
    key: str, shard: str, position: int, mask: np.ndarray, label_map: LabelMap
) -> dict[str, Any]:
    return {
        "key": key,
        "split": shard.split("-")[0],
        "shard": shard,
        "position": position,
        "class_pixels": [int((mask == c.id).sum()) for c in label_map.classes],
    }


def _file(folder: Path, name: str) -> dict[str, Any]:
    path = folder / name
    return {"file": name, "bytes": path.stat().st_size, "sha256": hashing.sha256_file(path)}


def _split(shards: list[dict[str, Any]], rows: list[dict[str, Any]]) -> dict[str, Any]:
    pixels = np.sum([row["class_pixels"] for row in rows], axis=0)
    return {
        "examples": len(rows),
        "sources": len(rows),
        "class_pixels": {str(i): int(n) for i, n in enumerate(pixels)},
        "ignored_pixels": 0,
        "shards": shards,
    }


def small_config(dataset: str | Path, output: str | Path, **settings: Any) -> TrainConfig:
    """A training of seconds: 4 epochs of 3 steps of a tiny U-Net."""
    tiny = {"filters": 4, "depth": 2, "epochs": 4, "batch_size": 4, "learning_rate": 0.01}
    return TrainConfig(str(dataset), str(output), **{**tiny, **settings})
