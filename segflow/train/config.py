"""What `segflow train` can be told, checked before anything heavy is loaded."""

import dataclasses
import json
import re
from dataclasses import dataclass, field
from typing import Any, Literal

from segflow.errors import UsageError
from segflow.models.registry import model_parameters
from segflow.ranges import require, require_range
from segflow.train.augment_config import AugmentationConfig
from segflow.train.loss_config import LossConfig, parse_loss
from segflow.train.schedule_config import ScheduleConfig

# Settings that may change between a run and its continuation without making it another run:
# they say where things lie and when to stop, or spread the same global batch differently.
_WHERE = ("dataset", "output", "resume", "from_bundle", "mlflow")
_FREE_ON_RESUME = (*_WHERE, "devices", "max_minutes")

# Settings that are the architecture's parameters; none takes all of them.
MODEL_SETTINGS = (
    "backbone",
    "backbone_alpha",
    "weights",
    "filters",
    "depth",
    "output_stride",
    "upsampling",
)

_DEVICES = re.compile(r"auto|(cpu|gpu):([1-9]\d*)")


@dataclass(frozen=True)
class TrainConfig:
    """Trains a model on a dataset, on all local GPUs or on the CPU."""

    dataset: str
    """Folder of the dataset, as 'segflow ingest' writes it."""

    output: str
    """Folder of the model bundle; it must be new, empty, or hold this very training."""

    architecture: str = "auto"
    """unet, segnet, deeplab_v3, deeplab_v3_plus, fpn, pspnet, lraspp, segformer, or a function of
    your own that returns a Keras model: package.module:function (docs/models.md); auto: the one of
    the bundle that training goes on from, with its parameters, or else unet."""

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
    """Stride of the coarsest features of deeplab_v3, deeplab_v3_plus and pspnet; none: 16."""

    upsampling: Literal["transposed", "bilinear"] | None = None
    """How the decoder of unet enlarges: by convolution or interpolation; none: transposed."""

    loss: str = "ce+dice"
    """Sum of ce, focal, ohem, dice, generalized_dice, tversky, focal_tversky, lovasz, boundary,
    with factors if wanted: '0.7*ce+0.3*dice'."""

    loss_options: LossConfig = field(default_factory=LossConfig)
    """Parameters of the losses."""

    class_weights: str = "none"
    """none, inverse_frequency, median_frequency, or a JSON or YAML file {class name: weight}."""

    from_bundle: str | None = None
    """Folder of a model bundle whose weights training begins with, also for other classes."""

    freeze_backbone_epochs: int = 0
    """Epochs at the start in which the backbone stays as it is, its batch-norm statistics too."""

    fine_tune_learning_rate: float | None = None
    """Step size after --freeze-backbone-epochs; none: the same as before."""

    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    """adam, adamw, or sgd with Nesterov momentum."""

    learning_rate: float = 0.002
    """Step size at the start."""

    backbone_rate_factor: float = 1.0
    """What the step size is multiplied by for the weights of the backbone."""

    schedule: Literal["constant", "step", "polynomial", "cosine"] = "cosine"
    """How the learning rate goes on: as it is, in steps, or down to 0 along a curve."""

    schedule_options: ScheduleConfig = field(default_factory=ScheduleConfig)
    """Parameters of the schedules, and warm-up."""

    momentum: float = 0.9
    """Momentum of sgd, 0 to 1; the others do not use it."""

    weight_decay: float = 0.004
    """Fraction of the weights that adamw and sgd take off per step and unit of learning rate."""

    clip_norm: float | None = None
    """Largest norm of the gradient of all weights together; a longer one is shortened to it."""

    accumulation: int = 1
    """Batches whose mean gradient makes one step: as if --batch-size were so many times larger;
    at most those of an epoch."""

    moving_average: float | None = None
    """Validate and keep a moving average of the weights; this share of it stays at each step."""

    epochs: int = 40
    """How often every training example is seen."""

    max_minutes: float | None = None
    """Stop training after so many minutes, in the middle of an epoch if need be. The schedule
    counts --epochs, so choose as many as fit in this time, or the rate stays too high."""

    patience: int | None = None
    """Stop after so many epochs in which the validation mIoU has not risen; none: never."""

    batch_size: int = 8
    """Images a step, over all devices together."""

    devices: str = "auto"
    """auto (all GPUs, else the CPU), gpu:N, or cpu:N (N logical devices, to try replicas out)."""

    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = "float32"
    """Numbers inside the model: mixed_float16 is for GPUs, mixed_bfloat16 for new GPUs and CPUs."""

    xla: bool = False
    """Compile the training step with XLA; for one device."""

    sync_batch_norm: bool = False
    """Let batch norm see the global batch, not the part on each device."""

    sampling: Literal["uniform", "class_balanced"] = "uniform"
    """uniform: an epoch shows every example once; class_balanced: those with rare classes more."""

    seed: int = 0
    """Decides the first weights, the order of the examples and their augmentation."""

    resume: bool = False
    """Go on after the last finished epoch of an interrupted training in --output, if any."""

    mlflow: str | None = None
    """MLflow server or store that gets settings, epochs and reports, such as http://host:5000; it
    may fail without harm."""

    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    """Random changes to training examples."""

    def __post_init__(self) -> None:
        parse_loss(self.loss)
        _, devices = parse_devices(self.devices)
        check_xla(self.xla, devices)
        for name in ("filters", "depth", "epochs", "batch_size", "patience", "accumulation"):
            self._check_positive(name, least=1)
        self._check_model()
        check_batch_size(self.batch_size, devices or 1)  # auto is settled once it is known
        for name in ("learning_rate", "fine_tune_learning_rate", "clip_norm", "max_minutes"):
            self._check_positive(name)
        require_range("--freeze-backbone-epochs", self.freeze_backbone_epochs, 0, self.epochs)
        if self.fine_tune_learning_rate is not None and not self.freeze_backbone_epochs:
            raise UsageError(
                "--fine-tune-learning-rate is for the epochs after --freeze-backbone-epochs, which "
                "is 0; set that too, or --learning-rate alone"
            )
        require_range("--backbone-rate-factor", self.backbone_rate_factor, 0.0, 1000.0)
        if self.moving_average is not None:
            require_range("--moving-average", self.moving_average, 0.0, 0.999999)
        self._check_warmup()
        require("--mlflow", "nothing", self.mlflow != "", "the address of a server or store")
        require_range("--momentum", self.momentum, 0.0, 1.0)
        require_range("--weight-decay", self.weight_decay, 0.0, 1.0)
        require_range("--seed", self.seed, 0, 2**31 - 1)

    def _check_model(self) -> None:
        if self.from_bundle is None:
            if self.architecture == "auto":
                object.__setattr__(self, "architecture", "unet")
            model_parameters(self.architecture, self._given_parameters)
        elif self.weights not in (None, "none"):
            raise UsageError(
                f"--weights {self.weights} is for a new model, and --from-bundle brings weights "
                "for all of it; leave one of them out"
            )

    def _check_positive(self, name: str, least: float = 0) -> None:
        value = getattr(self, name)
        sound = value is None or (value > 0 and value >= least)
        require(f"--{name.replace('_', '-')}", value, sound, "positive")

    def _check_warmup(self) -> None:
        before = self.freeze_backbone_epochs + self.schedule_options.warmup_epochs
        if self.schedule_options.warmup_epochs and before >= self.epochs:
            raise UsageError(
                f"--schedule-options.warmup-epochs: frozen epochs and warm-up take {before} of "
                f"{self.epochs} epochs, so that none is left; raise --epochs or shorten them"
            )

    @property
    def model_parameters(self) -> dict[str, Any]:
        """The architecture's own parameters, by the names its builder takes."""
        return model_parameters(self.architecture, self._given_parameters)

    @property
    def _given_parameters(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in MODEL_SETTINGS}

    def to_dict(self) -> dict[str, Any]:
        """All settings as JSON values."""
        settings: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return settings

    def identity(self) -> dict[str, Any]:
        """The settings that decide what is trained and for how long, not where it lies.

        The architecture's parameters are completed: what is not given equals its default.
        """
        settings = {**self.to_dict(), **self.model_parameters}
        return {k: v for k, v in settings.items() if k not in _WHERE}

    def resume_identity(self) -> dict[str, Any]:
        """The settings that a continued training must share with its beginning."""
        return {k: v for k, v in self.identity().items() if k not in _FREE_ON_RESUME}


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


def check_xla(xla: bool, replicas: int) -> None:
    """Raises `UsageError` if XLA is to compile a step that synchronises several devices."""
    if xla and replicas > 1:
        raise UsageError(
            f"--xla works on one device, and --devices asks for {replicas}; leave one of them out"
        )


def check_accumulation(accumulation: int, steps: int) -> None:
    """Raises `UsageError` if an epoch's batches are too few to change the weights once."""
    if accumulation > steps:
        raise UsageError(
            f"--accumulation {accumulation} needs more than the {steps} batches of an epoch, so "
            f"that an epoch could end as it began; use at most {steps}, or a smaller --batch-size"
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
