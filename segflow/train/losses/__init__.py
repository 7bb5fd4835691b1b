"""Losses with an ignore id and class weights.

Each loss is first a value of one image, over its valid pixels, then a mean over the images of
the global batch. So it depends neither on how a batch is spread over replicas nor on how many
pixels of its neighbours an image has to compete with. An image whose pixels are all ignored
adds 0. All is computed in float32, whatever the model's precision.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from segflow.train.config import TrainConfig
from segflow.train.loss_config import LossConfig, parse_loss
from segflow.train.losses.base import SegmentationLoss
from segflow.train.losses.boundary import Boundary
from segflow.train.losses.pixel import CrossEntropy, Focal, OnlineHardExamples
from segflow.train.losses.region import GeneralizedDice, LovaszSoftmax, Tversky

_Shared = tuple[int, int, NDArray[np.float32] | None]  # what every loss takes


class WeightedSum(keras.losses.Loss):
    """A sum of losses with factors, per image."""

    def __init__(self, terms: Sequence[tuple[float, SegmentationLoss]]) -> None:
        super().__init__(name="sum", reduction="sum_over_batch_size", dtype="float32")
        self.terms = tuple(terms)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Losses, float32 [batch], of ids [b, h, w] and logits [b, h, w, n]."""
        return sum(factor * loss.call(y_true, y_pred) for factor, loss in self.terms)


def build_loss(
    config: TrainConfig,
    num_classes: int,
    ignore_id: int,
    class_weights: NDArray[np.float32] | None = None,
) -> WeightedSum:
    """The loss of a training.

    Args:
        config: Its `loss` and `loss_options` count.
        num_classes: Number of classes.
        ignore_id: Of pixels that do not count.
        class_weights: float32 [num_classes]; None for 1 each.
    """
    shared: _Shared = (num_classes, ignore_id, class_weights)
    terms = parse_loss(config.loss)
    return WeightedSum([(f, _build(name, config.loss_options, shared)) for f, name in terms])


def _build(name: str, options: LossConfig, shared: _Shared) -> SegmentationLoss:
    tversky = (options.tversky_alpha, options.tversky_beta)
    match name:
        case "ce":
            return CrossEntropy(*shared, options.label_smoothing)
        case "ohem":
            return OnlineHardExamples(*shared, options.label_smoothing, options.ohem_fraction)
        case "focal":
            return Focal(*shared, options.focal_gamma)
        case "dice":
            return Tversky(*shared)
        case "generalized_dice":
            return GeneralizedDice(*shared)
        case "tversky":
            return Tversky(*shared, *tversky)
        case "focal_tversky":
            return Tversky(*shared, *tversky, options.focal_tversky_gamma)
        case "lovasz":
            return LovaszSoftmax(*shared)
        case "boundary":
            return Boundary(*shared)
    raise ValueError(f"no loss is called {name!r}")
