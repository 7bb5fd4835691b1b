"""Models in one table: the members of an ensemble beside it, or several bundles."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from segflow.report import history, scored

_Parts = tuple[str, ...]


@dataclass(frozen=True)
class Side:
    """One model of the table.

    Attributes:
        name: What tells its folder from the others', as `names` gives it.
        path: Its folder.
        record: What says of it `architecture`, `image_size` and `metrics`: its own `bundle.json`,
            or an ensemble's entry of it.
        weight: In the ensemble that it is a member of; None where it stands for itself.
        speed: Training images a second; None if unknown.
        minutes: Time of training; None if unknown.
    """

    name: str
    path: str
    record: Mapping[str, Any]
    weight: float | None = None
    speed: float | None = None
    minutes: float | None = None

    @property
    def temperature(self) -> float | None:
        """What its logits are divided by in the ensemble; None where it stands for itself."""
        return None if self.weight is None else float(self.record.get("temperature", 1))

    @property
    def metrics(self) -> Mapping[str, Any]:
        """Its scores; empty where it was not scored."""
        return self.record["metrics"] or {}

    @property
    def interval(self) -> str:
        """Of its mean IoU, 95 %; empty if unknown."""
        return scored.interval(self.metrics.get("intervals", {}).get("mean_iou"))

    @property
    def boundary_iou(self) -> float | None:
        """The mean over the classes; None if unknown."""
        found: float | None = self.metrics.get("mean_boundary_iou")
        return found

    @property
    def flops(self) -> int | None:
        """Floating-point operations of an image; None if unknown."""
        found: int | None = self.record["architecture"].get("flops")
        return found


def of_bundle(folder: Path, bundle: Mapping[str, Any]) -> Side:
    """A bundle as a row, with its `bundle.json`."""
    return Side(
        folder.resolve().name,
        str(folder),
        bundle,
        speed=history.speed(history.read(folder)),
        minutes=_minutes(bundle),
    )


def members(folder: Path, bundle: Mapping[str, Any]) -> list[Side]:
    """An ensemble's members and, last, itself; empty for a bundle that is none."""
    sides = [
        Side(
            Path(member["path"]).name,
            member["path"],
            member,
            member["weight"],
            minutes=_minutes(member),
        )
        for member in bundle.get("members", ())
    ]
    return named([*sides, of_bundle(folder, bundle)]) if sides else []


def _minutes(record: Mapping[str, Any]) -> float | None:
    seconds: float | None = record.get("training", {}).get("seconds")
    return seconds / 60 if seconds else None


def named(sides: Sequence[Side]) -> list[Side]:
    """The same models, each under the name that tells it from all of these."""
    found = names([side.path for side in sides])
    return [replace(side, name=found[side.path]) for side in sides]


def names(paths: Sequence[str]) -> dict[str, str]:
    """Each folder's name, after as many of those above it as tell it from the other folders."""
    parts = {path: Path(path).resolve().parts for path in paths}
    lengths = range(1, max(map(len, parts.values())) + 1)
    return {
        path: str(Path(*next(own[-n:] for n in lengths if _is_alone(own, parts.values(), n))))
        for path, own in parts.items()
    }


def _is_alone(own: _Parts, all_parts: Iterable[_Parts], length: int) -> bool:
    """Whether no other path ends in the same parts."""
    return all(other == own or other[-length:] != own[-length:] for other in all_parts)


@dataclass(frozen=True)
class ClassRow:
    """A class's IoU for each of the models, None where it has none; `best` is the largest."""

    name: str
    values: Sequence[float | None]
    best: float | None


def class_rows(sides: Sequence[Side]) -> list[ClassRow]:
    """A row for each class that any of the models knows, in the order of the first that does."""
    tables = [side.metrics.get("per_class", {}) for side in sides]
    rows = []
    for name in dict.fromkeys(name for table in tables for name in table):
        values = [table[name]["iou"] if name in table else None for table in tables]
        best = max((value for value in values if value is not None), default=None)
        rows.append(ClassRow(name, values, best))
    return rows
