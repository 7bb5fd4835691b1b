"""What the logits of a pixel say: its class, and how sure the model is of it."""

import tensorflow as tf


def of_each_pixel(logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Class ids, int32, their probabilities, and the entropies of all probabilities in nats.

    Args:
        logits: float32 [..., classes].
    """
    best = tf.argmax(logits, axis=-1, output_type=tf.int32)
    # Shifted so that the largest is 0, it alone gives the largest probability, and the logarithms
    # of the others: without an array of probabilities, and without the logarithm of one that is 0.
    shifted = logits - tf.reduce_max(logits, axis=-1, keepdims=True)
    powers = tf.exp(shifted)
    total = tf.reduce_sum(powers, axis=-1)
    # A class that is ruled out, by a logit of minus infinity, adds nothing.
    weighted = tf.reduce_sum(tf.math.multiply_no_nan(shifted, powers), axis=-1)
    return best, 1 / total, tf.math.log(total) - weighted / total
