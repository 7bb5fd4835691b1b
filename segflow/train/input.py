"""Batches from a dataset's TFRecord shards, in a bounded amount of memory.

What epoch e holds is a function of (seed, e) alone: how often it shows each example, their order
and their augmentation. So a resumed training sees what an undisturbed one would, and the
devices never wait for an epoch to begin, as the next one is read while the last one ends.
"""

from collections.abc import Callable, Iterable
from typing import Any

import tensorflow as tf

from segflow.dataset import Dataset, Split
from segflow.train.augment import augment
from segflow.train.config import TrainConfig, steps_per_epoch
from segflow.train.sampling import class_balanced_shares

_WINDOW_BYTES = 128 * 2**20  # of encoded examples that are shuffled together
_OPEN_SHARDS = 8
_PREFETCHED_BATCHES = 4

# What a random key is for; without it, two uses in one epoch would draw the same numbers.
_ORDER, _SHUFFLE, _AUGMENT, _SAMPLE = 0, 1, 2, 3

_FEATURES = {
    "image/encoded": tf.io.FixedLenFeature([], tf.string),
    "image/segmentation/class/encoded": tf.io.FixedLenFeature([], tf.string),
    "image/source_id": tf.io.FixedLenFeature([], tf.string),
}


def training_batches(dataset: Dataset, config: TrainConfig, first_epoch: int) -> tf.data.Dataset:
    """The batches of epochs `first_epoch` to the last, one epoch after the other.

    Each epoch takes `steps_per_epoch` full batches of its shuffled examples: each once, or as often
    as its share of a balanced epoch says.

    Returns:
        (image, mask): float32 [batch, h, w, 3] in 0-255 and int32 [batch, h, w].

    Raises:
        UsageError: The split holds fewer examples than a batch, or its index is not sound.
    """
    records_of = _epochs(dataset, config)
    decode = _Decoder(dataset)
    ignore_id = dataset.label_map.ignore_id

    def one_epoch(epoch: Any) -> tf.data.Dataset:
        return records_of(epoch).enumerate().map(lambda place, record: (epoch, place, record))

    def example(epoch: Any, place: Any, record: Any) -> tuple[Any, Any]:
        image, mask, _ = decode(record)
        if not config.augmentation.enabled:
            return image, mask
        seed = tf.random.fold_in(_key(config.seed, _AUGMENT, epoch), place)
        return augment(image, mask, seed, config.augmentation, ignore_id)

    epochs = tf.data.Dataset.range(first_epoch, config.epochs)
    examples = epochs.flat_map(one_epoch).map(example, num_parallel_calls=tf.data.AUTOTUNE)
    return _finished(examples.batch(config.batch_size, drop_remainder=True))


def training_keys(dataset: Dataset, config: TrainConfig, epoch: int, batch: int) -> list[str]:
    """The keys of the examples in one of `training_batches`' batches, in order.

    They are read again from the shards, so that no batch has to carry them.

    Args:
        dataset: What is trained on.
        config: How.
        epoch: From 0.
        batch: From 0, within that epoch.
    """
    records = _epochs(dataset, config)(tf.constant(epoch, tf.int64))
    chosen = records.skip(batch * config.batch_size).take(config.batch_size)
    features = (tf.io.parse_single_example(record, _FEATURES) for record in chosen)
    return [example["image/source_id"].numpy().decode() for example in features]


def evaluation_batches(dataset: Dataset, split_name: str, batch_size: int) -> tf.data.Dataset:
    """A split in stored order; the last batch is filled up with wholly ignored images.

    An example weighs (examples + filling) / examples and the filling 0, so that Keras's mean over
    all images of all batches is the mean over the split.

    Returns:
        (image, mask, weight): float32 [batch, h, w, 3], int32 [batch, h, w], float32 [batch].
    """
    split = dataset.split(split_name)
    filling = -split.examples % batch_size
    weight = (split.examples + filling) / split.examples
    height, width = dataset.image_size
    ignored = (
        tf.zeros((1, height, width, 3)),
        tf.fill((1, height, width), dataset.label_map.ignore_id),
        tf.zeros((1,)),
    )
    decoded = stored_examples(dataset, split_name)
    examples = decoded.map(lambda image, mask, _: (image, mask, weight))
    padding = tf.data.Dataset.from_tensor_slices(ignored).repeat(filling)
    return _finished(examples.concatenate(padding).batch(batch_size, drop_remainder=True))


def stored_examples(dataset: Dataset, split_name: str) -> tf.data.Dataset:
    """A split in stored order, decoded.

    Returns:
        (image, mask, key): float32 [h, w, 3] in 0-255, int32 [h, w], string.
    """
    split = dataset.split(split_name)
    records = tf.data.TFRecordDataset([str(p) for p in dataset.shard_paths(split_name)])
    counted = records.apply(tf.data.experimental.assert_cardinality(split.examples))
    return counted.map(_Decoder(dataset), num_parallel_calls=tf.data.AUTOTUNE)


