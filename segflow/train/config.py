"""What `segflow train` can be told, checked before anything heavy is loaded."""

import dataclasses
import json
import re
from dataclasses import dataclass, field
from typing import Any, Literal

from segflow.errors import UsageError
from segflow.models.registry import model_parameters

LOSS_NAMES = ("ce", "dice")

# Settings that may change between a run and its continuation without making it another run:
# they say where things lie and when to stop, or spread the same global batch differently.
_FREE_ON_RESUME = ("dataset", "output", "resume", "devices", "max_minutes")
_WHERE = ("dataset", "output", "resume")

# Settings that are the architecture's parameters; none takes all of them.
_MODEL_SETTINGS = (
    "backbone",
    "backbone_alpha",
    "weights",
    "filters",
    "depth",
    "output_stride",
    "upsampling",
)

_TERM = re.compile(r"(?:(\d+(?:\.\d*)?|\.\d+)\*)?([a-z_]+)")
_DEVICES = re.compile(r"auto|(cpu|gpu):([1-9]\d*)")


@dataclass(frozen=True)
class AugmentationConfig:
    """Random changes to training examples, drawn anew in every epoch.

    Image and mask move together; what comes from outside the image is ignored by the loss.
    """

    enabled: bool = True
    """Whether training examples are changed at all."""

    flip_horizontal: float = 0.5
    """Probability of mirroring left and right, 0 to 1."""

    flip_vertical: float = 0.0
    """Probability of mirroring top and bottom, 0 to 1; for views from above, 0.5."""

    rotation: float = 10.0
    """Largest rotation to either side, in degrees."""

    zoom: tuple[float, float] = (0.8, 1.25)
    """Smallest and largest magnification; 1 leaves the size as it is."""

    brightness: float = 0.15
    """Largest shift of brightness to either side, as a fraction of the range 0-255."""

    contrast: float = 0.2
    """Largest change of contrast to either side, as a fraction of the contrast."""

    def __post_init__(self) -> None:
        for name in ("flip_horizontal", "flip_vertical", "brightness"):
            _check_range(f"augmentation.{name}", getattr(self, name), 0.0, 1.0)
        _check_range("augmentation.contrast", self.contrast, 0.0, 0.99)
        _check_range("augmentation.rotation", self.rotation, 0.0, 180.0)
        if not 0.05 <= self.zoom[0] <= self.zoom[1] <= 20.0:
            raise UsageError(
                "--augmentation.zoom must be a smaller and a larger factor between 0.05 and 20, "
                f"found {self.zoom[0]} {self.zoom[1]}"
            )


@dataclass(frozen=True)
class TrainConfig:
    """Trains a model on a dataset, on all local GPUs or on the CPU."""

    dataset: str
    """Folder of the dataset, as 'segflow ingest' writes it."""

    output: str
    """Folder of the model bundle; it must be new, empty, or hold this very training."""

    architecture: str = "unet"
    """unet, segnet, deeplab_v3, deeplab_v3_plus, fpn, lraspp, segformer, or a function of
    your own that returns a Keras model: package.module:function (docs/models.md)."""

    backbone: str | None = None
    """Encoder: mobilenet, mobilenet_v2, mobilenet_v3_small, mobilenet_v3_large, resnet50,
    resnet101, efficientnet_v2_b0 or convnext_tiny; none: the architecture's own."""

    backbone_alpha: float | None = None
    """Factor of the width of a MobileNet, such as 0.35; none: 1."""

    weights: str | None = None
    """Of the backbone: none, imagenet (downloads), or a weights file of keras.applications
    without its top."""

    filters: int | None = None
    """Width of the architecture, of unet and segnet at full resolution, doubled at each scale
    below; none: the architecture's own (unet: 16)."""

    depth: int | None = None
    """How many times unet and segnet halve the resolution; none: 4 for unet, 5 for segnet and
    with a backbone."""

    output_stride: Literal[8, 16] | None = None
    """Stride of the coarsest features of deeplab_v3 and deeplab_v3_plus; none: 16."""

    upsampling: Literal["transposed", "bilinear"] | None = None
    """How the decoder of unet enlarges: by convolution or interpolation; none: transposed."""

    loss: str = "ce+dice"
    """Sum of ce (cross-entropy) and dice, with factors if wanted: '0.7*ce+0.3*dice'."""

    class_weights: str = "none"
    """none, inverse_frequency, median_frequency, or a JSON or YAML file {class name: weight}."""

    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    """adam, adamw, or sgd with Nesterov momentum."""

    learning_rate: float = 0.002
    """Step size at the start."""

    schedule: Literal["constant", "cosine"] = "cosine"
    """How the learning rate goes on: as it is, or down to 0 along half a cosine over all epochs."""

    momentum: float = 0.9
    """Momentum of sgd, 0 to 1; the others do not use it."""

    weight_decay: float = 0.004
    """Fraction of the weights that adamw takes off per step and unit of learning rate."""

    epochs: int = 40
    """How often every training example is seen."""

    max_minutes: float | None = None
    """Stop training after so many minutes, in the middle of an epoch if need be."""

    patience: int | None = None
    """Stop after so many epochs in which the validation mIoU has not risen; none: never."""

    batch_size: int = 8
    """Images a step, over all devices together."""

    devices: str = "auto"
    """auto (all GPUs, else the CPU), gpu:N, or cpu:N (N logical devices, to try replicas out)."""

    seed: int = 0
    """Decides the first weights, the order of the examples and their augmentation."""

    resume: bool = False
    """Go on after the last finished epoch of an interrupted training in --output."""

    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    """Random changes to training examples."""

    def __post_init__(self) -> None:
        parse_loss(self.loss)
        _, devices = parse_devices(self.devices)
        for name in ("filters", "depth", "epochs", "batch_size", "patience"):
            _check_positive(name, getattr(self, name), least=1)
        model_parameters(self.architecture, self._given_parameters)
        check_batch_size(self.batch_size, devices or 1)  # auto is settled once it is known
        for name in ("learning_rate", "max_minutes"):
            _check_positive(name, getattr(self, name))
        _check_range("momentum", self.momentum, 0.0, 1.0)
        _check_range("weight_decay", self.weight_decay, 0.0, 1.0)
        _check_range("seed", self.seed, 0, 2**31 - 1)

    @property
    def model_parameters(self) -> dict[str, Any]:
        """The architecture's own parameters, by the names its builder takes."""
        return model_parameters(self.architecture, self._given_parameters)

    @property
    def _given_parameters(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _MODEL_SETTINGS}

    def to_dict(self) -> dict[str, Any]:
        """All settings as JSON values."""
        settings: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return settings

    def identity(self) -> dict[str, Any]:
        """The settings that decide what is trained and for how long, not where it lies."""
        return {k: v for k, v in self.to_dict().items() if k not in _WHERE}

    def resume_identity(self) -> dict[str, Any]:
        """The settings that a continued training must share with its beginning."""
        return {k: v for k, v in self.to_dict().items() if k not in _FREE_ON_RESUME}


