"""TensorBoard: image | truth | prediction of some validation examples, epoch by epoch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from segflow.dataset import Dataset
from segflow.label_map import LabelMap
from segflow.train.input import stored_examples

_EXAMPLES = 4


class Panels(keras.callbacks.Callback):
    """Writes a picture of each of the first validation examples after each validation.

    Args:
        dataset: Whose split `val` is shown.
        logs: TensorBoard's folder; the pictures go to its run `validation`.
    """

    def __init__(self, dataset: Dataset, logs: Path) -> None:
        super().__init__()
        examples = stored_examples(dataset, "val").take(_EXAMPLES)
        images, masks, keys = zip(*examples.as_numpy_iterator(), strict=True)
        self._images, self._masks = np.stack(images), np.stack(masks)
        self._keys = [key.decode() for key in keys]
        self._label_map = dataset.label_map
        self._writer = tf.summary.create_file_writer(str(logs / "validation"))
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Notes the epoch."""
        self._epoch = epoch

    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Predicts with the weights that were validated, and writes."""
        found = self.model.predict_on_batch(self._images).argmax(-1)
        with self._writer.as_default(step=self._epoch):
            for i, key in enumerate(self._keys):
                picture = panel(self._images[i], self._masks[i], found[i], self._label_map)
                tf.summary.image(key, picture[np.newaxis])

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Closes the file."""
        self._writer.close()


def panel(
    image: NDArray[Any], truth: NDArray[Any], prediction: NDArray[Any], label_map: LabelMap
) -> NDArray[np.uint8]:
    """Image, truth and prediction side by side, uint8 [h, 3 w, 3]; ignored pixels are black.

    Args:
        image: [h, w, 3] in 0-255.
        truth: Ids [h, w].
        prediction: Ids [h, w].
        label_map: Gives the colours.
    """
    palette = np.vstack([label_map.palette(), np.zeros((1, 3), np.uint8)])
    masks = [palette[np.minimum(ids, label_map.num_classes)] for ids in (truth, prediction)]
    return np.concatenate([image.astype(np.uint8), *masks], axis=1)
