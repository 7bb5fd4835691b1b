"""Numbers inside the model, and that bundles do not show them."""

import io
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console

from segflow.train.bundle import Bundle
from segflow.train.precision import precision, synchronized
from segflow.train.trainer import train
from tests.unit.train.datasets import small_config


@pytest.mark.parametrize("name", ["mixed_float16", "mixed_bfloat16"])
def test_a_bundle_is_plain_float32_whatever_it_was_trained_in(dataset_folder, tmp_path, name):
    config = small_config(
        dataset_folder, tmp_path / "m", precision=name, sync_batch_norm=True, epochs=2
    )
    bundle = Bundle.load(train(config, Console(file=io.StringIO())))
    model = keras.models.load_model(bundle.model_path)  # bare, as anyone would
    for layer in model.layers:
        assert layer.dtype_policy.name == "float32"
        assert not getattr(layer, "synchronized", False)
    assert {v.dtype for v in model.variables} == {"float32"}
    assert bundle.record["training"]["precision"] == name
    assert bundle.record["metrics"]["mean_iou"] > 0
    assert math.isfinite(bundle.record["training"]["seconds"])


def test_the_body_of_float16_computes_in_it_and_what_follows_does_not():
    with precision("mixed_float16"):
        inside = keras.layers.Dense(2)
    outside = keras.layers.Dense(2)
    assert (inside.compute_dtype, inside.variable_dtype) == ("float16", "float32")
    assert outside.compute_dtype == "float32"


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="CPUs only")
def test_the_rewrite_for_cpus_ends_with_the_body():
    option = "auto_mixed_precision_onednn_bfloat16"
    with pytest.raises(KeyError), precision("mixed_bfloat16"):
        assert tf.config.optimizer.get_experimental_options()[option]
        assert keras.layers.Dense(2).compute_dtype == "float32"
        raise KeyError
    assert not tf.config.optimizer.get_experimental_options()[option]


def _gradients_and_variance(name):
    """Of a network with biases and batch norm, over 4 x 64 x 64 pixels."""
    keras.utils.set_random_seed(1)
    random = np.random.default_rng(0)
    images = tf.constant(random.normal(1, 1, (4, 64, 64, 3)), tf.float32)
    truth = tf.constant(random.integers(0, 4, (4, 64, 64)))
    with precision(name):
        pixels = keras.Input((64, 64, 3))
        x = keras.layers.Conv2D(8, 3, padding="same", use_bias=False)(pixels)
        norm = keras.layers.BatchNormalization(momentum=0.0)
        x = keras.layers.ReLU()(norm(x))
        x = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(x)
        model = keras.Model(pixels, keras.layers.Conv2D(4, 1)(x))

        @tf.function
        def step():
            with tf.GradientTape() as tape:
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
                    truth, model(images, training=True)
                )
                loss = tf.reduce_mean(losses)
            return tape.gradient(loss, [v.value for v in model.trainable_variables])

        found = [gradient.numpy() for gradient in step()]
    biases = [g for v, g in zip(model.trainable_variables, found, strict=True) if v.name == "bias"]
    return np.concatenate(biases), norm.moving_variance.numpy()


def test_a_training_computes_alike_whatever_ran_in_its_process() -> None:
    """A predictor turns this off for good; a training that was resumed elsewhere had it on."""
    options = tf.config.optimizer
    before = options.get_experimental_options().get("arithmetic_optimization", True)
    options.set_experimental_options({"arithmetic_optimization": False})
    try:
        with precision("float32"):
            assert options.get_experimental_options()["arithmetic_optimization"]
        assert not options.get_experimental_options()["arithmetic_optimization"]
    finally:
        options.set_experimental_options({"arithmetic_optimization": before})


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="CPUs only")
def test_sums_over_pixels_are_float32_on_cpus():
    """Summed in bfloat16, the gradients are off by 1 % here, and the variance by 0.3 %."""
    exact, exact_variance = _gradients_and_variance("float32")
    gradients, variance = _gradients_and_variance("mixed_bfloat16")
    assert np.linalg.norm(gradients - exact) < 0.006 * np.linalg.norm(exact)
    np.testing.assert_allclose(variance, exact_variance, rtol=2e-3)


def test_a_synchronised_copy_has_the_same_weights_and_output():
    pixels = keras.Input((4, 4, 3))
    x = keras.layers.BatchNormalization(name="norm")(keras.layers.Conv2D(2, 1)(pixels))
    model = keras.Model(pixels, x)
    for variable in model.variables:
        variable.assign(np.random.default_rng(1).uniform(0.5, 1.5, variable.shape))
    twin = synchronized(model)
    assert twin.get_layer("norm").synchronized
    assert not model.get_layer("norm").synchronized
    images = np.random.default_rng(0).normal(size=(2, 4, 4, 3))
    np.testing.assert_array_equal(twin(images), model(images))
