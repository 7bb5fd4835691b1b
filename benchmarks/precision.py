"""bfloat16 on a CPU, two ways: how fast a training step is, and how near to float32.

    python -m benchmarks.precision

Prints, for float32, Keras's dtype policy and TensorFlow's rewrite for oneDNN (which `--precision
mixed_bfloat16` takes on CPUs): the time of a step of the default U-Net at 240 x 320, the largest
difference of the logits, and the cosine of the angle between the gradients and float32's.
"""

import contextlib
import statistics
import sys
import time
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from segflow.models.registry import build_model
from segflow.train.precision import precision

SIZE, CLASSES, BATCH, STEPS = (240, 320), 11, 8, 10


def main() -> None:
    """Measures one way after the other, in one process."""
    exact = None
    for name, way in (("float32", "float32"), ("policy", "policy"), ("onednn", "mixed_bfloat16")):
        with _computing(way):
            seconds, logits, gradients = _measure()
        exact = exact or (logits, gradients)
        cosines = [_cosine(a, b) for a, b in zip(exact[1], gradients, strict=True)]
        sys.stdout.write(
            f"{name}: {1000 * seconds:.0f} ms a step, logits differ by up to "
            f"{np.abs(logits - exact[0]).max():.3f} of {np.abs(exact[0]).max():.3f}, gradients: "
            f"median cosine {statistics.median(cosines):.4f}\n"
        )


@contextlib.contextmanager
def _computing(way: str) -> Iterator[None]:
    if way != "policy":
        with precision(way):
            yield
        return
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy("float32")


def _measure() -> tuple[float, Any, list[Any]]:
    """Seconds of the fastest step, and logits and gradients at the first weights."""
    keras.utils.set_random_seed(1)
    images, masks = _data()
    model = build_model("unet", SIZE, CLASSES, {"filters": 16, "depth": 4})
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, dtype="float32")
    optimizer = keras.optimizers.Adam(0.002)
    optimizer.build(model.trainable_variables)

    @tf.function
    def step() -> tuple[Any, list[Any]]:
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            value = loss(masks, logits)
        gradients = tape.gradient(value, [v.value for v in model.trainable_variables])
        optimizer.apply(gradients, model.trainable_variables)
        return logits, gradients

    first = tf.nest.map_structure(lambda tensor: tensor.numpy(), step())
    seconds = []
    for _ in range(STEPS):
        began = time.monotonic()
        step()
        seconds.append(time.monotonic() - began)
    return min(seconds), *first


def _data() -> tuple[Any, Any]:
    """Smooth noise, and classes that depend on it."""
    noise = np.random.default_rng(0).uniform(0, 255, (BATCH, *SIZE, 3)).astype(np.float32)
    images = np.clip(tf.nn.avg_pool2d(noise, 9, 1, "SAME").numpy() * 2 - 128, 0, 255)
    return images, np.clip(images[..., 0] / 255 * CLASSES, 0, CLASSES - 1).astype(np.int32)


def _cosine(a: Any, b: Any) -> float:
    return float((a * b).sum() / max(1e-30, np.linalg.norm(a) * np.linalg.norm(b)))


if __name__ == "__main__":
    main()
