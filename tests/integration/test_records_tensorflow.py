"""TensorFlow reads the records that we write without it."""

import io

import numpy as np
import tensorflow as tf
from PIL import Image

from segflow.data.records import Record, encode_example, read_frames, write_frame

BYTES = tf.io.FixedLenFeature([], tf.string)
NUMBER = tf.io.FixedLenFeature([], tf.int64)
FEATURES = {
    "image/encoded": BYTES,
    "image/format": BYTES,
    "image/height": NUMBER,
    "image/width": NUMBER,
    "image/channels": NUMBER,
    "image/filename": BYTES,
    "image/source_id": BYTES,
    "image/key/sha256": BYTES,
    "image/segmentation/class/encoded": BYTES,
    "image/segmentation/class/format": BYTES,
}


def _png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def _record(image: np.ndarray, mask: np.ndarray, name: str = "é.png") -> Record:
    height, width = mask.shape
    return Record(_png(image), "png", _png(mask), height, width, 3, name, f"train/{name}")


def _write(path, records):
    with path.open("wb") as file:
        for record in records:
            write_frame(file, encode_example(record))


def test_images_and_masks_of_8_and_16_bits_come_back_exactly(tmp_path):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (5, 7, 3), np.uint8)
    masks = [
        rng.integers(0, 256, (5, 7)).astype(np.uint8),
        rng.integers(0, 65536, (5, 7)).astype(np.uint16),
    ]
    _write(tmp_path / "file", [_record(image, mask) for mask in masks])

    dataset = tf.data.TFRecordDataset(str(tmp_path / "file"))
    for serialized, mask, dtype in zip(dataset, masks, (tf.uint8, tf.uint16), strict=True):
        parsed = tf.io.parse_single_example(serialized, FEATURES)
        np.testing.assert_array_equal(tf.io.decode_png(parsed["image/encoded"]), image)
        encoded = parsed["image/segmentation/class/encoded"]
        decoded = tf.io.decode_png(encoded, channels=1, dtype=dtype)
        np.testing.assert_array_equal(decoded[..., 0], mask)
        assert parsed["image/height"].numpy() == 5
        assert parsed["image/width"].numpy() == 7
        assert parsed["image/filename"].numpy().decode() == "é.png"
        assert parsed["image/source_id"].numpy().decode() == "train/é.png"


def test_the_message_is_tensorflows_own(tmp_path):
    ours = encode_example(_record(np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.uint8)))
    theirs = tf.train.Example.FromString(ours)

    assert set(theirs.features.feature) == set(FEATURES)
    assert theirs.SerializeToString(deterministic=True) == ours


def test_files_of_tensorflow_are_read_by_us_and_ours_are_equal_to_them(tmp_path):
    payloads = [b"", b"abc", bytes(range(256)) * 500]
    with tf.io.TFRecordWriter(str(tmp_path / "theirs")) as writer:
        for payload in payloads:
            writer.write(payload)
    with (tmp_path / "ours").open("wb") as file:
        for payload in payloads:
            write_frame(file, payload)

    assert list(read_frames(tmp_path / "theirs")) == payloads
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
