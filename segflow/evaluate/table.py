"""The table of an evaluation: a row for each image, with what was counted in it."""

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from segflow import scores
from segflow.data.masks import encode_mask
from segflow.data.resize import Placement, resize_mask
from segflow.label_map import LabelMap
from segflow.scores.boundary import boundary_counts
from segflow.scores.calibration import Reliability
from segflow.scores.disagreement import CONFIDENT, confident_disagreement

if TYPE_CHECKING:
    from segflow.label.prediction import Prediction


def _field(name: str, kind: pa.DataType, description: str = "") -> pa.Field:
    return pa.field(name, kind, metadata={"description": description} if description else None)


_COUNTS = pa.list_(pa.int64())

IMAGES_SCHEMA = pa.schema(
    [
        _field("key", pa.string()),
        _field("image_uri", pa.string(), "null for a dataset split"),
        _field("mask_uri", pa.string(), "null for a dataset split"),
        _field("annotation", pa.string(), "what the mask is drawn from; null where the file is it"),
        _field("shard", pa.string(), "TFRecord file; null for raw"),
        _field("position", pa.int32(), "in the shard; null for raw"),
        _field("group", pa.string(), "null: in none"),
        _field("height", pa.int32()),
        _field("width", pa.int32()),
        _field("mean_iou", pa.float64(), "null: no valid pixel"),
        _field("pixel_accuracy", pa.float64(), "null: no valid pixel"),
        _field("valid_pixels", pa.int64(), "not ignored"),
        _field("confusion_matrix", _COUNTS, "pixels by truth (rows) and prediction, row-major"),
        _field("boundary_intersection", _COUNTS, "pixels in both boundary regions, by class"),
        _field("boundary_union", _COUNTS, "pixels in either boundary region, by class"),
        _field("calibration_pixels", _COUNTS, "pixels of the model's size by confidence, 15 bins"),
        _field("calibration_hits", _COUNTS, "those of them whose class is right"),
        _field("calibration_confidence", pa.list_(pa.float64()), "sum of their confidences"),
        _field(
            "confident_disagreement",
            pa.float64(),
            f"share of valid pixels where a class that is not the truth has {CONFIDENT} or more; "
            "null: no valid pixel",
        ),
        _field("doubtful", pa.binary(), "these pixels, of the model's size, as a PNG of one bit"),
        _field("prediction", pa.binary(), "class ids as PNG"),
        _field("image_part", pa.string(), "where in a pack; or null"),
        _field("mask_part", pa.string(), "where in a pack; or null"),
        _field("mask_uris", pa.list_(pa.string()), "of all annotators, where several; or null"),
        _field("image_sha256", pa.string(), "of the source image's bytes"),
    ]
)


def image_row(
    row: Mapping[str, Any],
    truth: NDArray[Any],
    placement: Placement,
    prediction: "Prediction",
    label_map: LabelMap,
) -> dict[str, Any]:
    """The row of an image.

    Scores are of the masks at the size of the truth. Confidences are there at the model's size
    only; for them the truth is brought to it, each pixel taking the nearest.

    Args:
        row: Of the plan.
        truth: Ids [height, width].
        placement: How the image came to the model's size.
        prediction: What the model says, with its confidences.
        label_map: Classes and ignore id.
    """
    classes, ignore_id = label_map.num_classes, label_map.ignore_id
    confusion = scores.confusion_matrix(truth, prediction.mask, classes, ignore_id)
    intersection, union = boundary_counts(truth, prediction.mask, classes, ignore_id).tolist()
    summary = scores.summarize(confusion, label_map.names)
    return {
        **{name: row.get(name) for name in _ADDRESS},
        "height": truth.shape[0],
        "width": truth.shape[1],
        "mean_iou": summary["mean_iou"],
        "pixel_accuracy": summary["pixel_accuracy"],
        "valid_pixels": int(confusion.sum()),
        "confusion_matrix": confusion.ravel().tolist(),
        "boundary_intersection": intersection,
        "boundary_union": union,
        **_confidence_columns(
            resize_mask(truth, placement, ignore_id)[placement.box], prediction, ignore_id
        ),
        "prediction": encode_mask(prediction.mask),
    }


_ADDRESS = (
    *("key", "image_uri", "mask_uri", "annotation", "shard", "position", "group"),
    *("image_part", "mask_part", "mask_uris", "image_sha256"),
)


def _confidence_columns(
    truth: NDArray[Any], prediction: "Prediction", ignore_id: int
) -> dict[str, Any]:
    assert prediction.seen is not None, "the predictor was told to keep confidences"
    best, confidence = prediction.seen
    valid = truth != ignore_id
    bins = Reliability.count(confidence[valid], best[valid] == truth[valid])
    doubtful = confident_disagreement(truth, best, confidence, ignore_id)
    share = scores.ratio(doubtful.sum(), valid.sum())
    return {
        "calibration_pixels": bins.pixels.tolist(),
        "calibration_hits": bins.hits.tolist(),
        "calibration_confidence": bins.confidence.tolist(),
        "confident_disagreement": None if np.isnan(share) else float(share),
        "doubtful": _png(doubtful),
    }


def _png(where: NDArray[np.bool_]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(where).save(buffer, "PNG")
    return buffer.getvalue()