class _Decoder:
    """Turns a serialised example into image, mask and key, and refuses unknown ids."""

    def __init__(self, dataset: Dataset) -> None:
        self._shape = dataset.image_size
        self._label_map = dataset.label_map
        # The default, uint8, would cut a 16-bit id to its upper half.
        self._mask_type = tf.as_dtype(dataset.label_map.dtype)

    def __call__(self, record: Any) -> tuple[Any, Any, Any]:
        features = tf.io.parse_single_example(record, _FEATURES)
        # Reads PNG too; the accurate transform gives the very pixels that Pillow gives when
        # labelling, the default one differs by up to 14 of 255.
        image = tf.io.decode_jpeg(
            features["image/encoded"], channels=3, dct_method="INTEGER_ACCURATE"
        )
        mask = tf.io.decode_png(
            features["image/segmentation/class/encoded"], channels=1, dtype=self._mask_type
        )
        image = tf.ensure_shape(tf.cast(image, tf.float32), (*self._shape, 3))
        mask = tf.ensure_shape(tf.cast(mask[..., 0], tf.int32), self._shape)
        known = (mask < self._label_map.num_classes) | (mask == self._label_map.ignore_id)
        key = features["image/source_id"]
        tf.debugging.Assert(tf.reduce_all(known), ["unknown id in the mask of", key])
        return image, mask, key


def _epochs(dataset: Dataset, config: TrainConfig) -> Callable[[Any], tf.data.Dataset]:
    """A function of the epoch: the serialised examples of its batches, in order."""
    split = dataset.split("train")
    shares = None
    if config.sampling == "class_balanced":
        shares = tf.constant(class_balanced_shares(dataset, split.name))
    taken = steps_per_epoch(split.examples, config.batch_size) * config.batch_size
    return lambda epoch: _shuffled(dataset, split, config.seed, epoch, shares).take(taken)


def _shuffled(
    dataset: Dataset, split: Split, seed: int, epoch: Any, shares: Any | None
) -> tf.data.Dataset:
    """An epoch's records, as many as the split holds, in an order of (seed, epoch).

    Shards are shuffled and read several at a time, then their records are shuffled by the window.
    TensorFlow's own `shuffle` would do the latter, but mixes in its global seed.
    """
    files = tf.constant([str(p) for p in dataset.shard_paths(split.name)])
    offsets = tf.constant(_offsets(s.examples for s in split.shards), tf.int64)
    shuffle_key = _key(seed, _SHUFFLE, epoch)

    def one_shard(shard: Any) -> tf.data.Dataset:
        return tf.data.TFRecordDataset(files[shard]).enumerate(offsets[shard])

    def one_window(number: Any, window: Any) -> tf.data.Dataset:
        places = tf.range(tf.size(window))
        places = tf.random.experimental.stateless_shuffle(
            places, tf.random.fold_in(shuffle_key, number)
        )
        return tf.data.Dataset.from_tensor_slices(tf.gather(window, places))

    order = tf.random.experimental.stateless_shuffle(
        tf.range(len(split.shards)), _key(seed, _ORDER, epoch)
    )
    shards = tf.data.Dataset.from_tensor_slices(order)
    records = shards.interleave(one_shard, cycle_length=_OPEN_SHARDS, num_parallel_calls=None)
    counted = records.apply(tf.data.experimental.assert_cardinality(split.examples))
    shown = _as_often_as(counted, shares, _key(seed, _SAMPLE, epoch))
    return shown.batch(_window_examples(split)).enumerate().flat_map(one_window)


def _as_often_as(records: tf.data.Dataset, shares: Any | None, key: Any) -> tf.data.Dataset:
    """Repeats or leaves out each of (index, record) so that it has its share, up to rounding.

    Systematic sampling: example i is shown floor or ceil of share times examples, in the mean
    over the keys exactly that, and all together as many as there are examples.
    """
    if shares is None:
        return records.map(lambda _, record: record)
    examples = tf.cast(tf.size(shares), tf.float64)
    ends = tf.concat([tf.cumsum(shares)[:-1], [1.0]], 0) * examples  # without rounding at the end
    drawn = tf.floor(ends + tf.random.stateless_uniform([], key, dtype=tf.float64))
    times = tf.cast(drawn - tf.concat([[0.0], drawn[:-1]], 0), tf.int64)

    def repeated(index: Any, record: Any) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensors(record).repeat(times[index])

    return records.flat_map(repeated)


def _window_examples(split: Split) -> int:
    """How many encoded examples fit `_WINDOW_BYTES`."""
    mean_bytes = sum(s.bytes for s in split.shards) / split.examples
    return min(split.examples, max(1, int(_WINDOW_BYTES / mean_bytes)))


def _offsets(counts: Iterable[int]) -> list[int]:
    """Index of the first example of each shard."""
    offsets = [0]
    for count in counts:
        offsets.append(offsets[-1] + count)
    return offsets[:-1]


def _key(seed: int, purpose: int, epoch: Any) -> Any:
    """A random key, int32 [2], that depends on its arguments alone."""
    return tf.random.fold_in(tf.constant([seed, purpose]), epoch)


def _finished(batches: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    # One process reads all: replicas get their share of each batch, not of the files.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return batches.prefetch(_PREFETCHED_BATCHES).with_options(options)
