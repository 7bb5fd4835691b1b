"""The distribution strategy over `--devices`."""

import contextlib
from collections.abc import Callable

import tensorflow as tf

from segflow.errors import UsageError
from segflow.train.config import parse_devices


def build_strategy(devices: str) -> tf.distribute.Strategy:
    """The strategy for `auto`, `cpu:N` or `gpu:N`; call it before TensorFlow is used.

    Several devices are replicas of a `MirroredStrategy`, which splits each global batch evenly.
    GPUs take memory as they need it.

    Raises:
        UsageError: There are not so many GPUs, or TensorFlow was used before with other devices.
    """
    kind, number = parse_devices(devices)
    gpus = tf.config.list_physical_devices("GPU")
    if kind == "cpu" or (kind == "auto" and not gpus):
        return _cpu_strategy(number or 1)
    number = number or len(gpus)
    if number > len(gpus):
        raise UsageError(
            f"--devices {devices}: this machine shows TensorFlow {len(gpus)} GPUs; ask for at "
            "most so many, or for cpu:1"
        )
    _configure(lambda: [tf.config.experimental.set_memory_growth(gpu, True) for gpu in gpus])
    return _strategy([f"GPU:{i}" for i in range(number)])


def _cpu_strategy(number: int) -> tf.distribute.Strategy:
    cpu = tf.config.list_physical_devices("CPU")[0]

    def configure() -> None:
        tf.config.set_visible_devices([], "GPU")
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration() for _ in range(number)]
        )

    _configure(configure)
    enough = len(tf.config.list_logical_devices("CPU")) >= number
    if not enough or tf.config.list_logical_devices("GPU"):
        raise UsageError(
            f"--devices cpu:{number}: TensorFlow was already used in this process with other "
            "devices; train in a fresh process"
        )
    return _strategy([f"CPU:{i}" for i in range(number)])


def _strategy(names: list[str]) -> tf.distribute.Strategy:
    # One device needs no mirroring: the default strategy spares its bookkeeping.
    return tf.distribute.MirroredStrategy(names) if len(names) > 1 else tf.distribute.get_strategy()


def _configure(change: Callable[[], object]) -> None:
    # TensorFlow refuses changes once it is in use; what counts is whether the devices fit then.
    with contextlib.suppress(RuntimeError):
        change()
