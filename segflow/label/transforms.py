"""Labelling as a PTransform for pipelines of one's own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.utils import shared

from segflow.data import contained
from segflow.data.config import DecodeLimits
from segflow.data.mask_formats import MaskFormat
from segflow.data.pair import read_image
from segflow.errors import RejectError
from segflow.label.tables import labelled
from segflow.train.bundle import Tta

if TYPE_CHECKING:
    from segflow.label.predictor import Predictor

LABELS, REJECTS = "labels", "rejects"


@dataclass
class LabelImages(beam.PTransform):
    """Segments the images that a collection of paths addresses.

    Attributes:
        model: Path of a model bundle, readable by the workers.
        mask_format: `png`, `rle` or `none`.
        batch_size: Images the model sees at once; the last batch is padded.
        tta: Test-time augmentation, as for `segflow.load_bundle`.

    Returns:
        Two collections: `labels` of dicts, a row of the `images` table each, with `areas`, the
        rows of the `areas` table; and `rejects` of dicts {`key`, `image_uri`, `mask_uri`,
        `code`, `message`}.
    """

    model: str
    mask_format: MaskFormat = "png"
    batch_size: int = 8
    tta: Tta = "none"

    def expand(self, paths: beam.PCollection[str]) -> Any:
        """Builds the graph."""
        batches = paths | "Batch" >> beam.BatchElements(
            min_batch_size=self.batch_size, max_batch_size=self.batch_size
        )
        return batches | "Segment" >> beam.ParDo(
            _Segment(self.model, self.mask_format, self.batch_size, self.tta)
        ).with_outputs(REJECTS, main=LABELS)


class _Segment(beam.DoFn):
    def __init__(self, model: str, mask_format: MaskFormat, batch_size: int, tta: Tta) -> None:
        self._model, self._mask_format, self._batch_size = model, mask_format, batch_size
        self._tta: Tta = tta
        self._limits = DecodeLimits()
        self._shared = shared.Shared()  # one model a process, whatever the number of threads
        self._predictor: Predictor | None = None
        self._accepted = Metrics.counter("segflow/label", "accepted")
        self._rejected = Metrics.counter("segflow/label", "rejected")

    def setup(self) -> None:
        from segflow.label.predictor import load_bundle

        self._predictor = self._shared.acquire(
            lambda: load_bundle(self._model, self._batch_size, self._tta)
        )

    def teardown(self) -> None:
        contained.close()

    def process(self, paths: Sequence[str]) -> Iterator[Any]:
        assert self._predictor is not None
        size = self._predictor.images_at_once
        for start in range(0, len(paths), size):
            yield from self._segment(self._predictor, paths[start : start + size])

    def _segment(self, predictor: "Predictor", paths: Sequence[str]) -> Iterator[Any]:
        read = []
        for path in paths:
            try:
                address = {"image_uri": path}
                image, sha256, _ = read_image(address, self._limits, predictor.reading)
                read.append((path, sha256, predictor.prepare(image, path)))
            except RejectError as error:
                self._rejected.inc()
                reject = {"key": path, "image_uri": path, "mask_uri": None}
                reject |= {"code": str(error.code), "message": str(error)}
                yield beam.pvalue.TaggedOutput(REJECTS, reject)
        bundle = predictor.bundle
        predictions = predictor.predictions([prepared for _, _, prepared in read])
        for (path, sha256, _), prediction in zip(read, predictions, strict=True):
            self._accepted.inc()
            row = labelled(
                path,
                sha256,
                prediction,
                self._mask_format,
                bundle.label_map,
                bundle.fingerprint,
            )
            yield {**row.image, "areas": row.areas}
