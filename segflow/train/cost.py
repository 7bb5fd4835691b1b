"""What a model costs to run."""

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf


def floating_point_operations(model: keras.Model) -> int:
    """Floating-point operations of a forward pass over one image of the model's size.

    As TensorFlow's profiler counts them: a multiplication and an addition are two, resizing is
    none. It passes over Einstein sums, such as attention's; these are counted here.
    """
    shape = (1, *model.input_shape[1:])
    forward = tf.function(lambda pixels: model(pixels, training=False), jit_compile=False)
    graph = forward.get_concrete_function(tf.TensorSpec(shape, tf.float32)).graph
    builder = tf.compat.v1.profiler.ProfileOptionBuilder
    options = builder(builder.float_operation()).with_empty_output().build()
    with _without_warnings():
        counted = tf.compat.v1.profiler.profile(graph, options=options)
    sums = [operation for operation in graph.get_operations() if operation.type == "Einsum"]
    return int(counted.total_float_ops) + sum(map(_of_sum, sums))


def _of_sum(operation: Any) -> int:
    """Two for each combination of indices of a product of two tensors; none for one tensor's."""
    terms = operation.get_attr("equation").decode().split("->")[0].split(",")
    if len(terms) == 1:
        return 0
    sizes = {
        index: size
        for term, tensor in zip(terms, operation.inputs, strict=True)
        for index, size in zip(term, tensor.shape, strict=True)
    }
    return 2 * math.prod(sizes.values())


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
