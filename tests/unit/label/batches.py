"""Folders of tiny images that are labelled as the command does, but for Beam and TensorFlow."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq
from PIL import Image
from rich.console import Console

from segflow import storage
from segflow.data.reading import AS_SHOWN
from segflow.jobs.commit import Outcome, commit
from segflow.jobs.job import Job
from segflow.jobs.launch import Launch
from segflow.jobs.run import Run
from segflow.jobs.shard import finish_shard
from segflow.label.config import LabelConfig
from segflow.label.labelling import LabelJob
from segflow.label.planning import LabelPlan
from segflow.label.prediction import Prediction
from segflow.label.sliding import ReadRows, TakeRows
from segflow.label.windows import AUTO
from segflow.label_map import LabelClass, LabelMap

LABELS = LabelMap((LabelClass(0, "sky"), LabelClass(1, "road"), LabelClass(2, "it's")))


class FakePredictor:
    """Takes the red channel for the class ids and the green one for the uncertainty."""

    images_at_once = 8
    reading = AS_SHOWN
    windows = AUTO

    def __init__(self, fingerprint: str) -> None:
        self.bundle = SimpleNamespace(label_map=LABELS, fingerprint=fingerprint)

    def prepare(self, image: np.ndarray, name: str) -> np.ndarray:
        """The image as it is."""
        return image

    def predictions(self, prepared: Sequence[np.ndarray]) -> Iterator[Prediction]:
        """One prediction for each image."""
        return (predicted(image[..., 0], image[..., 1]) for image in prepared)

    def slide(self, read: ReadRows, size: tuple[int, int], name: str, take: TakeRows) -> Prediction:
        """As `predictions`, of an image that is read by rows."""
        for top in range(0, size[0], 50):
            take(read(top, min(50, size[0] - top))[..., 0])
        return replace(predicted(np.zeros((1, 1), np.uint8)), mask=np.empty((0, size[1]), np.uint8))


def predicted(mask: np.ndarray, doubt: np.ndarray | None = None) -> Prediction:
    """A prediction of these class ids; class 2 has no pixel at the model's resolution.

    Args:
        mask: uint8 [height, width].
        doubt: 0 to 255 for entropies of 0 to 1, uint8 [height, width]; None: 0.
    """
    doubt = np.zeros_like(mask) if doubt is None else doubt
    return Prediction(
        mask=mask,
        confidence=0.625,
        class_confidence=np.array([0.5, 0.75, np.nan]),
        entropy=float(doubt.mean() / 255),
        uncertain_fraction=float((doubt > 127).mean()),
        uncertainty=doubt,
    )


def draw(path: Path, red: int = 1, size: tuple[int, int] = (2, 3), green: int = 0) -> Path:
    """A picture whose upper left pixel is of class 0 and all others of class `red`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(red, size, green))
    return path


def png(red: int = 1, size: tuple[int, int] = (2, 3), green: int = 0) -> bytes:
    """The bytes of such a picture."""
    pixels = np.zeros((*size, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = red, green
    pixels[0, 0, 0] = 0
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def work_off(job: Job, run: Run, flags: Sequence[str]) -> None:
    """What Beam would do, in a loop."""
    work = job.open()
    for index in range(run.shard_count):
        finish_shard(job, run, work, index)
    work.close()
    commit(job, run)


@dataclass(frozen=True)
class Labels:
    """A labels folder `output` of the images in `images`, and what planning told."""

    images: Path
    output: Path
    told: list[str] = field(default_factory=list)

    def label(self, model: str = "model a", **changes: Any) -> Mapping[str, Any] | None:
        """Labels what is new; the commit record, None if nothing was."""
        options = {"images": str(self.images), "max_reject_fraction": 1.0, "shard_size": 2}
        config = LabelConfig(model="m", output=str(self.output), **{**options, **changes})
        outcome = self.launch(config, model)
        return outcome and storage.read_json(self.output / f"runs/{outcome.run}.json")

    def launch(self, config: LabelConfig, model: str) -> Outcome | None:
        """Plans and works off a run; what it tells goes to `told`."""
        recorded = config.recorded() | {"model_fingerprint": model}
        plan = LabelPlan(
            source=recorded["images"],
            output=self.output,
            model_fingerprint=model,
            shard_size=config.shard_size,
            limits=recorded["limits"],
            root=recorded["root"],
            detect_changes=config.detect_changes,
            tell=self.told.append,
        )
        job = LabelJob(config, LABELS, model)
        console = Console(file=io.StringIO())
        return Launch(job, self.output, recorded, (), plan)(console)

    def planned(self, record: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
        """The rows of a run's plan by image, relative to the folder of images."""
        run = Run.load(self.output / "_runs" / record["run"])
        rows = [row for index in range(run.shard_count) for row in run.rows(index)]
        return {self.name(row["image_uri"]): row for row in rows}

    def gone(self, record: Mapping[str, Any]) -> list[str]:
        """The addresses that a run found gone, as its parts say; their number is in its record."""
        parts = [file["path"] for file in record["files"] if file["path"].startswith("gone/")]
        rows = [row for part in parts for row in pq.read_table(self.output / part).to_pylist()]
        assert len(rows) == record["gone"]
        return [row["image_uri"] for row in rows]

    def name(self, uri: str) -> str:
        """An address relative to the folder of images."""
        return str(Path(uri).relative_to(self.images))

    def current(self, columns: str, view: str = "current_images") -> list[tuple[Any, ...]]:
        """Rows of a view of `current.sql`; the address first and relative, in its order."""
        with duckdb.connect() as connection:
            connection.execute((self.output / "current.sql").read_text())
            rows = connection.execute(
                f"SELECT image_uri, {columns} FROM {view} ORDER BY ALL"
            ).fetchall()
        return [(self.name(row[0]), *row[1:]) for row in rows]
