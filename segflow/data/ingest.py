"""The ingest job: a shard of pairs becomes a TFRecord file, its index and its rejects."""

import contextlib
import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from segflow import hashing
from segflow.class_weights import inverse_frequency, median_frequency
from segflow.data import contained, geotiff
from segflow.data.ahead import make_ahead
from segflow.data.config import IngestConfig
from segflow.data.index import INDEX_SCHEMA, index_row, shard_name
from segflow.data.leaks import load_sources, summarize
from segflow.data.making import Recipe
from segflow.data.records import encode_example, write_frame
from segflow.dataset import FORMAT_VERSION, RECORD_NAME
from segflow.errors import RejectCode, RejectError
from segflow.jobs.job import Job, Totals
from segflow.jobs.output import ShardOutput
from segflow.jobs.plan import connect
from segflow.jobs.run import Run, Shard
from segflow.label_map import LabelMap

# Distributions whose version decides a dataset's bytes.
LIBRARIES = (
    *("pillow", "numpy", "pyarrow", "protobuf", "pycocotools", "imagehash", "scipy"),
    *geotiff.LIBRARIES,
)

TRAINING_SPLIT = "train"


@dataclass(frozen=True)
class IngestJob(Job):
    """Ingest as a sharded job."""

    config: IngestConfig
    label_map: LabelMap
    name: str = "ingest"
    format_version: int = FORMAT_VERSION

    @property
    def max_reject_fraction(self) -> float:  # type: ignore[override]
        """From the config."""
        return self.config.max_reject_fraction

    def open(self) -> "IngestWork":
        """Nothing heavy: no TensorFlow in the workers."""
        return IngestWork(self.config, self.label_map)

    def rejects_path(self, run: Run, shard: Shard) -> str:
        """`rejects/part-*.parquet`, numbered like the shard."""
        return f"rejects/part-{shard.index:05d}.parquet"

    def record_path(self, run: Run) -> str:
        """`dataset.json`."""
        return RECORD_NAME

    def record(self, run: Run, totals: Totals) -> Mapping[str, Any]:
        """The contents of `dataset.json`."""
        splits = {
            name: _split_record(name, run, totals, self.label_map) for name in run.notes["splits"]
        }
        content = {
            "image_size": list(self.config.size),
            "resize": self.config.resize,
            "label_map": self.label_map.to_dict(),
            # With their names: the same bytes in other splits are another dataset.
            "shards": {
                s["file"]: s["sha256"] for split in splits.values() for s in split["shards"]
            },
        }
        return {
            "format_version": self.format_version,
            "fingerprint": hashing.fingerprint(content),
            "run": run.name,
            "started": run.started,
            "label_map": content["label_map"],
            "image_size": content["image_size"],
            "resize": self.config.resize,
            "bands": self.config.chosen_bands and list(self.config.chosen_bands),
            "value_range": list(self.config.values),
            "seed": self.config.seed,
            "splits": splits,
            "class_weights": _class_weights(totals, self.label_map),
            **self._leaks(run, totals),
            "inputs": totals.inputs(),
            "layout": run.notes["layout"],
            "sources_sha256": run.notes["sources_sha256"],
            "config": run.config,
            "versions": run.versions,
            "files": totals.files_under("index/") + totals.files_under("rejects/"),
        }

    def _leaks(self, run: Run, totals: Totals) -> dict[str, Any]:
        """What the index, which is published by now, says of copies and groups."""
        parts = [Path(run.output, file["path"]) for file in totals.files_under("index/")]
        with connect(run.folder / "spill") as connection:
            load_sources(connection, parts)
            found = summarize(connection, run.notes["splits"], self.config.near_duplicates)
        found["duplicates"]["dropped"] = totals.rejected_by_code.get(RejectCode.DUPLICATE_IMAGE, 0)
        return found


