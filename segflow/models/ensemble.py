"""Several segmentation models as one, which says the weighted mean of what they say.

Probabilities are averaged, not logits: a member that is sure of itself by a wide margin cannot
outvote the others (for the difference, see Lakshminarayanan et al. 2017,
https://arxiv.org/abs/1612.01474, who average so). They are averaged as they are given; calibrate
a member with `segflow.models.probabilities.at_temperature`.
"""

from collections.abc import Sequence

import keras
from keras import ops

from segflow.models.probabilities import logits_of, mean, probabilities, resized


def build_ensemble(
    members: Sequence[keras.Model], weights: Sequence[float], image_size: tuple[int, int]
) -> keras.Model:
    """Builds one model of several; it shares their weights.

    Each member is a layer, `member_0`, `member_1` and so on, behind a resizing to its own size
    where that is another; its probabilities are resized to the ensemble's.

    Args:
        members: Two or more models from pixels in 0-255 to logits of the same classes.
        weights: One for each member; they sum to 1.
        image_size: (height, width) in pixels of what the ensemble takes and returns.

    Returns:
        An uncompiled functional model: float32 pixels [batch, height, width, 3] in 0-255 to
        float32 logits [batch, height, width, classes], the logarithms of the mean probabilities.
    """
    pixels = keras.Input((*image_size, 3), name="image")
    parts = _parts(members, pixels)
    return keras.Model(pixels, logits_of(mean(parts, weights)), name="ensemble")


def build_likelihoods(
    members: Sequence[keras.Model], image_size: tuple[int, int], picture_size: tuple[int, int]
) -> keras.Model:
    """What each member of an ensemble says of the true classes: what weights are fitted on.

    Args:
        members: As above.
        image_size: As above.
        picture_size: (height, width) in pixels of the pictures and their truth.

    Returns:
        A model from pixels as above and true class ids, int32 [batch, height, width], to
        float32 [batch, height, width, members], each member's probability of the true class.
    """
    pixels = keras.Input((*picture_size, 3), name="image")
    truth = keras.Input(picture_size, dtype="int32", name="truth")
    likelihoods = [
        ops.take_along_axis(resized(part, picture_size), ops.expand_dims(truth, -1), axis=-1)
        for part in _parts(members, resized(pixels, image_size))
    ]
    return keras.Model([pixels, truth], ops.concatenate(likelihoods, axis=-1), name="likelihoods")


def _parts(members: Sequence[keras.Model], pixels: keras.KerasTensor) -> list[keras.KerasTensor]:
    # A graph's layers need names of their own, and members of one architecture have equal ones.
    return [
        probabilities(keras.Model(m.inputs[0], m.outputs[0], name=f"member_{i}"), pixels)
        for i, m in enumerate(members)
    ]
