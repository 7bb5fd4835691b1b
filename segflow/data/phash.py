"""What an image looks like, for near duplicates."""

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image


def perceptual_hash(image: NDArray[np.uint8]) -> str:
    """What an image looks like, in 64 bits.

    Hashes of copies that were scaled, compressed or brightened differ in a few bits; those of
    pictures without any structure are all alike.

    Args:
        image: uint8 [height, width, 3].

    Returns:
        16 hexadecimal digits: imagehash's `phash`, the signs of the lowest frequencies (Zauner
        2010, "Implementation and Benchmarking of Perceptual Image Hash Functions").
    """
    return str(imagehash.phash(Image.fromarray(image)))