@dataclass(frozen=True)
class IngestWork:
    """Writes one shard after another."""

    config: IngestConfig
    label_map: LabelMap

    def __call__(
        self, shard: Shard, rows: Sequence[Mapping[str, Any]], output: ShardOutput
    ) -> None:
        """Writes the shard's examples and index; one example is in memory at a time."""
        name = shard_name(shard)
        index: list[dict[str, Any]] = []
        pairs = make_ahead(rows, copies_in(self.config, shard.group), self._recipe)
        with contextlib.closing(pairs), output.local_path(name).open("wb") as file:
            for row, examples in pairs:
                start, before = file.tell(), len(index)
                try:
                    for made in examples:
                        index.append(index_row(row, made, shard, len(index)))
                        write_frame(file, encode_example(made.record))
                except RejectError as error:
                    output.reject(row, error)
                    file.seek(start)  # all tiles of a row of the plan, or none
                    file.truncate()
                    del index[before:]
                    continue
                output.accept()
        output.add_file(name, len(index))
        table = pa.Table.from_pylist(index, schema=INDEX_SCHEMA)
        output.add_table(f"index/part-{shard.index:05d}.parquet", table)
        output.add_sums({shard.group: _sums(index)})

    def close(self) -> None:
        """Ends the decoder process."""
        contained.close()

    @functools.cached_property
    def _recipe(self) -> Recipe:
        return Recipe(self.config, self.label_map, self.config.near_duplicates is not None)


def rows_per_shard(config: IngestConfig, split: str) -> int:
    """Sources a shard, so that it holds about `shard_size` examples with their copies."""
    return max(1, config.shard_size // (1 + copies_in(config, split)))


def copies_in(config: IngestConfig, split: str) -> int:
    """Augmented copies of each example of a split."""
    return config.augment_copies if split == TRAINING_SPLIT else 0


def _sums(index: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    class_pixels: Counter[str] = Counter()
    around: Counter[str] = Counter()
    for row in index:
        valid = sum(row["class_pixels"])
        class_pixels.update({str(i): n for i, n in enumerate(row["class_pixels"])})
        around.update({str(i): valid for i, n in enumerate(row["class_pixels"]) if n})
    return {
        "examples": len(index),
        "sources": sum(row["variant"] == 0 for row in index),
        "class_pixels": class_pixels,
        "pixels_around": around,
        "ignored_pixels": sum(row["ignored_pixels"] for row in index),
    }


def _class_weights(totals: Totals, label_map: LabelMap) -> dict[str, dict[str, float]]:
    """Weights by rule and class id for the training split; zeros if it has no valid pixel."""
    sums = totals.sums.get(TRAINING_SPLIT, {})
    ids = [str(c.id) for c in label_map.classes]
    pixels, around = (
        [sums.get(name, {}).get(i, 0) for i in ids] for name in ("class_pixels", "pixels_around")
    )
    weights = {
        "inverse_frequency": inverse_frequency(pixels),
        "median_frequency": median_frequency(pixels, around),
    }
    return {rule: dict(zip(ids, values, strict=True)) for rule, values in weights.items()}


def _split_record(split: str, run: Run, totals: Totals, label_map: LabelMap) -> dict[str, Any]:
    sums = totals.sums.get(split, {})
    files = {file["path"]: file for file in totals.files}
    shards = [run.shard(i) for i in range(run.shard_count)]
    listed = [files[shard_name(shard)] for shard in shards if shard.group == split]
    class_pixels = sums.get("class_pixels", {})
    return {
        "examples": sums.get("examples", 0),
        "sources": sums.get("sources", 0),
        "class_pixels": {str(c.id): class_pixels.get(str(c.id), 0) for c in label_map.classes},
        "ignored_pixels": sums.get("ignored_pixels", 0),
        "shards": [
            {"file": f["path"], "examples": f["rows"], "bytes": f["bytes"], "sha256": f["sha256"]}
            for f in listed
        ],
    }
