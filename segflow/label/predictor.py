"""A bundle at work: images of any size in, masks of the same size out."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, overload

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from segflow.data import resize
from segflow.data.config import ResizePolicy
from segflow.data.resize import Placement
from segflow.errors import JobError
from segflow.label.prediction import ConfidenceSums, Prediction
from segflow.label.reading import reading_of
from segflow.label.resized_argmax import resized_argmax
from segflow.label.sliding import blended_logits
from segflow.label.threads import for_threads, use_one_thread_per_batch
from segflow.train.bundle import Bundle, Tta

DEFAULT_BATCH_SIZE = 8


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


class Predictor:
    """Segments images with a bundle's model.

    Every batch has the same shape, so that one graph is traced; a short batch is padded. One
    predictor may be used from several threads at once.
    """

    def __init__(
        self,
        bundle: Bundle,
        batch_size: int = DEFAULT_BATCH_SIZE,
        tta: Tta = "none",
        *,
        keep_confidences: bool = False,
    ) -> None:
        """Loads the model.

        Args:
            bundle: What `Bundle.load` returned.
            batch_size: Images the model sees at once.
            tta: Over which views of each image, or window of it, probabilities are averaged.
            keep_confidences: Whether predictions hold each pixel's, in `Prediction.seen`.
        """
        self.bundle = bundle
        self.batch_size = batch_size
        self._keep_confidences = keep_confidences
        self._model = bundle.load_model(tta)
        self._dtype = bundle.label_map.dtype
        height, width = bundle.image_size
        self.reading = reading_of(bundle)
        # Where images are larger than the model's windows, a batch is of windows of one image.
        self.images_at_once = 1 if bundle.resize in ("crop", "tile") else batch_size
        # XLA, which Keras turns on by default, is slower here on CPUs; so a plain graph.
        self._forward = for_threads(
            self._logits_and_confidence, tf.TensorSpec([batch_size, height, width, 3], tf.uint8)
        )

    @overload
    def predict(self, images: NDArray[np.uint8]) -> NDArray[Any]: ...

    @overload
    def predict(self, images: Sequence[NDArray[np.uint8]]) -> list[NDArray[Any]]: ...

    def predict(
        self, images: NDArray[np.uint8] | Sequence[NDArray[np.uint8]]
    ) -> NDArray[Any] | list[NDArray[Any]]:
        """Segments one image or several.

        Args:
            images: One RGB image, uint8 [height, width, 3], or a sequence of such of any sizes.

        Returns:
            Class ids at each image's size: one array for one image, a list for a sequence.

        Raises:
            ValueError: An image has another shape or dtype.
            JobError: As `predictions`.
        """
        if isinstance(images, np.ndarray) and images.ndim == 3:
            return self.segment([images])[0].mask
        return [prediction.mask for prediction in self.segment(list(images))]

    def segment(self, images: Sequence[NDArray[np.uint8]]) -> list[Prediction]:
        """Segments images, with confidences.

        Args:
            images: RGB, uint8 [height, width, 3] each; sizes may differ.

        Returns:
            One prediction for each image, in order.

        Raises:
            ValueError: An image has another shape or dtype.
            JobError: As `predictions`.
        """
        named = ((f"image {number}", image) for number, image in enumerate(images, 1))
        return list(self.predictions([self.prepare(image, name) for name, image in named]))

    def prepare(self, image: NDArray[np.uint8], name: str) -> Prepared:
        """Brings an image to the model's scale and, but for sliding windows, to its size.

        What was trained on crops is scaled as they are, but not cropped; what was trained on
        tiles is left as it is.

        Args:
            image: RGB, uint8 [height, width, 3].
            name: What messages call it.

        Raises:
            ValueError: It has another shape or dtype.
        """
        _require_rgb(image)
        height, width = image.shape[:2]
        policy = cast(ResizePolicy, self.bundle.resize)
        placement = resize.place_whole((height, width), self.bundle.image_size, policy)
        return Prepared(resize.resize_image(image, placement), placement, name)

    def predictions(self, prepared: Sequence[Prepared]) -> Iterator[Prediction]:
        """What the model says, one image after another: only one full-size mask need be kept.

        Raises:
            JobError: What it says of an image is not finite.
        """
        for start in range(0, len(prepared), self.batch_size):
            some = prepared[start : start + self.batch_size]
            size = self.bundle.image_size
            at_once = self._predict_batch([one for one in some if one.fits(size)])
            for one in some:
                found = next(at_once) if one.fits(size) else self._predict_windows(one)
                self._require_finite(found, one.name)
                yield found

    def _require_finite(self, found: Prediction, name: str) -> None:
        # A logit that is infinite or no number makes its pixel's confidence, and so the mean, NaN.
        if math.isnan(found.confidence):
            raise JobError(
                f"model {self.bundle.folder}: its logits for {name} are not finite: its weights "
                "are spoilt, or its numbers overflow; use another model, or train this one again"
            )

    def _predict_batch(self, prepared: Sequence[Prepared]) -> Iterator[Prediction]:
        if not prepared:
            return
        logits, best, confidence = self._run([one.pixels for one in prepared])
        best, confidence = best.numpy(), confidence.numpy()
        for index, one in enumerate(prepared):
            yield self._prediction(logits[index], best[index], confidence[index], one.placement)

    def _prediction(
        self,
        logits: tf.Tensor,
        best: NDArray[np.int32],
        confidence: NDArray[np.float32],
        placement: Placement,
    ) -> Prediction:
        mask = resized_argmax(logits[placement.box], placement.source, self._dtype)
        sums = ConfidenceSums(self.bundle.label_map.num_classes, self._keep_confidences)
        sums.add(best[placement.box], confidence[placement.box])
        return sums.prediction(mask)

    def _predict_windows(self, prepared: Prepared) -> Prediction:
        """Slides over an image; of one at the model's own scale no logits are kept but a row's."""
        placement = prepared.placement
        sums = ConfidenceSums(self.bundle.label_map.num_classes, self._keep_confidences)
        rows, columns = placement.box
        keeps_scale = placement.inner == placement.source
        bands: list[NDArray[Any]] = []
        row = 0
        for logits in blended_logits(
            prepared.pixels, self.bundle.image_size, self.batch_size, self._window_logits
        ):
            seen = logits[: max(0, rows.stop - row), columns]
            best, confidence = (t.numpy() for t in _best_and_confidence(tf.constant(seen)))
            sums.add(best, confidence)
            bands.append(best.astype(self._dtype) if keeps_scale else seen)
            row += len(logits)
        whole = np.concatenate(bands)
        if keeps_scale:
            return sums.prediction(whole)
        return sums.prediction(resized_argmax(tf.constant(whole), placement.source, self._dtype))

    def _window_logits(self, windows: NDArray[np.uint8]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = self._run(windows)[0].numpy()
        return logits[: len(windows)]

    def _run(self, pixels: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> Any:
        batch = np.zeros((self.batch_size, *self.bundle.image_size, 3), np.uint8)
        batch[: len(pixels)] = pixels
        return self._forward(tf.constant(batch))

    def _logits_and_confidence(self, pixels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        logits = self._model(tf.cast(pixels, tf.float32), training=False)
        return logits, *_best_and_confidence(logits)


def _best_and_confidence(logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    best = tf.argmax(logits, axis=-1, output_type=tf.int32)
    # max softmax = exp(max - logsumexp), without a second array of probabilities
    top = tf.reduce_max(logits, axis=-1)
    return best, tf.exp(top - tf.reduce_logsumexp(logits, axis=-1))


def load_bundle(
    path: str | Path, batch_size: int = DEFAULT_BATCH_SIZE, tta: Tta = "none"
) -> Predictor:
    """Loads a bundle to segment images with.

    Args:
        path: A model bundle's folder.
        batch_size: Images the model sees at once.
        tta: Test-time augmentation: `flip` averages the class probabilities of an image and its
            mirror image, `flip_scale` also those of both at 0.75 and 1.25 times their size.

    Raises:
        UsageError: The folder holds no bundle, or its model file was altered.
    """
    return Predictor(Bundle.load(path), batch_size, tta)


def load_for_job(
    path: str,
    fingerprint: str,
    batch_size: int,
    worker_threads: int,
    tta: Tta,
    *,
    keep_confidences: bool = False,
) -> Predictor:
    """Loads the bundle that a run was planned with, each batch on one thread.

    The arguments are `Predictor`'s, besides the run's fingerprint of the bundle, and how many
    batches are in hand at once.

    Raises:
        JobError: Another bundle lies there by now; one run must not mix two models.
    """
    use_one_thread_per_batch(worker_threads)
    bundle = Bundle.load(path)
    predictor = Predictor(bundle, batch_size, tta, keep_confidences=keep_confidences)
    found = bundle.fingerprint
    if found != fingerprint:
        raise JobError(
            f"model {path}: its fingerprint is {found[:12]}…, the run was planned with "
            f"{fingerprint[:12]}…; put that bundle back, or choose another --output"
        )
    return predictor


def _require_rgb(image: NDArray[np.uint8]) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(
            f"images must be RGB, uint8 [height, width, 3]; found {image.dtype} {image.shape}"
        )
