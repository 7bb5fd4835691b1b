"""The bundle that a training goes on from: `--from-bundle`, checked without Keras."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from segflow.dataset import Dataset
from segflow.errors import UsageError
from segflow.train.bundle import Bundle
from segflow.train.config import MODEL_SETTINGS, TrainConfig

_Config = TypeVar("_Config", bound=TrainConfig)


@dataclass(frozen=True)
class Origin:
    """Where the first weights come from.

    Attributes:
        bundle: Whose weights they are.
        keeps_head: Whether the last layer's are among them: only if both have the same classes in
            the same order, as its weights mean nothing for others.
    """

    bundle: Bundle
    keeps_head: bool

    @classmethod
    def find(cls, config: TrainConfig, dataset: Dataset) -> "Origin | None":
        """The origin that `config` asks for, if any.

        Raises:
            UsageError: There is no bundle, or one of another architecture, of several, or of none
                that is known here.
        """
        if config.from_bundle is None:
            return None
        bundle = Bundle.load(config.from_bundle)
        if bundle.is_ensemble:
            raise UsageError(
                f"--from-bundle {config.from_bundle} is an ensemble; name one of its members, such "
                f"as {bundle.record['members'][0]['path']}"
            )
        if bundle.is_adopted:
            raise UsageError(
                f"--from-bundle {config.from_bundle} was made of a Keras file by 'segflow bundle', "
                "so there is no architecture to train; name a bundle that 'segflow train' wrote"
            )
        architecture = bundle.record["architecture"]["name"]
        if config.architecture not in ("auto", architecture):
            raise UsageError(
                f"--from-bundle {config.from_bundle} is a {architecture}, --architecture asks for "
                f"{config.architecture}; leave that out, or name another bundle"
            )
        if ":" in architecture and config.architecture == "auto":
            raise UsageError(
                f"--from-bundle {config.from_bundle} is of {architecture}, whose code would be run "
                f"here; give --architecture {architecture} if you trust it"
            )
        return cls(bundle, bundle.label_map.names == dataset.label_map.names)

    @property
    def parameters(self) -> dict[str, Any]:
        """Those of the architecture that decide its weights' shapes, by name."""
        recorded: Mapping[str, Any] = self.bundle.record["architecture"]["parameters"]
        return {k: v for k, v in recorded.items() if k in MODEL_SETTINGS and k != "weights"}

    def complete(self, config: _Config) -> _Config:
        """`config` with the bundle's architecture, and its parameters where none are given."""
        missing = {k: v for k, v in self.parameters.items() if getattr(config, k) is None}
        name = self.bundle.record["architecture"]["name"]
        return dataclasses.replace(config, architecture=name, **missing)

    def advice(self) -> str:
        """What to do where a model's weights have other shapes or names."""
        if not self.parameters:  # somebody's own
            return (
                "the function must give its layers the names that they have there, and 'classify' "
                "to the last"
            )
        flags = [
            f"--{name.replace('_', '-')} {value}"
            for name, value in self.parameters.items()
            if value is not None
        ]
        return f"that bundle has {' '.join(flags)}; leave these flags out, or give the same"

    def to_dict(self) -> dict[str, Any]:
        """What `bundle.json` says of it."""
        return {
            "fingerprint": self.bundle.fingerprint,
            "path": str(self.bundle.folder),
            "head": "kept" if self.keeps_head else "replaced",
        }

    def describe(self, dataset: Dataset) -> str:
        """One line for the terminal."""
        line = f"going on from the bundle {self.bundle.folder}"
        if self.keeps_head:
            return line
        there, here = len(self.bundle.label_map.names), len(dataset.label_map.names)
        return f"{line}; its head of {there} classes is replaced by a new one of these {here}"
