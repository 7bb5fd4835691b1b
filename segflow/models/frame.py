"""What every architecture has around it: pixels in, logits at the size of the image out."""

from dataclasses import dataclass

import keras
from keras import layers, ops

_IMAGENET_MEAN = [0.485, 0.456, 0.406]
_IMAGENET_DEVIATION = [0.229, 0.224, 0.225]
_CAFFE_MEAN_BGR = [103.939, 116.779, 123.68]


@dataclass(frozen=True)
class Frame:
    """Pads pixels to a size that the stride divides, and crops the logits again.

    Attributes:
        image_size: (height, width) in pixels.
        stride: Of the coarsest features; it may be larger than the image.
    """

    image_size: tuple[int, int]
    stride: int

    @property
    def padding(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Pixels added at the top and bottom, left and right."""
        missing = [-size % self.stride for size in self.image_size]
        top, left = (total // 2 for total in missing)
        return (top, missing[0] - top), (left, missing[1] - left)

    def open(self, normalisation: str) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        """The input of the model, and the same normalised and padded.

        Args:
            normalisation: A key of `segflow.models.backbones.NORMALISATIONS`.

        Returns:
            Pixels [batch, height, width, 3] in 0-255; normalised pixels, around which is 0.
        """
        pixels = keras.Input((*self.image_size, 3), name="image")
        x = _normalise(pixels, normalisation)
        return pixels, layers.ZeroPadding2D(self.padding, name="pad")(x)

    def close(self, x: keras.KerasTensor, num_classes: int) -> keras.KerasTensor:
        """Classifies features of any stride; the logits are brought to the size of the image.

        Args:
            x: Features [batch, h, w, channels] of the padded image.
            num_classes: Number of logits per pixel.

        Returns:
            float32 logits [batch, height, width, num_classes].
        """
        # float32 also where the rest of the model computes in 16 bits: losses need it.
        x = layers.Conv2D(num_classes, 1, dtype="float32", name="classify")(x)
        (top, bottom), _ = self.padding
        factor = (self.image_size[0] + top + bottom) // x.shape[1]
        if factor > 1:
            x = layers.UpSampling2D(
                factor, interpolation="bilinear", dtype="float32", name="upsample"
            )(x)
        return layers.Cropping2D(self.padding, dtype="float32", name="logits")(x)


def _normalise(pixels: keras.KerasTensor, custom: str) -> keras.KerasTensor:
    if custom == "tf":
        return layers.Rescaling(1 / 127.5, offset=-1.0, name="normalize")(pixels)
    if custom == "caffe":
        # A reversal that is an operation of Keras itself, so that the file needs no Lambda.
        pixels, mean, variance = ops.flip(pixels, axis=-1), _CAFFE_MEAN_BGR, [1.0, 1.0, 1.0]
    else:
        mean = [255 * value for value in _IMAGENET_MEAN]
        variance = [(255 * value) ** 2 for value in _IMAGENET_DEVIATION]
    return layers.Normalization(mean=mean, variance=variance, name="normalize")(pixels)
