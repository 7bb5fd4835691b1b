"""The evaluate job: a shard of pairs becomes confusion matrices, one for each image."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from numpy.typing import NDArray

from segflow import outputs
from segflow.data import contained, geotiff
from segflow.dataset import Dataset
from segflow.errors import RejectError
from segflow.evaluate import reference
from segflow.evaluate.config import EvaluateConfig
from segflow.evaluate.sources import RawPairs, Source, SplitRecords
from segflow.evaluate.table import IMAGES_SCHEMA, image_row
from segflow.jobs.job import Job, Totals
from segflow.jobs.output import ShardOutput
from segflow.jobs.run import Run, Shard
from segflow.label.windows import Windows
from segflow.label_map import LabelMap
from segflow.scores.images import score_images
from segflow.train.bundle import Bundle

if TYPE_CHECKING:
    from segflow.label.predictor import Predictor
    from segflow.label.prepared import Prepared

_LOG = logging.getLogger(__name__)

_PIXELS_AT_ONCE = 1 << 26  # of truth masks that wait for their predictions
RECORD_NAME = "metrics.json"

# Distributions whose version decides the scores.
LIBRARIES = (
    "tensorflow",
    "keras",
    "pillow",
    "numpy",
    "pyarrow",
    "pycocotools",
    "scipy",
    *geotiff.LIBRARIES,
)


@dataclass(frozen=True)
class EvaluateJob(Job):
    """Evaluation as a sharded job."""

    config: EvaluateConfig
    label_map: LabelMap
    model_fingerprint: str
    name: str = "evaluate"
    format_version: int = outputs.EVALUATION.format_version

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
            Windows(config.windows, config.window_overlap),
            keep_confidences=True,
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
        """The contents of `metrics.json`: groups and intervals need each image, so it is read."""
        names = ("dataset", "split", "images", "masks")
        return {
            "format_version": self.format_version,
            "run": run.name,
            "started": run.started,
            "examples": totals.accepted,
            **score_images(Path(run.output), totals.files, self.label_map.names),
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

    def after_commit(self, run: Run) -> None:
        """Keeps each image's counts in the bundle."""
        _LOG.info(reference.keep(Path(run.output), Bundle.load(self.config.model)))


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

    def close(self) -> None:
        """Ends the threads and the decoder processes."""
        self._pool.shutdown()
        contained.close()

    def _groups(
        self, shard: Shard, rows: Sequence[Mapping[str, Any]], output: ShardOutput
    ) -> Iterator[list[_Scorable]]:
        """Reads and counts pairs; a batch for each thread at once, fewer where masks are large.

        Batches are whole, so that threads do not decide which images the model sees together.
        """
        size = self.config.batch_size
        group: list[_Scorable] = []
        pixels = 0
        for row, pair in zip(rows, self.source.read(shard, rows), strict=True):
            if isinstance(pair, RejectError):
                output.reject(row, pair)
                continue
            output.accept()
            prepared = self.predictor.prepare(pair.image, row["image_uri"] or row["key"])
            source = {**row, "image_sha256": pair.image_sha256}
            group.append(_Scorable(source, prepared, pair.mask))
            pixels += pair.mask.size
            enough = pixels >= _PIXELS_AT_ONCE or len(group) >= size * self.config.worker_threads
            if enough and len(group) % size == 0:
                yield group
                group, pixels = [], 0
        if group:
            yield group

    def _score(self, pairs: Sequence[_Scorable]) -> list[dict[str, Any]]:
        predictions = self.predictor.predictions([pair.prepared for pair in pairs])
        label_map = self.predictor.bundle.label_map
        return [
            image_row(pair.row, pair.truth, pair.prepared.placement, prediction, label_map)
            for pair, prediction in zip(pairs, predictions, strict=True)
        ]
