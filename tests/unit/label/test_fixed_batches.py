"""Batches of one shape, and of a smaller one for good where the device has no memory."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf

from segflow.errors import JobError
from segflow.label.fixed_batches import FixedBatches
from segflow.label.predictor import Predictor
from segflow.train.bundle import Bundle
from tests.bundles import write_bundle
from tests.drawn import LABELS, scene

SIZE = (2, 3)


class Device:
    """Has memory for `room` pictures at once; `traced` are the shapes that were traced."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.traced: list[int] = []

    def sums(self, pixels: tf.Tensor) -> tuple[tf.Tensor]:
        """A model: the sum of each picture's pixels."""
        self.traced.append(pixels.shape[0])
        return (tf.reduce_sum(tf.cast(self.take(pixels), tf.int64), axis=(1, 2, 3)),)

    def take(self, pixels: tf.Tensor) -> tf.Tensor:
        """The pixels; TensorFlow makes a ResourceExhaustedError of Python's MemoryError."""
        taken = tf.numpy_function(self._check, [pixels], tf.uint8)
        taken.set_shape(pixels.shape)
        return taken

    def _check(self, batch: np.ndarray) -> np.ndarray:
        if len(batch) > self.room:
            raise MemoryError(f"{len(batch)} pictures")
        return batch


def _pictures(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *SIZE, 3), dtype=np.uint8)


def _ask(batches: FixedBatches, pictures: np.ndarray) -> list[int]:
    return [int(number) for (part,) in batches(pictures) for number in part]


def _sums(pictures: np.ndarray) -> list[int]:
    return pictures.sum((1, 2, 3), dtype=np.int64).tolist()


@pytest.mark.parametrize("count", [0, 1, 4, 11])
def test_one_shape_is_traced_and_padding_is_not_handed_on(count):
    device = Device(room=4)
    pictures = _pictures(count)

    assert _ask(FixedBatches(device.sums, 4, SIZE, "m"), pictures) == _sums(pictures)
    assert device.traced == [4]


def test_without_memory_the_shape_is_halved_for_good_and_nothing_is_lost(caplog):
    device, pictures = Device(room=3), _pictures(10)
    batches = FixedBatches(device.sums, 8, SIZE, "m")

    with caplog.at_level("WARNING"):
        assert _ask(batches, pictures) == _sums(pictures)
    assert device.traced == [8, 4, 2]
    assert "model m: no memory for 4 pictures at once, 2 from now on" in caplog.text
    assert _ask(batches, pictures[:5]) == _sums(pictures[:5])
    assert device.traced == [8, 4, 2]


def test_what_is_said_lies_in_the_machines_own_memory():
    (said,) = FixedBatches(Device(room=4).sums, 4, SIZE, "m")(_pictures(3))
    assert [(type(each), each.shape) for each in said] == [(np.ndarray, (3,))]


def test_memory_may_run_out_later():
    device, pictures = Device(room=4), _pictures(10)
    batches = FixedBatches(device.sums, 4, SIZE, "m")
    said = batches(pictures)
    (first,) = next(said)
    device.room = 2

    rest = [int(number) for (part,) in said for number in part]

    assert [*first.tolist(), *rest] == _sums(pictures)
    assert device.traced == [4, 2]


def test_not_even_one_picture_is_said_in_a_line():
    device = Device(room=0)

    with pytest.raises(JobError, match="model m: the device has no memory for one picture of 2x3"):
        _ask(FixedBatches(device.sums, 3, SIZE, "m"), _pictures(2))
    assert device.traced == [3, 1]


def test_threads_that_run_out_together_halve_once():
    device, pictures = Device(room=4), _pictures(64)
    batches = FixedBatches(device.sums, 8, SIZE, "m")

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda part: _ask(batches, part), np.split(pictures, 8)))

    assert [number for part in found for number in part] == _sums(pictures)
    assert device.traced == [8, 4]


@pytest.mark.parametrize("policy", ["stretch", "tile"])
def test_predictions_are_the_same_in_smaller_batches(policy, tmp_path, monkeypatch):
    bundle = Bundle.load(write_bundle(tmp_path / "m", LABELS, (16, 24), policy))
    images = [scene(number, (40, 50 + number))[0] for number in range(5)]
    expected = Predictor(bundle, 4).segment(images)
    device, plain = Device(room=2), Predictor._logits_and_statistics

    def scarce(self, pixels):
        device.traced.append(pixels.shape[0])
        return plain(self, device.take(pixels))

    monkeypatch.setattr(Predictor, "_logits_and_statistics", scarce)

    found = Predictor(bundle, 4).segment(images)

    assert device.traced == [4, 2]
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(one.mask, other.mask)
        assert one.confidence == other.confidence
        assert np.array_equal(one.class_confidence, other.class_confidence, equal_nan=True)
