"""Losses with an ignore id and class weights.

Each loss is first a mean over the valid pixels of one image, then a mean over the images of the
global batch. So it depends neither on how a batch is spread over replicas nor on how many pixels
of its neighbours an image has to compete with. An image whose pixels are all ignored adds 0.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray


class SegmentationLoss(keras.losses.Loss):
    """What the losses share: which pixels are valid, and the weight of each class.

    `call` takes ids [batch, height, width] of any number type and float logits
    [batch, height, width, num_classes], and returns one value per image, float32 [batch].

    Args:
        num_classes: Number of classes n; ids 0 to n - 1.
        ignore_id: Pixels with this id count neither in the loss nor in its gradient.
        class_weights: One weight a class, from 0; None for 1 each.
        name: Name of the loss.
    """

    def __init__(
        self,
        num_classes: int,
        ignore_id: int,
        class_weights: NDArray[np.float32] | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, reduction="sum_over_batch_size", dtype="float32")
        self.num_classes = num_classes
        self.ignore_id = ignore_id
        self.class_weights = (
            np.ones(num_classes, np.float32)
            if class_weights is None
            else np.asarray(class_weights, np.float32)
        )

    def _flatten(self, y_true: Any, y_pred: Any) -> tuple[Any, Any, Any]:
        """Ids int32 [b, p] with 0 where invalid, validity float32 [b, p], logits [b, p, n]."""
        batch = ops.shape(y_pred)[0]
        ids = ops.reshape(ops.cast(y_true, "int32"), (batch, -1))
        valid = ops.not_equal(ids, self.ignore_id)
        logits = ops.reshape(y_pred, (batch, -1, self.num_classes))
        return ops.where(valid, ids, 0), ops.cast(valid, "float32"), logits


class CrossEntropy(SegmentationLoss):
    """Cross-entropy: per image, the sum over valid pixels of weight * -log p, over their number."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Losses, float32 [batch], of ids [b, h, w] and logits [b, h, w, n]."""
        ids, valid, logits = self._flatten(y_true, y_pred)
        loss = ops.sparse_categorical_crossentropy(ids, logits, from_logits=True)
        weight = valid * ops.take(ops.convert_to_tensor(self.class_weights), ids)
        return ops.sum(weight * loss, axis=-1) / ops.maximum(ops.sum(valid, axis=-1), 1.0)


class Dice(SegmentationLoss):
    """Soft Dice (Milletari et al. 2016, https://arxiv.org/abs/1606.04797, linear denominator).

    Per image, 1 - the weighted mean, over the classes its valid pixels hold, of
    2 sum(p y) / (sum(p) + sum(y)). Classes that an image lacks have no overlap to speak of and
    are left out; predicting them still costs, as it takes probability from those present.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Losses, float32 [batch], of ids [b, h, w] and logits [b, h, w, n]."""
        ids, valid, logits = self._flatten(y_true, y_pred)
        valid = ops.expand_dims(valid, -1)
        predicted = ops.softmax(logits) * valid
        truth = ops.one_hot(ids, self.num_classes, dtype="float32") * valid
        pixels = ops.sum(truth, axis=1)
        overlap = 2.0 * ops.sum(predicted * truth, axis=1)
        dice = overlap / ops.maximum(ops.sum(predicted, axis=1) + pixels, 1e-7)
        weight = ops.cast(pixels > 0, "float32") * ops.convert_to_tensor(self.class_weights)
        return ops.sum(weight * (1.0 - dice), axis=-1) / ops.maximum(ops.sum(weight, axis=-1), 1e-7)


_LOSSES = {"ce": CrossEntropy, "dice": Dice}


class WeightedSum(keras.losses.Loss):
    """A sum of losses with factors, per image."""

    def __init__(self, terms: Sequence[tuple[float, keras.losses.Loss]]) -> None:
        super().__init__(name="sum", reduction="sum_over_batch_size", dtype="float32")
        self.terms = tuple(terms)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Losses, float32 [batch], of ids [b, h, w] and logits [b, h, w, n]."""
        return sum(factor * loss.call(y_true, y_pred) for factor, loss in self.terms)


def build_loss(
    terms: Sequence[tuple[float, str]],
    num_classes: int,
    ignore_id: int,
    class_weights: NDArray[np.float32] | None = None,
) -> keras.losses.Loss:
    """The loss that `segflow.train.config.parse_loss` has read."""
    return WeightedSum(
        [(f, _LOSSES[name](num_classes, ignore_id, class_weights)) for f, name in terms]
    )
