"""From rows of a plan to rows of the tables: read, segmented, stored; whole or by rows."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segflow.data.by_rows import EachRowOnce, ImageByRows, open_by_rows
from segflow.data.config import DecodeLimits
from segflow.data.mask_formats import MaskFormat, MaskWriter, StoredMask, store
from segflow.data.pair import read_image, require_unchanged
from segflow.errors import RejectError
from segflow.label.prediction import Prediction
from segflow.label.regions import RegionSums, count_regions
from segflow.label.tables import Labelled, labelled

if TYPE_CHECKING:
    from segflow.label.predictor import Predictor
    from segflow.label.prepared import Prepared

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Labeller:
    """Labels the images that rows address; may be used from several threads.

    Attributes:
        predictor: The model at work.
        mask_format: How masks are stored.
        limits: Caps of what is read whole; giants above them are read by rows, where they can be.
        ground_resolution: Side of a pixel in metres, where neither row nor file says it.
        count_regions: Whether the connected regions of each class are counted.
    """

    predictor: "Predictor"
    mask_format: MaskFormat
    limits: DecodeLimits
    ground_resolution: float | None = None
    count_regions: bool = False

    def __call__(self, rows: Sequence[Row]) -> list[Labelled | RejectError]:
        """What the tables say of each image, in order, or why it was refused.

        Raises:
            JobError: What the model says of an image is not finite.
            OSError: The storage failed in a way that may pass.
        """
        outcomes: list[Labelled | RejectError | None] = []
        read: list[tuple[int, str, float | None, Prepared]] = []
        for index, row in enumerate(rows):
            outcome: Labelled | RejectError | None = None
            try:
                giant = self._giant(row)
                if giant is not None:
                    outcome = self._label_by_rows(row, giant)
                else:
                    read.append((index, *self._read(row)))
            except RejectError as error:
                outcome = error
            outcomes.append(outcome)
        predictions = self.predictor.predictions([prepared for *_, prepared in read])
        for (index, sha256, side, _), prediction in zip(read, predictions, strict=True):
            outcomes[index] = self._store(rows[index], sha256, side, prediction)
        return [outcome for outcome in outcomes if outcome is not None]

    def _read(self, row: Row) -> "tuple[str, float | None, Prepared]":
        image, sha256, side = read_image(row, self.limits, self.predictor.reading)
        return sha256, side, self.predictor.prepare(image, row["image_uri"])

    def _store(self, row: Row, sha256: str, side: float | None, prediction: Prediction) -> Labelled:
        classes = self.predictor.bundle.label_map.num_classes
        mask = store(prediction.mask, classes, self.mask_format)
        regions = count_regions(prediction.mask, classes) if self.count_regions else None
        return self._labelled(row, sha256, side, mask, prediction, regions)

    def _giant(self, row: Row) -> ImageByRows | None:
        if not self.predictor.windows.take_giants:
            return None
        return open_by_rows(row, self.limits, self.predictor.reading)

    def _label_by_rows(self, row: Row, image: ImageByRows) -> Labelled:
        """Neither the image nor its mask is ever in memory whole."""
        require_unchanged(row, "image")
        label_map = self.predictor.bundle.label_map
        writer = MaskWriter(image.size, label_map.dtype, label_map.num_classes, self.mask_format)
        regions = RegionSums(image.size[1], label_map.num_classes) if self.count_regions else None

        def take(ids: NDArray[Any]) -> None:
            writer.add(ids)
            if regions is not None:
                regions.add(ids)

        prediction = self.predictor.slide(EachRowOnce(image), image.size, row["image_uri"], take)
        require_unchanged(row, "image")  # nor while it was read
        side, counts = image.ground_resolution, None if regions is None else regions.counts
        found = self._labelled(row, image.sha256, side, writer.finish(), prediction, counts)
        return dataclasses.replace(found, by_rows=True)

    def _labelled(
        self,
        row: Row,
        sha256: str,
        side: float | None,
        mask: StoredMask,
        prediction: Prediction,
        regions: NDArray[np.int64] | None,
    ) -> Labelled:
        bundle = self.predictor.bundle
        side = row.get("ground_resolution") or side or self.ground_resolution
        said = mask, prediction, bundle.label_map, bundle.fingerprint
        return labelled(row, sha256, *said, side, regions=regions)