def parse_loss(text: str) -> tuple[tuple[float, str], ...]:
    """Reads a loss such as `ce+dice` or `0.7*ce+0.3*dice`.

    Returns:
        Factor and name of each term, in the order given.

    Raises:
        UsageError: A term is no known loss, stands twice, or has the factor 0.
    """
    terms = []
    for part in text.replace(" ", "").split("+"):
        match = _TERM.fullmatch(part)
        if match is None or match[2] not in LOSS_NAMES:
            raise UsageError(
                f"--loss {text!r}: {part!r} is no loss; write a sum of {', '.join(LOSS_NAMES)}, "
                "with factors if wanted, such as '0.7*ce+0.3*dice'"
            )
        terms.append((float(match[1] or 1), match[2]))
    names = [name for _, name in terms]
    if len(set(names)) < len(names) or not all(factor for factor, _ in terms):
        raise UsageError(f"--loss {text!r}: each loss must stand once, with a factor above 0")
    return tuple(terms)


def parse_devices(text: str) -> tuple[Literal["auto", "cpu", "gpu"], int]:
    """Reads `auto`, `cpu:N` or `gpu:N`.

    Returns:
        The kind and the number of devices; 0 for `auto`.

    Raises:
        UsageError: The text is none of these.
    """
    match = _DEVICES.fullmatch(text)
    if match is None:
        raise UsageError(f"--devices must be auto, cpu:N or gpu:N with N from 1, found {text!r}")
    if match[1] is None:
        return "auto", 0
    return ("gpu" if match[1] == "gpu" else "cpu"), int(match[2])


def check_batch_size(batch_size: int, replicas: int) -> None:
    """Raises `UsageError` unless every replica gets the same number of images."""
    if batch_size % replicas:
        lower = batch_size - batch_size % replicas
        better = f"{lower} or {lower + replicas}" if lower else str(replicas)
        raise UsageError(
            f"--batch-size {batch_size} cannot be split evenly over {replicas} devices; "
            f"use {better}"
        )


def steps_per_epoch(examples: int, batch_size: int) -> int:
    """Steps of an epoch; what does not fill the last batch is left out of that epoch.

    Raises:
        UsageError: There are fewer examples than one batch takes.
    """
    if examples < batch_size:
        raise UsageError(
            f"the split 'train' has {examples} examples, fewer than one batch of {batch_size}; "
            f"set --batch-size to at most {examples}"
        )
    return examples // batch_size


def _check_positive(name: str, value: float | None, least: float = 0) -> None:
    if value is not None and not (value > 0 and value >= least):
        raise UsageError(f"--{name.replace('_', '-')} must be positive, found {value}")


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise UsageError(f"--{name.replace('_', '-')} must be {low} to {high}, found {value}")
