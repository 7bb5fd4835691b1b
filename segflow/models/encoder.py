"""Features of a backbone at every stride, from any network of keras.applications.

The network is built as published, its weights are loaded, and then it is gone through once more,
layer by layer, on the pixels of the segmentation model. On the way

- the stride of every tensor is measured: the product of the strides that lie before it;
- from the wanted output stride on, strides become 1 and the kernels behind them atrous (Chen et
  al. 2017, https://arxiv.org/abs/1706.05587), so that the features at every second (fourth) place
  are those of the published network;
- the layers get the prefix that `is_backbone_layer` knows, and a batch normalisation that follows
  within the steps of a short run.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
from keras import layers

from segflow.errors import UsageError
from segflow.models.backbones import PREFIX, Backbone, find_backbone
from segflow.models.blocks import BATCH_NORM_MOMENTUM
from segflow.models.frame import Frame

_NOWHERE = 0  # the stride of what is about the whole image, such as a global mean


@dataclass(frozen=True)
class Encoder:
    """The first part of a segmentation model.

    Attributes:
        pixels: The input of the model.
        features: By stride, the last of the network's tensors at that stride; not all networks
            have all strides.
    """

    pixels: keras.KerasTensor
    features: Mapping[int, keras.KerasTensor]


def encode(
    frame: Frame, backbone: str, alpha: float | None, weights: str, output_stride: int = 32
) -> Encoder:
    """Builds a backbone on the pixels of a segmentation model.

    Args:
        frame: Normalises and pads them.
        backbone: A key of `segflow.models.backbones.BACKBONES`.
        alpha: Factor of the width; None: as published.
        weights: `none`, `imagenet`, or a file of the network's weights without its top.
        output_stride: Largest stride; what would be coarser is dilated.

    Raises:
        UsageError: The weights cannot be had, or do not fit the backbone.
    """
    entry = find_backbone(backbone)
    network = _published(entry, alpha, weights)
    pixels, framed = frame.open(entry.normalisation)
    walk = _Walk(pixels, framed, output_stride)
    keras.models.clone_model(
        network, input_tensors=pixels, clone_function=lambda layer: layer, call_function=walk
    )
    for old, new in walk.pairs:
        new.set_weights(old.get_weights())
    return Encoder(pixels, walk.features)


def _published(entry: Backbone, alpha: float | None, weights: str) -> keras.Model:
    """The network of keras.applications, for any size of image, with its weights."""
    options: dict[str, Any] = {"include_top": False, "input_shape": (None, None, 3)}
    if alpha is not None:
        options["alpha"] = alpha
    if entry.normalises_itself:
        options["include_preprocessing"] = False
    build = getattr(keras.applications, entry.function)
    if weights == "imagenet":
        try:
            return build(weights="imagenet", **options)
        except Exception as error:  # keras.utils.get_file raises bare exceptions
            raise UsageError(
                f"--weights imagenet for {entry.name}: {_first_line(error)}; name a file that was "
                "downloaded elsewhere, or use --weights none"
            ) from error
    network = build(weights=None, **options)
    if weights != "none":
        _load(network, entry.name, alpha, weights)
    return network


def _load(network: keras.Model, name: str, alpha: float | None, file: str) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Keras warns of each layer, then raises
            network.load_weights(file)
    except (OSError, ValueError, KeyError) as error:  # what h5py and Keras raise
        width = "" if alpha is None else f" of --backbone-alpha {alpha}"
        reason = _first_line(error).partition(" Example error")[0].rstrip(".")
        raise UsageError(
            f"--weights {file}: no weights of keras.applications for {name}{width} without its "
            f"top: {reason}; name the --backbone and --backbone-alpha that the file is of, or "
            "another file"
        ) from error


def _first_line(error: Exception) -> str:
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    return (text.strip().splitlines() or [type(error).__name__])[0][:200]


@dataclass
class _Walk:
    """Calls a network's layers again; given to `clone_model`, which goes through its graph.

    Attributes:
        pixels: What stands for the network's input.
        framed: What takes its place: the same normalised and padded.
        output_stride: Largest stride of the result.
        features: The last tensor at each stride.
        pairs: Each layer of the network that has weights, and the one made from it.
    """

    pixels: keras.KerasTensor
    framed: keras.KerasTensor
    output_stride: int
    features: dict[int, keras.KerasTensor] = field(default_factory=dict)
    pairs: list[tuple[keras.Layer, keras.Layer]] = field(default_factory=list)

    def __post_init__(self) -> None:
        # By identity, for tensors compare symbolically. The published strides, before dilation.
        self._strides = {id(self.framed): 1}

    def __call__(self, layer: keras.Operation, *args: Any, **kwargs: Any) -> keras.KerasTensor:
        """Makes `layer` anew, with changes where its input is dilated, and calls it."""
        args, kwargs = keras.tree.map_structure(self._framed, (args, kwargs))
        if isinstance(layer, keras.Sequential):  # opened, as names and strides are inside
            for inner in layer.layers:
                args = (self(inner, *args),)
            return args[0]
        stride = max(self._strides[id(x)] for x in _tensors(args, kwargs))
        config = {**layer.get_config(), "name": PREFIX + layer.name}
        if isinstance(layer, layers.BatchNormalization):
            config["momentum"] = BATCH_NORM_MOMENTUM
        if stride:
            args = self._dilate(layer, config, stride, args)
        new = type(layer).from_config(config)
        result = new(*args, **kwargs)
        if isinstance(layer, keras.Layer) and layer.weights:
            self.pairs.append((layer, new))
        return self._note(layer, stride, result)

    def _framed(self, value: Any) -> Any:
        return self.framed if value is self.pixels else value

    def _note(self, layer: Any, stride: int, result: keras.KerasTensor) -> keras.KerasTensor:
        """Records the stride of a result."""
        if isinstance(layer, layers.GlobalAveragePooling2D | layers.GlobalMaxPooling2D):
            stride = _NOWHERE
        stride *= getattr(layer, "strides", (1,))[0]
        self._strides[id(result)] = stride
        if stride and not isinstance(layer, layers.ZeroPadding2D):
            self.features[min(stride, self.output_stride)] = result
        return result

    def _dilate(
        self, layer: Any, config: dict[str, Any], stride: int, args: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        """Changes `config` so that the layer does the same on a grid that is not as coarse."""
        grid = min(stride, self.output_stride)
        rate = stride // grid
        if isinstance(layer, layers.ZeroPadding2D):
            config["padding"] = [[rate * n for n in side] for side in layer.padding]
        if not hasattr(layer, "kernel_size"):
            return args
        step = layer.strides[0]
        left = min(stride * step, self.output_stride) // grid  # of its stride
        config["dilation_rate"] = (rate, rate) if rate > 1 else layer.dilation_rate
        if left == step:
            return args
        config["strides"], config["padding"] = (left, left), "valid"
        padding = [self._around(axis, layer, args[0], grid, rate) for axis in (0, 1)]
        return (layers.ZeroPadding2D(padding, name=f"{PREFIX}{layer.name}_fill")(args[0]),)

    def _around(
        self, axis: int, layer: Any, x: keras.KerasTensor, grid: int, rate: int
    ) -> tuple[int, int]:
        """Padding for a kernel that has lost its stride.

        Its first tap stays where it was at the places that the stride would have kept: there,
        "same" padding puts the smaller half before the image, and "valid" what came before.
        """
        kernel, step = layer.kernel_size[axis], layer.strides[axis]
        before = rate * (max(kernel - step, 0) // 2) if layer.padding == "same" else 0
        wanted = self.framed.shape[1 + axis] // grid + rate * (kernel - 1)
        return before, wanted - x.shape[1 + axis] - before


def _tensors(*structure: Any) -> list[keras.KerasTensor]:
    flat = keras.tree.flatten(structure)
    return [value for value in flat if isinstance(value, keras.KerasTensor)]
