"""What each member says of a dataset's true classes, on a sample of its pixels."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segflow import hashing
from segflow.dataset import Dataset
from segflow.ensemble.config import EnsembleConfig
from segflow.models.ensemble import build_likelihoods
from segflow.train.input import stored_examples

_PIXELS = 1 << 18  # of all images together; some for each image, if there are more images


def sample_likelihoods(
    models: Sequence[Any], image_size: tuple[int, int], dataset: Dataset, config: EnsembleConfig
) -> NDArray[np.float32]:
    """The probability that each member gives to the true class of sampled pixels.

    Every image gives equally many valid pixels, or as many as it has; which ones is a function
    of the seed and its key. They are kept for all images, the images themselves are not.

    Args:
        models: The members' Keras models.
        image_size: (height, width) in pixels of the ensemble.
        dataset: What holds the truth, at a size of its own.
        config: Names the split, the images at once and the seed.

    Returns:
        float32 [pixels, members].
    """
    model = build_likelihoods(models, image_size, dataset.image_size)
    model.jit_compile = False  # XLA, which Keras turns on by default, is slower here on CPUs
    quota = max(1, _PIXELS // dataset.split(config.split).examples)
    examples = stored_examples(dataset, config.split).batch(config.batch_size)
    label_map = dataset.label_map
    chosen = []
    for images, masks, keys in examples.as_numpy_iterator():
        # Ignored pixels are not chosen, but must name a class to be looked up.
        truth = np.minimum(masks, label_map.num_classes - 1)
        found = model.predict_on_batch([images, truth])
        for said, mask, key in zip(found, masks, keys, strict=True):
            rng = np.random.default_rng(hashing.stable_seed("pixels", config.seed, key.decode()))
            valid = np.flatnonzero(mask != label_map.ignore_id)
            chosen.append(said.reshape(mask.size, -1)[rng.permutation(valid)[:quota]])
    return np.concatenate(chosen)
