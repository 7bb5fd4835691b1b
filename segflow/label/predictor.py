"""A bundle at work: images of any size in, masks of the same size out."""

import math
import threading
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from segflow.data import resize
from segflow.data.resize import Placement
from segflow.errors import JobError
from segflow.label import sliding
from segflow.label.fixed_batches import FixedBatches
from segflow.label.pixel_statistics import of_each_pixel
from segflow.label.prediction import UNCERTAIN_BELOW, ConfidenceSums, Prediction
from segflow.label.prepared import Prepared, prepare
from segflow.label.reading import reading_of
from segflow.label.resized_argmax import resized_argmax
from segflow.label.threads import use_one_thread_per_batch
from segflow.label.windows import AUTO, SLIDING, Windows, WindowsMode
from segflow.train.bundle import Bundle, Tta

DEFAULT_BATCH_SIZE = 8

# What jobs have loaded, for as long as one uses it: by what it is made of.
_loaded: weakref.WeakValueDictionary[tuple[object, ...], "Predictor"]
_loaded = weakref.WeakValueDictionary()
_loading = threading.Lock()


class Predictor:
    """Segments images with a bundle's model.

    Every batch has the same shape, so that one graph is traced; a short batch is padded, and
    where memory runs out the shape is halved for good. One predictor may be used from several
    threads at once.
    """

    def __init__(
        self,
        bundle: Bundle,
        batch_size: int = DEFAULT_BATCH_SIZE,
        tta: Tta = "none",
        windows: Windows = AUTO,
        *,
        keep_confidences: bool = False,
        uncertain_below: float = UNCERTAIN_BELOW,
    ) -> None:
        """Loads the model.

        Args:
            bundle: What `Bundle.load` returned.
            batch_size: Images the model sees at once.
            tta: Over which views of each image, or window of it, probabilities are averaged.
            windows: When windows slide over images, and how much they overlap.
            keep_confidences: Whether predictions hold each pixel's, in `Prediction.seen`.
            uncertain_below: Pixels of a lower confidence count as uncertain.

        Raises:
            UsageError: The model needs windows, and there are to be none.
        """
        self.bundle = bundle
        self.batch_size = batch_size
        self.windows = windows
        self._policy = windows.policy(bundle.resize)
        self._keep_confidences = keep_confidences
        self._uncertain_below = uncertain_below
        self._model = bundle.load_model(tta)
        self._dtype = bundle.label_map.dtype
        self.reading = reading_of(bundle)
        # Where windows slide over images, a batch is of windows of one image.
        self.images_at_once = 1 if self._policy in SLIDING else batch_size
        self._slider = sliding.Slider(
            bundle.image_size, windows.overlap, batch_size, self._window_logits
        )
        self._batches = FixedBatches(
            self._logits_and_statistics, batch_size, bundle.image_size, str(bundle.folder)
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
        """Brings an RGB image, uint8 [height, width, 3], to the model's scale.

        Raises:
            ValueError: It has another shape or dtype.
        """
        return prepare(image, name, self.bundle.image_size, self._policy)

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

    def slide(
        self, read: sliding.ReadRows, size: tuple[int, int], name: str, take: sliding.TakeRows
    ) -> Prediction:
        """Segments an image that is read by rows, at its own scale.

        Args:
            read: Gives rows of it, uint8 [count, width, 3], asked for from top to bottom.
            size: Its (height, width).
            name: What messages call it.
            take: Gets its mask, class ids [rows, width], from top to bottom.

        Returns:
            The prediction; of its mask, which was handed on, no row is left.

        Raises:
            JobError: As `predictions`.
        """
        placement = resize.place_whole(size, self.bundle.image_size, "tile")
        found = self._slide(sliding.padded_rows(read, size, placement.target), placement, take)
        self._require_finite(found, name)
        return found

    def _require_finite(self, found: Prediction, name: str) -> None:
        # A logit that is infinite or no number makes its pixel's confidence, and so the mean, NaN.
        if math.isnan(found.confidence):
            raise JobError(
                f"model {self.bundle.folder}: its logits for {name} are not finite: its weights "
                "are spoilt, or its numbers overflow; use another model, or train this one again"
            )

    def _predict_batch(self, prepared: Sequence[Prepared]) -> Iterator[Prediction]:
        parts = self._batches([p.pixels for p in prepared])
        said = (one for part in parts for one in zip(*part, strict=True))
        for one, (logits, *statistics) in zip(prepared, said, strict=True):
            yield self._prediction(logits, statistics, one.placement)

    def _prediction(
        self, logits: NDArray[np.float32], statistics: Sequence[NDArray[Any]], placement: Placement
    ) -> Prediction:
        best, confidence, entropy = (each[placement.box] for each in statistics)
        sums = self._new_sums(best.shape)
        sums.add(best, confidence, entropy)
        mask = resized_argmax(logits[placement.box], placement.source, self._dtype)
        return sums.prediction(mask)

    def _slide(
        self, read: sliding.ReadRows, placement: Placement, take: sliding.TakeRows
    ) -> Prediction:
        sums = self._new_sums(placement.source)
        blocks = self._slider(read, placement.target)
        for ids, *certainty in sliding.reduced_bands(blocks, placement.source, self._reduced):
            sums.add(ids, *certainty)
            take(ids)
        return sums.prediction(np.empty((0, placement.source[1]), self._dtype))

    def _predict_windows(self, prepared: Prepared) -> Prediction:
        placement = prepared.placement
        if placement.inner == placement.source:
            bands: list[NDArray[Any]] = []
            found = self._slide(prepared.rows, placement, bands.append)
            return replace(found, mask=np.concatenate(bands))
        # Logits are resized as a whole: a crop's scale bounds how many there are.
        blocks = self._slider(prepared.rows, placement.target)
        logits = sliding.whole_logits(blocks, placement.target)
        return self._prediction(logits, self._reduced(logits), placement)

    def _reduced(self, logits: NDArray[np.float32]) -> Sequence[NDArray[Any]]:
        with tf.device("CPU:0"):  # a GPU may have no memory left beside the model
            best, *certainty = (each.numpy() for each in of_each_pixel(tf.constant(logits)))
        return best.astype(self._dtype), *certainty

    def _new_sums(self, size: tuple[int, int]) -> ConfidenceSums:
        classes = self.bundle.label_map.num_classes
        return ConfidenceSums(classes, size, self._uncertain_below, self._keep_confidences)

    def _window_logits(self, windows: NDArray[np.uint8]) -> NDArray[np.float32]:
        parts = [logits for logits, *_ in self._batches(windows)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _logits_and_statistics(self, pixels: tf.Tensor) -> tuple[tf.Tensor, ...]:
        logits = self._model(tf.cast(pixels, tf.float32), training=False)
        return logits, *of_each_pixel(logits)


def load_bundle(
    path: str | Path,
    batch_size: int = DEFAULT_BATCH_SIZE,
    tta: Tta = "none",
    windows: WindowsMode = "auto",
    window_overlap: float = 0.25,
) -> Predictor:
    """Loads a bundle to segment images with.

    Args:
        path: A model bundle's folder.
        batch_size: Images the model sees at once.
        tta: Test-time augmentation: `flip` averages the class probabilities of an image and its
            mirror image, `flip_scale` also those of both at 0.75 and 1.25 times their size.
        windows: `auto` slides windows over images where the model was trained on crops or tiles,
            `always` over every image at its own scale, `never` over none.
        window_overlap: Share of a window that its neighbours see, too, at most a half.

    Raises:
        UsageError: The folder holds no sound bundle, or windows never slide that it needs.
    """
    return Predictor(Bundle.load(path), batch_size, tta, Windows(windows, window_overlap))


def load_for_job(
    path: str,
    fingerprint: str,
    batch_size: int,
    worker_threads: int,
    tta: Tta,
    windows: Windows,
    *,
    keep_confidences: bool = False,
    uncertain_below: float = UNCERTAIN_BELOW,
) -> Predictor:
    """Loads the bundle that a run was planned with, each batch on one thread.

    All threads of a process share it. The arguments are `Predictor`'s, besides the run's
    fingerprint of the bundle, and how many batches are in hand at once.

    Raises:
        JobError: Another bundle lies there by now; one run must not mix two models.
    """
    use_one_thread_per_batch(worker_threads)
    made_of = path, fingerprint, batch_size, tta, windows, keep_confidences, uncertain_below
    with _loading:  # whoever comes second waits, and loads nothing
        predictor = _loaded.get(made_of)
        if predictor is None:
            predictor = Predictor(
                _planned_bundle(path, fingerprint),
                batch_size,
                tta,
                windows,
                keep_confidences=keep_confidences,
                uncertain_below=uncertain_below,
            )
            _loaded[made_of] = predictor
    return predictor


def _planned_bundle(path: str, fingerprint: str) -> Bundle:
    bundle = Bundle.load(path)
    if bundle.fingerprint != fingerprint:
        raise JobError(
            f"model {path}: its fingerprint is {bundle.fingerprint[:12]}…, the run was planned "
            f"with {fingerprint[:12]}…; put that bundle back, or choose another --output"
        )
    return bundle
