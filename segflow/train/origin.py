"""The bundle that a training goes on from: `--from-bundle`, checked without Keras."""

from dataclasses import dataclass
from typing import Any

from segflow.dataset import Dataset
from segflow.errors import UsageError
from segflow.train.bundle import Bundle
from segflow.train.config import TrainConfig


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
            UsageError: There is no bundle, or one of another architecture.
        """
        if config.from_bundle is None:
            return None
        bundle = Bundle.load(config.from_bundle)
        architecture = bundle.record["architecture"]["name"]
        if architecture != config.architecture:
            raise UsageError(
                f"--from-bundle {config.from_bundle} is a {architecture}, --architecture asks for "
                f"{config.architecture}; they must be the same"
            )
        return cls(bundle, bundle.label_map.names == dataset.label_map.names)

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
