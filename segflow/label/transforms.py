"""Labelling as a PTransform for pipelines of one's own."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.utils import shared

from segflow.data import contained
from segflow.data.config import DecodeLimits
from segflow.data.mask_formats import MaskFormat
from segflow.errors import RejectError
from segflow.label.images import Labeller
from segflow.label.options import loading_options
from segflow.label.windows import WindowsMode
from segflow.ranges import GROUND_RESOLUTION, require, require_range
from segflow.train.bundle import Tta

LABELS, REJECTS = "labels", "rejects"


@dataclass
class LabelImages(beam.PTransform):
    """Segments the images that a collection of paths addresses.

    Attributes:
        model: Path of a model bundle, readable by the workers.
        mask_format: `png`, `rle` or `none`.
        batch_size: Images the model sees at once; the last batch is padded.
        tta: Test-time augmentation, as for `segflow.load_bundle`.
        ground_resolution: Side of a pixel in metres, for images that do not say it themselves (as
            GeoTIFFs do); of images at their own size.
        windows: When windows slide over images, likewise. With `auto` and `always` they also slide
            over TIFFs that are too large to be read whole.
        window_overlap: Likewise.

    Returns:
        Two collections: `labels` of dicts, a row of the `images` table each, with `areas`, the
        rows of the `areas` table; and `rejects` of dicts {`key`, `image_uri`, `mask_uri`,
        `code`, `message`}.

    Raises:
        ValueError: There is no such test-time augmentation.
        UsageError: Another attribute is out of its range.
    """

    model: str
    mask_format: MaskFormat = "png"
    batch_size: int = 8
    tta: Tta = "none"
    ground_resolution: float | None = None
    windows: WindowsMode = "auto"
    window_overlap: float = 0.25

    def __post_init__(self) -> None:
        self._options()  # says what is wrong here, and not on the workers
        require(
            "mask_format",
            self.mask_format,
            self.mask_format in get_args(MaskFormat),
            f"one of {', '.join(get_args(MaskFormat))}",
        )
        if self.ground_resolution is not None:
            require_range("ground_resolution", self.ground_resolution, *GROUND_RESOLUTION)

    def _options(self) -> dict[str, Any]:
        return loading_options(self.batch_size, self.tta, self.windows, self.window_overlap)

    def expand(self, paths: beam.PCollection[str]) -> Any:
        """Builds the graph."""
        batches = paths | "Batch" >> beam.BatchElements(
            min_batch_size=self.batch_size, max_batch_size=self.batch_size
        )
        loading = {"path": self.model, **self._options()}
        segment = _Segment(loading, self.mask_format, self.ground_resolution)
        return batches | "Segment" >> beam.ParDo(segment).with_outputs(REJECTS, main=LABELS)


class _Segment(beam.DoFn):
    def __init__(
        self,
        loading: Mapping[str, Any],
        mask_format: MaskFormat,
        ground_resolution: float | None,
    ) -> None:
        self._loading, self._mask_format = loading, mask_format
        self._ground_resolution = ground_resolution
        self._shared = shared.Shared()  # one model a process, whatever the number of threads
        self._label: Labeller | None = None
        self._accepted = Metrics.counter("segflow/label", "accepted")
        self._rejected = Metrics.counter("segflow/label", "rejected")

    def setup(self) -> None:
        from segflow.label.predictor import load_bundle

        predictor = self._shared.acquire(lambda: load_bundle(**self._loading))
        self._label = Labeller(
            predictor, self._mask_format, DecodeLimits(), self._ground_resolution
        )

    def teardown(self) -> None:
        contained.close()

    def process(self, paths: Sequence[str]) -> Iterator[Any]:
        assert self._label is not None
        size = self._label.predictor.images_at_once
        for start in range(0, len(paths), size):
            some = paths[start : start + size]
            outcomes = self._label([{"key": path, "image_uri": path} for path in some])
            for path, outcome in zip(some, outcomes, strict=True):
                if isinstance(outcome, RejectError):
                    self._rejected.inc()
                    reject = {"key": path, "image_uri": path, "mask_uri": None}
                    reject |= {"code": str(outcome.code), "message": str(outcome)}
                    yield beam.pvalue.TaggedOutput(REJECTS, reject)
                else:
                    self._accepted.inc()
                    yield {**outcome.image, "areas": outcome.areas}
