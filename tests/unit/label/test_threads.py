"""One graph in several threads: sums of large arrays among them."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from segflow.label.threads import for_threads

Sum = Callable[[list[tf.Tensor]], tf.Tensor]
SHAPE = (8, 128, 128, 1)  # of which sums of 160 channels take more than TensorFlow thinks there is


def _added_up(parts: list[tf.Tensor]) -> tf.Tensor:
    return parts[0] + parts[1] + parts[2] + parts[3]


@pytest.mark.parametrize("add", [_added_up, tf.add_n])
def test_threads_that_add_up_do_not_stop_each_other(add: Sum) -> None:
    def mean_of_sums(pixels: tf.Tensor) -> Any:
        wide = tf.tile(pixels, [1, 1, 1, 160])
        return tf.reduce_mean(add([tf.sin(wide + float(i)) for i in range(4)]), axis=-1)

    graph = for_threads(mean_of_sums, tf.TensorSpec(SHAPE, tf.float32))
    batches = [tf.fill(SHAPE, float(i)) for i in range(3)] * 3

    with ThreadPoolExecutor(3) as pool:
        found = [result.numpy() for result in pool.map(graph, batches)]

    for batch, result in zip(batches, found, strict=True):
        expected = sum(np.sin(batch.numpy()[..., 0] + float(i)) for i in range(4))
        assert result == pytest.approx(expected, abs=1e-5)
