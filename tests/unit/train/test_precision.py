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
