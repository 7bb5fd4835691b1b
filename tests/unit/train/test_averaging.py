"""The moving average of the weights, where the validation looks."""

import keras
import numpy as np

from segflow.train.averaging import ValidateAverage
from segflow.train.steps import TrainingModel
from segflow.train.variables import read_variables

MOMENTUM = 0.75


class Noting(keras.callbacks.Callback):
    """The weights after each step, during the validation, and after it."""

    def __init__(self) -> None:
        super().__init__()
        self.after_step, self.validated, self.after_epoch = [], [], []

    def _weights(self):
        return read_variables(self.model.trainable_variables)

    def on_train_batch_end(self, batch, logs=None):
        self.after_step.append(self._weights())

    def on_test_end(self, logs=None):
        self.validated.append(self._weights())

    def on_epoch_end(self, epoch, logs=None):
        self.after_epoch.append(self._weights())


def test_the_validation_uses_the_average_and_the_training_goes_on_unchanged():
    """Compared with the average by its definition, from the weights after each step."""
    rng = np.random.default_rng(0)
    images, masks = rng.normal(size=(8, 4, 4, 3)), rng.integers(0, 3, (8, 4, 4))
    pixels = keras.Input((4, 4, 3))
    model = TrainingModel(pixels, keras.layers.Conv2D(3, 1)(pixels))
    optimizer = keras.optimizers.SGD(0.5, use_ema=True, ema_momentum=MOMENTUM)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, jit_compile=False)
    optimizer.build(model.trainable_variables)
    noting = Noting()
    model.fit(
        images,
        masks,
        batch_size=2,
        epochs=2,
        validation_data=(images, masks),
        callbacks=[noting, ValidateAverage(model.trainable_variables)],
        verbose=0,
    )
    average, averages = noting.after_step[0], []
    for weights in noting.after_step:
        average = [MOMENTUM * a + (1 - MOMENTUM) * b for a, b in zip(average, weights, strict=True)]
        averages.append(average)
    for epoch, last in enumerate((3, 7)):
        for a, b in zip(noting.validated[epoch], averages[last], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
        for a, b in zip(noting.after_epoch[epoch], noting.after_step[last], strict=True):
            np.testing.assert_array_equal(a, b)
