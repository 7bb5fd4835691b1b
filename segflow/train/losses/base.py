"""What the losses share: valid pixels, class weights, means over images."""

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray


class SegmentationLoss(keras.losses.Loss):
    """A loss with an ignore id and class weights, one value per image.

    `call` takes ids [batch, height, width] of any number type and float logits
    [batch, height, width, num_classes], and returns one value per image, float32 [batch].
    Calling the loss gives their mean over the images, float32 [].

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

    def _ids(self, y_true: Any) -> tuple[Any, Any]:
        """Ids int32 and validity bool, each [b, h, w]; the id is 0 where it is not valid."""
        ids = ops.cast(y_true, "int32")
        valid = ops.not_equal(ids, self.ignore_id)
        return ops.where(valid, ids, 0), valid

    def _flatten(self, y_true: Any, y_pred: Any) -> tuple[Any, Any, Any]:
        """Ids int32 [b, p] with 0 where invalid, validity float32 [b, p], logits [b, p, n]."""
        ids, valid = self._ids(y_true)
        batch = ops.shape(y_pred)[0]
        logits = ops.reshape(ops.cast(y_pred, "float32"), (batch, -1, self.num_classes))
        valid = ops.cast(ops.reshape(valid, (batch, -1)), "float32")
        return ops.reshape(ids, (batch, -1)), valid, logits

    def _weigh(self, values: Any, ids: Any) -> Any:
        """`values` [b, p], each times the weight of the class in `ids` [b, p]."""
        return values * ops.take(ops.convert_to_tensor(self.class_weights), ids)

    def _mean_over_present(self, values: Any, present: Any) -> Any:
        """The weighted mean [b] of `values` [b, n] over the classes that an image holds.

        Args:
            values: A loss for each class.
            present: Whether any valid pixel of the image is of the class, bool [b, n].
        """
        weight = ops.cast(present, "float32") * ops.convert_to_tensor(self.class_weights)
        return divide_or_zero(ops.sum(weight * values, axis=-1), ops.sum(weight, axis=-1))


def divide_or_zero(whole: Any, part: Any) -> Any:
    """`whole / part` where `part` is above 0, else 0; so is the gradient."""
    above = part > 0
    return ops.where(above, whole / ops.where(above, part, 1.0), 0.0)
