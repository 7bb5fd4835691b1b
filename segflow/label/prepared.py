"""Images at a model's scale."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segflow.data import resize
from segflow.data.resize import Placement
from segflow.dataset import ResizePolicy


@dataclass(frozen=True)
class Prepared:
    """An image as the model takes it; the image itself need not be kept.

    Attributes:
        pixels: RGB uint8, of the model's size; or larger, for windows of that size.
        placement: Where the image lies in it.
        name: What messages call the image.
    """

    pixels: NDArray[np.uint8]
    placement: Placement
    name: str

    def fits(self, size: tuple[int, int]) -> bool:
        """Whether the model takes it at once."""
        return self.pixels.shape[:2] == size

    def rows(self, top: int, count: int) -> NDArray[np.uint8]:
        """Some rows of the pixels, for windows."""
        return self.pixels[top : top + count]


def prepare(
    image: NDArray[np.uint8], name: str, size: tuple[int, int], policy: ResizePolicy
) -> Prepared:
    """Brings an image to a model's scale and, but for sliding windows, to its size.

    Args:
        image: RGB, uint8 [height, width, 3].
        name: What messages call it.
        size: (height, width) that the model takes.
        policy: How. For windows, `crop` scales without cropping, and `tile` leaves it as it is.

    Raises:
        ValueError: It has another shape or dtype.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(
            f"images must be RGB, uint8 [height, width, 3]; found {image.dtype} {image.shape}"
        )
    placement = resize.place_whole((image.shape[0], image.shape[1]), size, policy)
    return Prepared(resize.resize_image(image, placement), placement, name)
