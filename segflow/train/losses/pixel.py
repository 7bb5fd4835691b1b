"""Losses that are a mean over pixels: cross-entropy and what stresses its hard pixels."""

from fractions import Fraction
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from segflow.train.losses.base import SegmentationLoss, divide_or_zero

_LARGEST_DENOMINATOR = 10**9  # times the pixels of any image it fits into 64 bits


class CrossEntropy(SegmentationLoss):
    """Cross-entropy: per image, the sum over valid pixels of weight * -log p, over their number.

    With label smoothing s (Szegedy et al. 2016, https://arxiv.org/abs/1512.00567) the truth of a
    pixel is 1 - s + s / n for its class and s / n for each other; the weight stays that of its
    class.
    """

    def __init__(
        self,
        num_classes: int,
        ignore_id: int,
        class_weights: NDArray[np.float32] | None = None,
        smoothing: float = 0.0,
    ) -> None:
        super().__init__(num_classes, ignore_id, class_weights)
        self.smoothing = smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Losses, float32 [batch], of ids [b, h, w] and logits [b, h, w, n]."""
        loss, valid = self._pixels(y_true, y_pred)
        return divide_or_zero(ops.sum(loss, axis=-1), ops.sum(valid, axis=-1))

    def _pixels(self, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
        """Weighted losses, 0 where invalid, and validity; both float32 [b, p]."""
        ids, valid, logits = self._flatten(y_true, y_pred)
        loss = ops.sparse_categorical_crossentropy(ids, logits, from_logits=True)
        if self.smoothing:
            uniform = ops.logsumexp(logits, axis=-1) - ops.mean(logits, axis=-1)
            loss = (1.0 - self.smoothing) * loss + self.smoothing * uniform
        return valid * self._weigh(loss, ids), valid


class OnlineHardExamples(CrossEntropy):
    """Cross-entropy over the hardest pixels of each image (Wu et al. 2016, "bootstrapping").

    https://arxiv.org/abs/1605.06885; after Shrivastava et al. 2016,
    https://arxiv.org/abs/1604.03540. Per image with v valid pixels, the mean of the
    ceil(fraction * v) largest of the losses that `CrossEntropy` takes the mean of.
    """

    def __init__(
        self,
        num_classes: int,
        ignore_id: int,
        class_weights: NDArray[np.float32] | None = None,
        smoothing: float = 0.0,
        fraction: float = 0.25,
    ) -> None:
        super().__init__(num_classes, ignore_id, class_weights, smoothing)
        # As its decimal digits say: times 50, the nearest float32 to 0.3 is above 15.
        self.fraction = Fraction(str(fraction)).limit_denominator(_LARGEST_DENOMINATOR)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Losses, float32 [batch], of ids [b, h, w] and logits [b, h, w, n]."""
        loss, valid = self._pixels(y_true, y_pred)
        # Ignored pixels go last: their losses must not take the place of a valid pixel's 0.
        hardest = -ops.sort(ops.where(valid > 0, -loss, np.inf), axis=-1)
        kept = self._share(ops.sum(ops.cast(valid, "int64"), axis=-1, keepdims=True))
        places = ops.arange(ops.shape(loss)[1], dtype="int64")
        total = ops.sum(ops.where(places < kept, hardest, 0.0), axis=-1)
        return divide_or_zero(total, ops.cast(kept[:, 0], "float32"))

    def _share(self, pixels: Any) -> Any:
        """`fraction` of whole numbers, rounded up; int64."""
        above, below = self.fraction.numerator, self.fraction.denominator
        return (pixels * above + below - 1) // below


class Focal(SegmentationLoss):
    """Focal loss (Lin et al. 2017, https://arxiv.org/abs/1708.02002).

    Per image, the mean over valid pixels of weight * (1 - p)^gamma * -log p, p being the
    probability of the true class. The class weights are the paper's alpha.
    """

    def __init__(
        self,
        num_classes: int,
        ignore_id: int,
        class_weights: NDArray[np.float32] | None = None,
        gamma: float = 2.0,
    ) -> None:
        super().__init__(num_classes, ignore_id, class_weights)
        self.gamma = gamma

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Losses, float32 [batch], of ids [b, h, w] and logits [b, h, w, n]."""
        ids, valid, logits = self._flatten(y_true, y_pred)
        entropy = ops.sparse_categorical_crossentropy(ids, logits, from_logits=True)
        # 1 - p without cancellation; below this floor a power would have no finite slope.
        wrong = ops.maximum(-ops.expm1(-entropy), 1e-7)
        loss = valid * self._weigh(ops.power(wrong, self.gamma) * entropy, ids)
        return divide_or_zero(ops.sum(loss, axis=-1), ops.sum(valid, axis=-1))
