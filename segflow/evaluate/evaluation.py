"""The evaluate job: a shard of pairs becomes confusion matrices, one for each image."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from segflow import scores
from segflow.data import contained, geotiff
from segflow.data.masks import encode_mask
from segflow.dataset import Dataset
from segflow.errors import RejectError
from segflow.evaluate.config import EvaluateConfig
from segflow.evaluate.sources import RawPairs, Source, SplitRecords
from segflow.jobs.job import Job, Totals
from segflow.jobs.output import ShardOutput
from segflow.jobs.run import Run, Shard
from segflow.label_map import LabelMap

if TYPE_CHECKING:
    from segflow.label.predictor import Predictor, Prepared

FORMAT_VERSION = 1
_PIXELS_AT_ONCE = 1 << 26  # of truth masks that wait for their predictions
RECORD_NAME = "metrics.json"

IMAGES_SCHEMA = pa.schema(
    [
        pa.field("key", pa.string()),
        pa.field("image_uri", pa.string(), metadata={"description": "null for a dataset split"}),
        pa.field("mask_uri", pa.string(), metadata={"description": "null for a dataset split"}),
        pa.field(
            "annotation",
            pa.string(),
            metadata={"description": "what the mask is drawn from; null where the file is it"},
        ),
        pa.field("shard", pa.string(), metadata={"description": "TFRecord file; null for raw"}),
        pa.field("position", pa.int32(), metadata={"description": "in the shard; null for raw"}),
        pa.field("height", pa.int32()),
        pa.field("width", pa.int32()),
        pa.field("mean_iou", pa.float64(), metadata={"description": "null: no valid pixel"}),
        pa.field("pixel_accuracy", pa.float64(), metadata={"description": "null: no valid pixel"}),
        pa.field("valid_pixels", pa.int64(), metadata={"description": "not ignored"}),
        pa.field(
            "confusion_matrix",
            pa.list_(pa.int64()),
            metadata={"description": "pixels by truth (rows) and prediction, row-major"},
        ),
        pa.field("prediction", pa.binary(), metadata={"description": "class ids as PNG"}),
        pa.field("image_part", pa.string(), metadata={"description": "where in a pack; or null"}),
        pa.field("mask_part", pa.string(), metadata={"description": "where in a pack; or null"}),
    ]
)

# Distributions whose version decides the scores.
LIBRARIES = ("tensorflow", "keras", "pillow", "numpy", "pyarrow", "pycocotools", *geotiff.LIBRARIES)


@dataclass(frozen=True)
class EvaluateJob(Job):
    """Evaluation as a sharded job."""

    config: EvaluateConfig
    label_map: LabelMap
    model_fingerprint: str
    name: str = "evaluate"

    @property
    def max_reject_fraction(self) -> float:  # type: ignore[override]
        """From the config."""
        return self.config.max_reject_fraction

    def open(self) -> "EvaluateWork":
        """Loads the model."""
        # TensorFlow takes seconds to import: only in workers, not in the launcher.
        from segflow.label.predictor import load_for_job

        config = self.config
        predictor = load_for_job(
            config.model,
            self.model_fingerprint,
            config.batch_size,
            config.worker_threads,
            config.tta,
        )
        source: Source = RawPairs(self.label_map, config.limits, predictor.reading)
        if config.dataset is not None:
            source = SplitRecords(Dataset.load(config.dataset))
        return EvaluateWork(config, source, predictor)

    def rejects_path(self, run: Run, shard: Shard) -> str:
        """`rejects/part-*.parquet`."""
        return f"rejects/part-{shard.index:05d}.parquet"

    def record_path(self, run: Run) -> str:
        """`metrics.json`."""
        return RECORD_NAME

    def record(self, run: Run, totals: Totals) -> Mapping[str, Any]:
        """The contents of `metrics.json`."""
        classes = self.label_map.num_classes
        confusion = np.zeros((classes, classes), np.int64)
        for cell, pixels in totals.sums.get("confusion", {}).items():
            confusion.flat[int(cell)] = pixels
        names = ("dataset", "split", "images", "masks")
        return {
            "format_version": FORMAT_VERSION,
            "run": run.name,
            "started": run.started,
            "examples": totals.accepted,
            **scores.summarize(confusion, self.label_map.names),
            "label_map": self.label_map.to_dict(),
            "model": {
                "path": str(Path(self.config.model).absolute()),
                "fingerprint": self.model_fingerprint,
            },
            "data": {name: run.config[name] for name in names if run.config.get(name)},
            "inputs": totals.inputs(),
            "sources_sha256": run.notes.get("sources_sha256"),  # null for a dataset split
            "config": run.config,
            "versions": run.versions,
            "files": list(totals.files),
        }


@dataclass(frozen=True)
class _Scorable:
    """A pair as the model takes it; the image at its own size is no longer held."""

    row: Mapping[str, Any]
    prepared: "Prepared"
    truth: NDArray[Any]


@dataclass
class EvaluateWork:
    """Scores one shard after another; batches run side by side, each on one thread."""

    config: EvaluateConfig
    source: Source
    predictor: "Predictor"
    _pool: ThreadPoolExecutor = field(init=False)

    def __post_init__(self) -> None:
        self._pool = ThreadPoolExecutor(self.config.worker_threads)

    def __call__(
        self, shard: Shard, rows: Sequence[Mapping[str, Any]], output: ShardOutput
    ) -> None:
        """Writes the shard's scores; as many batches are in memory as there are threads."""
        done: list[dict[str, Any]] = []
        size = self.config.batch_size
        for group in self._groups(shard, rows, output):
            batches = [group[i : i + size] for i in range(0, len(group), size)]
            for scored in self._pool.map(self._score, batches):
                done += scored
        table = pa.Table.from_pylist(done, schema=IMAGES_SCHEMA)
        output.add_table(f"images/part-{shard.index:05d}.parquet", table)
        confusion = sum((np.array(row["confusion_matrix"], np.int64) for row in done), np.int64(0))
        cells = np.atleast_1d(confusion).tolist()
        output.add_sums({"confusion": {str(i): n for i, n in enumerate(cells) if n}})

    def close(self) -> None:
        """Ends the threads and the decoder processes."""
        self._pool.shutdown()
        contained.close()

    def _groups(
        self, shard: Shard, rows: Sequence[Mapping[str, Any]], output: ShardOutput
    ) -> Iterator[list[_Scorable]]:
        """Reads and counts pairs; a batch for each thread at once, fewer where masks are large."""
        group: list[_Scorable] = []
        pixels = 0
        for row, pair in zip(rows, self.source.read(shard, rows), strict=True):
            if isinstance(pair, RejectError):
                output.reject(row, pair)
                continue
            output.accept()
            group.append(_Scorable(row, self.predictor.prepare(pair.image), pair.mask))
            pixels += pair.mask.size
            full = len(group) == self.config.batch_size * self.config.worker_threads
            if full or pixels >= _PIXELS_AT_ONCE:
                yield group
                group, pixels = [], 0
        if group:
            yield group

    def _score(self, pairs: Sequence[_Scorable]) -> list[dict[str, Any]]:
        predictions = self.predictor.predictions([pair.prepared for pair in pairs])
        label_map = self.predictor.bundle.label_map
        return [
            _row(pair.row, pair.truth, prediction.mask, label_map)
            for pair, prediction in zip(pairs, predictions, strict=True)
        ]


def _row(
    row: Mapping[str, Any], truth: NDArray[Any], prediction: NDArray[Any], label_map: LabelMap
) -> dict[str, Any]:
    confusion = scores.confusion_matrix(
        truth, prediction, label_map.num_classes, label_map.ignore_id
    )
    valid = int(confusion.sum())
    summary = scores.summarize(confusion, label_map.names)
    return {
        "key": row["key"],
        "image_uri": row["image_uri"],
        "mask_uri": row["mask_uri"],
        "annotation": row.get("annotation"),
        "shard": row.get("shard"),
        "position": row.get("position"),
        "height": truth.shape[0],
        "width": truth.shape[1],
        "mean_iou": summary["mean_iou"],
        "pixel_accuracy": summary["pixel_accuracy"],
        "valid_pixels": valid,
        "confusion_matrix": confusion.ravel().tolist(),
        "prediction": encode_mask(prediction),
        "image_part": row.get("image_part"),
        "mask_part": row.get("mask_part"),
    }
