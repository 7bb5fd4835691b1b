"""Numbers inside a model, and batch norm over all devices, without touching the architectures."""

import contextlib
import os
from collections.abc import Iterator

import keras
import tensorflow as tf

_ARITHMETIC = "arithmetic_optimization"
_ONEDNN_BFLOAT16 = "auto_mixed_precision_onednn_bfloat16"
# The rewrite would also sum in bfloat16, and 8 bits lose most of a sum over pixels: batch norm's
# moments and the gradients of biases. It reads this variable whenever it rewrites a graph.
_NEVER_REWRITTEN = "TF_AUTO_MIXED_PRECISION_GRAPH_REWRITE_INFERLIST_REMOVE"
_SUMS = "Mean,SquaredDifference,Square,Sum,Rsqrt,BiasAdd,BiasAddGrad"


@contextlib.contextmanager
def precision(name: str) -> Iterator[None]:
    """What is built and traced in the body computes as `--precision` says; weights are float32.

    GPUs follow Keras's dtype policy: layers that are made as float32, such as the logits, stay so.

    CPUs get bfloat16 by TensorFlow's rewrite of the graph for oneDNN, which takes convolutions and
    what lies between them; moments of batch norm, biases, losses and weights stay float32. It is
    faster than Keras's policy, and its logits and gradients are nearer to float32's
    (`benchmarks/precision.py`). The last convolution's values are rounded to bfloat16 before its
    bias, though; under the policy they would not be.
    """
    with _as_in_a_fresh_process():
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
def _as_in_a_fresh_process() -> Iterator[None]:
    """Sums are rewritten as usual, for the same bits: predictors of the process turn that off."""
    before = tf.config.optimizer.get_experimental_options().get(_ARITHMETIC, True)
    tf.config.optimizer.set_experimental_options({_ARITHMETIC: True})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({_ARITHMETIC: before})


@contextlib.contextmanager
def _onednn_bfloat16() -> Iterator[None]:
    before = os.environ.get(_NEVER_REWRITTEN)
    os.environ[_NEVER_REWRITTEN] = _SUMS
    tf.config.optimizer.set_experimental_options({_ONEDNN_BFLOAT16: True})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({_ONEDNN_BFLOAT16: False})
        if before is None:
            del os.environ[_NEVER_REWRITTEN]
        else:
            os.environ[_NEVER_REWRITTEN] = before


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
