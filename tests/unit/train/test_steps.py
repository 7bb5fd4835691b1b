"""The training model against Keras's own, and what it watches."""

import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from segflow.train.steps import TrainingModel

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(24, 8, 8, 3)).astype(np.float32)
MASKS = RNG.integers(0, 3, (24, 8, 8))


def _fitted(kind: type[keras.Model], seconds_a_batch: float = 0.0, **settings) -> keras.Model:
    """Two epochs of three steps; dropout, so that random states matter too."""
    keras.utils.set_random_seed(1)
    pixels = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, padding="same")(pixels)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Dropout(0.3)(x)
    model = kind(pixels, keras.layers.Conv2D(3, 1)(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"], **settings)

    def late(image, mask):
        tf.py_function(lambda: time.sleep(seconds_a_batch), [], [])
        return image, mask

    batches = tf.data.Dataset.from_tensor_slices((IMAGES, MASKS)).batch(8).repeat()
    model.fit(batches.map(late), epochs=2, steps_per_epoch=3, verbose=0)
    return model


@pytest.mark.parametrize("xla", [False, True])
def test_it_trains_bit_for_bit_as_keras_does(xla):
    ours = _fitted(TrainingModel, jit_compile=xla)
    keras_s = _fitted(keras.Model, jit_compile=xla)
    assert ours.history.history == keras_s.history.history
    for a, b in zip(ours.get_weights(), keras_s.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_wait_for_batches_is_measured():
    """Of six batches that take 0.2 s each, some are made while the first step is traced."""
    waits = [_fitted(TrainingModel, late, jit_compile=False).input_wait for late in (0.0, 0.2)]
    assert waits[0] + 2 * 0.2 < waits[1]


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_a_weight_without_gradient_does_not_disturb_loss_scaling():
    keras.utils.set_random_seed(1)
    pixels = keras.Input((8, 8, 3))
    unused = keras.layers.Conv2D(3, 1)(pixels)
    logits = keras.layers.Conv2D(3, 1)(pixels + keras.ops.stop_gradient(unused))
    model = TrainingModel(pixels, logits)
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, jit_compile=False)
    optimizer.build(model.trainable_variables)
    before = model.get_weights()
    model.fit(IMAGES, MASKS, batch_size=8, steps_per_epoch=1, shuffle=False, verbose=0)
    changed = [bool((a != b).any()) for a, b in zip(before, model.get_weights(), strict=True)]
    assert changed == [False, False, True, True]
    assert model.fault is None


def test_random_states_are_put_back_as_well():
    model = _fitted(TrainingModel, jit_compile=False)
    before = [v.numpy() for v in model.variables]
    spoilt = IMAGES.copy()
    spoilt[7, 3, 3, 0] = np.inf
    model.fit(spoilt, MASKS, batch_size=8, steps_per_epoch=1, shuffle=False, verbose=0)
    assert model.fault == "loss"
    for a, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(a, variable.numpy(), err_msg=variable.path)
