"""Numbers inside a model, and batch norm over all devices, without touching the architectures."""

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf

_ONEDNN_BFLOAT16 = "auto_mixed_precision_onednn_bfloat16"


@contextlib.contextmanager
def precision(name: str) -> Iterator[None]:
    """What is built and traced in the body computes as `--precision` says; weights are float32.

    GPUs follow Keras's dtype policy: layers that are made as float32, such as the logits, stay so.

    CPUs get bfloat16 by TensorFlow's rewrite of the graph for oneDNN: it casts around the costly
    operations alone, leaves batch norm and losses in float32, and its logits and gradients are
    nearer to float32's than those of Keras's policy (`benchmarks/precision.py`, which also times
    both). The values of the logits are rounded, though; under the policy they would not be.
    """
    if name == "mixed_bfloat16" and not tf.config.list_logical_devices("GPU"):
        with _onednn_bfloat16():
            yield
    else:
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(name)
        try:
            yield
        finally:
            keras.config.set_dtype_policy(before)


@contextlib.contextmanager
def _onednn_bfloat16() -> Iterator[None]:
    tf.config.optimizer.set_experimental_options({_ONEDNN_BFLOAT16: True})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({_ONEDNN_BFLOAT16: False})


def synchronized(model: keras.Model) -> keras.Model:
    """A copy of a functional model, weights included, whose batch norm sees the global batch."""

    def copy(layer: keras.Layer) -> keras.Layer:
        config = layer.get_config()
        if isinstance(layer, keras.layers.BatchNormalization):
            config["synchronized"] = True
        return type(layer).from_config(config)

    twin = keras.models.clone_model(model, clone_function=copy, recursive=True)
    twin.set_weights(model.get_weights())
    return twin
