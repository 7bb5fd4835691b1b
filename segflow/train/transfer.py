"""Transfer learning: weights from another bundle, and a backbone that is frozen at first."""

from collections.abc import Mapping
from typing import Any

import keras

from segflow.errors import UsageError
from segflow.models.backbones import is_backbone_layer
from segflow.models.registry import nothing_to_freeze
from segflow.train.origin import Origin

HEAD = "classify"
"""Name of the layer, in every architecture, that has one filter for each class."""


def continue_from(model: keras.Model, origin: Origin) -> None:
    """Gives `model` the weights of a bundle, layer by layer, by name.

    Args:
        model: The same architecture, for any image size and any classes.
        origin: What to take; the head stays as it is unless `origin.keeps_head`.

    Raises:
        UsageError: A layer is missing there, or has other shapes.
    """
    sources = {layer.name: layer for layer in origin.bundle.load_model().layers}
    layers = [layer for layer in model.layers if layer.weights]
    if not origin.keeps_head:
        layers = [layer for layer in layers if layer.name != HEAD]
    for layer in layers:
        source = sources.get(layer.name)
        here, there = _shapes(layer), None if source is None else _shapes(source)
        if here != there:
            raise UsageError(
                f"--from-bundle {origin.bundle.folder}: layer {layer.name!r} should have weights "
                f"of shapes {here}, found {there or 'no such layer'}; {origin.advice()}"
            )
    for layer in layers:
        layer.set_weights(sources[layer.name].get_weights())


def _shapes(layer: keras.Layer) -> list[tuple[int, ...]]:
    return [tuple(weight.shape) for weight in layer.weights]


class FreezeBackbone(keras.callbacks.Callback):
    """Keeps the backbone as it is for some epochs: weights and batch-norm statistics.

    The optimiser, one of `segflow.train.optimizers`, must have been built for all weights before.
    Its slots for the frozen ones stay untouched, and when the backbone thaws is part of its state,
    so that a training can be resumed on either side of the boundary.

    Args:
        epochs: How many, counted from the start of the whole training.
    """

    def __init__(self, epochs: int) -> None:
        super().__init__()
        self._epochs = epochs

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Freezes or thaws; the step is traced anew for other trainable weights."""
        thawed = epoch >= self._epochs
        if thawed:
            optimizer = self.model.optimizer
            getattr(optimizer, "inner_optimizer", optimizer).thaw()  # where float16 is scaled
        if self._set_trainable(thawed):
            self.model.make_train_function(force=True)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Thaws what was frozen to the last: what Keras does after `fit` expects all weights."""
        if self.model.stop_training:
            self._set_trainable(True)

    def _set_trainable(self, trainable: bool) -> bool:
        """Returns whether that changed anything."""
        backbone = [layer for layer in self.model.layers if is_backbone_layer(layer)]
        changed = [layer for layer in backbone if layer.trainable != trainable]
        for layer in changed:
            layer.trainable = trainable
        return bool(changed)


def check_backbone(model: keras.Model) -> None:
    """Raises `UsageError` if a model has no backbone to freeze."""
    if not any(is_backbone_layer(layer) and layer.weights for layer in model.layers):
        raise nothing_to_freeze(model.name)
