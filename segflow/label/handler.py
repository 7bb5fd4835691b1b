"""A bundle as a Beam `ModelHandler`, for `RunInference` in pipelines of one's own."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from apache_beam.ml.inference.base import ModelHandler, PredictionResult
from numpy.typing import NDArray

from segflow.label.options import loading_options
from segflow.label.windows import WindowsMode
from segflow.train.bundle import Tta

if TYPE_CHECKING:
    from segflow.label.predictor import Predictor


class SegmentationModelHandler(ModelHandler[NDArray[np.uint8], PredictionResult, Any]):
    """Segments images, RGB uint8 [height, width, 3] of any sizes, with a model bundle.

    Gives a `PredictionResult` for each, as Beam's own handlers do: `example` is the image,
    `inference` the `segflow.label.prediction.Prediction` (mask at the image's size, confidences),
    `model_id` the bundle's path. Wrapped in Beam's `KeyedModelHandler` it takes and gives (key,
    ...) pairs. The metrics of `RunInference` are in the namespace `segflow/label`.

    It hands Beam the predictor that `segflow.load_bundle` gives and the label job works with:
    elements come in batches of `batch_size`, the last one shorter, and the predictor pads them to
    the one shape that is traced. Beam loads one for each process, and all threads of it share it.
    With `large_model=True` or `model_copies=N`, which Beam means for models that leave no room
    for a second copy, the machine's processes share one, or N, that live in one of them: images
    and masks are then pickled to it and back, which costs more than a small model saves.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        batch_size: int = 8,
        tta: Tta = "none",
        windows: WindowsMode = "auto",
        window_overlap: float = 0.25,
        **options: Any,
    ) -> None:
        """Loads nothing yet.

        Args:
            model: Path of a model bundle, readable by the workers.
            batch_size: Images the model sees at once.
            tta: Test-time augmentation, as for `segflow.load_bundle`.
            windows: When windows slide over images, likewise.
            window_overlap: Likewise.
            **options: Beam's, such as `large_model`, `model_copies`, `max_batch_duration_secs`
                and `env_vars`.

        Raises:
            ValueError: There is no such test-time augmentation.
            UsageError: The size of batches, or what is said of windows, is out of range.
        """
        loading = loading_options(batch_size, tta, windows, window_overlap)
        super().__init__(min_batch_size=batch_size, max_batch_size=batch_size, **options)
        self._model = os.fspath(model)
        self._loading = loading

    def load_model(self) -> "Predictor":
        """The bundle's predictor.

        Raises:
            UsageError: There is no bundle, it was altered, or its model file is not safe to load.
        """
        from segflow.label.predictor import load_bundle  # in workers, not where graphs are built

        return load_bundle(self._model, **self._loading)

    def run_inference(
        self,
        batch: Sequence[NDArray[np.uint8]],
        model: "Predictor",
        inference_args: Mapping[str, Any] | None = None,
    ) -> list[PredictionResult]:
        """Segments a batch of images.

        Raises:
            ValueError: An image has another shape or dtype.
            JobError: What the model says of an image is not finite.
        """
        # Only a method is called: with a shared model this is a proxy, which hands on no more.
        found = model.segment(batch)
        return [
            PredictionResult(image, one, self._model)
            for image, one in zip(batch, found, strict=True)
        ]

    def validate_inference_args(self, inference_args: Mapping[str, Any] | None) -> None:
        """Raises `ValueError` if there are any: the bundle says all that there is to say."""
        if inference_args:
            raise ValueError(
                f"inference_args must be none, received {sorted(inference_args)}: a bundle says "
                "itself how images are fed to its model"
            )

    def update_model_path(self, model_path: str | None = None) -> None:
        """Takes another bundle's path, where `RunInference` watches for newer models."""
        self._model = model_path or self._model

    def get_num_bytes(self, batch: Sequence[NDArray[np.uint8]]) -> int:
        """Of the images, as metrics count them."""
        return sum(image.nbytes for image in batch)

    def get_metrics_namespace(self) -> str:
        """The label job's own."""
        return "segflow/label"
