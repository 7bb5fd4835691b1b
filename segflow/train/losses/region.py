"""Losses that compare regions: overlap measures made differentiable."""

from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from segflow.train.losses.base import SegmentationLoss, divide_or_zero

_ROUNDING = 1e-7  # what float32 leaves of 1 - 1


class RegionLoss(SegmentationLoss):
    """What the region losses share.

    Only classes that the valid pixels of an image hold have a region there. Those that it lacks
    are left out; predicting them still costs, as it takes probability from those present.
    """

    def _regions(self, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
        """Truth and probabilities, float32 [b, p, n], both 0 where a pixel is not valid."""
        ids, valid, logits = self._flatten(y_true, y_pred)
        valid = ops.expand_dims(valid, -1)
        truth = ops.one_hot(ids, self.num_classes, dtype="float32") * valid
        return truth, ops.softmax(logits) * valid


class Tversky(RegionLoss):
    """Tversky loss (Salehi et al. 2017, https://arxiv.org/abs/1706.05721), and its kin.

    Per image, the weighted mean over the classes present of (1 - T)^(1 / gamma), with

        T = TP / (TP + alpha FP + beta FN),
        TP = sum(p y), FP = sum(p (1 - y)), FN = sum((1 - p) y) over the valid pixels.

    With alpha = beta = 1/2 it is soft Dice (Milletari et al. 2016,
    https://arxiv.org/abs/1606.04797, with a linear denominator), with gamma > 1 the focal
    Tversky loss (Abraham and Khan 2019, https://arxiv.org/abs/1810.07842).
    """

    def __init__(
        self,
        num_classes: int,
        ignore_id: int,
        class_weights: NDArray[np.float32] | None = None,
        alpha: float = 0.5,
        beta: float = 0.5,
        gamma: float = 1.0,
    ) -> None:
        super().__init__(num_classes, ignore_id, class_weights)
        self.alpha = alpha
        self.beta = beta
        self.gamma = gamma

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Losses, float32 [batch], of ids [b, h, w] and logits [b, h, w, n]."""
        truth, predicted = self._regions(y_true, y_pred)
        pixels = ops.sum(truth, axis=1)
        hits = ops.sum(predicted * truth, axis=1)
        false_positives = ops.sum(predicted * (1.0 - truth), axis=1)
        missed = self.alpha * false_positives + self.beta * (pixels - hits)
        return self._mean_over_present(
            self._power(divide_or_zero(missed, hits + missed)), pixels > 0
        )

    def _power(self, loss: Any) -> Any:
        """`loss` to the power of 1 / gamma, with the slope 0 instead of none at 0."""
        if self.gamma == 1:
            return loss
        above = loss > _ROUNDING
        return ops.where(above, ops.power(ops.where(above, loss, 1.0), 1.0 / self.gamma), 0.0)


class GeneralizedDice(RegionLoss):
    """Generalised Dice loss (Sudre et al. 2017, https://arxiv.org/abs/1707.03237).

    Per image, 1 - 2 sum_c(w_c sum(p y)) / sum_c(w_c sum(p + y)) over the classes present, w_c
    being the class weight over the square of the class's valid pixels: small regions count as
    much as large ones.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Losses, float32 [batch], of ids [b, h, w] and logits [b, h, w, n]."""
        truth, predicted = self._regions(y_true, y_pred)
        pixels = ops.sum(truth, axis=1)
        # Shares instead of pixels change nothing in the quotient and keep float32 in its range.
        share = divide_or_zero(pixels, ops.sum(pixels, axis=-1, keepdims=True))
        weight = divide_or_zero(ops.convert_to_tensor(self.class_weights), ops.square(share))
        apart = pixels + ops.sum(predicted, axis=1) - 2.0 * ops.sum(predicted * truth, axis=1)
        around = pixels + ops.sum(predicted, axis=1)
        return divide_or_zero(ops.sum(weight * apart, axis=-1), ops.sum(weight * around, axis=-1))


class LovaszSoftmax(RegionLoss):
    """Lovász-softmax (Berman et al. 2018, https://arxiv.org/abs/1705.08790), per image.

    The weighted mean over the classes present of the Lovász extension of the Jaccard loss
    1 - IoU: the errors |y - p| of the valid pixels in falling order, each times what the pixel
    adds to the Jaccard loss when it is set wrong after those before it.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Losses, float32 [batch], of ids [b, h, w] and logits [b, h, w, n]."""
        truth, predicted = (ops.transpose(a, (0, 2, 1)) for a in self._regions(y_true, y_pred))
        # Ignored pixels have the error 0: whatever their place, they add nothing, and move
        # only pixels that add nothing either.
        errors = ops.abs(truth - predicted)
        errors, order = ops.top_k(errors, ops.shape(errors)[-1])
        extension = ops.sum(errors * _jaccard_steps(ops.take_along_axis(truth, order, -1)), -1)
        return self._mean_over_present(extension, ops.any(truth > 0, axis=-1))


def _jaccard_steps(truth: Any) -> Any:
    """What each pixel adds to the Jaccard loss, all before it being wrong.

    Args:
        truth: 1 for a pixel of the class, else 0; float32 [..., p], in the order of the errors.

    Returns:
        float32 [..., p], where the class has pixels. A pixel of the class, now missed, takes 1
        from the intersection i: 1 / u. Another one adds 1 to the union: i / (u - 1) - i / u.
        As differences of running sums these would be lost in rounding.
    """
    missed = ops.cumsum(truth, axis=-1)
    pixels = missed[..., -1:]
    intersection = pixels - missed
    union = ops.maximum(pixels + ops.cumsum(1.0 - truth, axis=-1), 1.0)
    added = divide_or_zero(intersection, union * (union - 1.0))
    return ops.where(truth > 0, 1.0 / union, added)
