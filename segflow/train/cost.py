"""What a model costs to run."""

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf


def floating_point_operations(model: keras.Model) -> int:
    """Floating-point operations of a forward pass over one image of the model's size.

    As TensorFlow's profiler counts them: a multiplication and an addition are two.
    """
    shape = (1, *model.input_shape[1:])
    forward = tf.function(lambda pixels: model(pixels, training=False), jit_compile=False)
    graph = forward.get_concrete_function(tf.TensorSpec(shape, tf.float32)).graph
    builder = tf.compat.v1.profiler.ProfileOptionBuilder
    options = builder(builder.float_operation()).with_empty_output().build()
    with _without_warnings():
        counted = tf.compat.v1.profiler.profile(graph, options=options)
    return int(counted.total_float_ops)


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """The profiler uses what TensorFlow itself calls deprecated."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        logger.setLevel(level)
