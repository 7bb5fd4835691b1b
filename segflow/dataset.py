"""A committed dataset, as `dataset.json` describes it: what training and evaluation read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from segflow import hashing, storage
from segflow.errors import UsageError
from segflow.label_map import LabelMap

FORMAT_VERSION = 1
RECORD_NAME = "dataset.json"

ResizePolicy = Literal["stretch", "letterbox", "crop", "tile"]
"""What brings an image to the size of stored ones."""


@dataclass(frozen=True)
class ShardFile:
    """One TFRecord file of a split: name, number of examples, size in bytes, SHA-256 in hex."""

    file: str
    examples: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Split:
    """One split: `examples` counts augmented copies, `sources` does not.

    `class_pixels` counts pixels of the stored masks of all examples, by class id.
    """

    name: str
    examples: int
    sources: int
    class_pixels: Mapping[int, int]
    ignored_pixels: int
    shards: tuple[ShardFile, ...]


@dataclass(frozen=True)
class Dataset:
    """A dataset folder whose `dataset.json` has been read and checked.

    Attributes:
        folder: Where it lies.
        fingerprint: SHA-256 over config and content; equal datasets have equal ones.
        image_size: (height, width) of every stored image and mask.
        resize: The policy that made them, `stretch` or `letterbox`.
        record: The whole of `dataset.json`.
    """

    folder: Path
    fingerprint: str
    label_map: LabelMap
    image_size: tuple[int, int]
    resize: str
    seed: int
    splits: Mapping[str, Split]
    record: Mapping[str, Any]

    @classmethod
    def load(cls, folder: str | Path) -> "Dataset":
        """Reads `dataset.json`.

        Raises:
            UsageError: The folder holds no committed dataset, or its record is not sound.
        """
        folder = Path(folder)
        path = folder / RECORD_NAME
        if not path.is_file():
            state = "holds no dataset.json" if folder.is_dir() else "does not exist"
            raise UsageError(f"dataset {folder}: {state}; make one with 'segflow ingest'")
        try:
            record = storage.read_json(path)
            return cls._from_record(folder, record)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"dataset {path}: not a dataset record: {error!r}") from error

    @classmethod
    def _from_record(cls, folder: Path, record: Mapping[str, Any]) -> "Dataset":
        if record["format_version"] != FORMAT_VERSION:
            raise UsageError(
                f"dataset {folder}: format version {record['format_version']}, this segflow reads "
                f"{FORMAT_VERSION}; ingest again or use another version"
            )
        storage.require_inside(folder / RECORD_NAME, record.get("files", ()))
        height, width = record["image_size"]
        return cls(
            folder=folder,
            fingerprint=record["fingerprint"],
            label_map=LabelMap.from_dict(record["label_map"], str(folder / RECORD_NAME)),
            image_size=(int(height), int(width)),
            resize=record["resize"],
            seed=record["seed"],
            splits={name: _read_split(name, s, folder) for name, s in record["splits"].items()},
            record=record,
        )

    def split(self, name: str) -> Split:
        """The split of that name.

        Raises:
            UsageError: There is none, or it is empty.
        """
        if name not in self.splits:
            raise UsageError(
                f"dataset {self.folder}: no split {name!r}; it has {', '.join(self.splits)}"
            )
        if not self.splits[name].examples:
            raise UsageError(f"dataset {self.folder}: the split {name!r} has no examples")
        return self.splits[name]

    def shard_paths(self, split: str) -> list[Path]:
        """The TFRecord files of a split, in order, as listed (never a glob)."""
        return [self.folder / shard.file for shard in self.split(split).shards]

    def check_shards(self, splits: Iterable[str]) -> None:
        """Compares size and SHA-256 of every listed file of `splits` with the record.

        Raises:
            UsageError: A file is missing, cut, altered, or swapped with another.
        """
        for name in splits:
            for shard in self.split(name).shards:
                check_file(self.folder / shard.file, shard.bytes, shard.sha256)

    def warnings(self) -> list[str]:
        """What looks like a mistake in masks, label map or splits, one line each."""
        splits = self.splits.values()
        pixels = {id_ for s in splits for id_, count in s.class_pixels.items() if count}
        absent = [c.name for c in self.label_map.classes if c.id not in pixels]
        empty = [name for name, split in self.splits.items() if not split.examples]
        lines = []
        if absent and pixels:
            names = ", ".join(map(repr, absent[:5])) + (" …" if absent[5:] else "")
            lines.append(f"warning: no mask has a pixel of {names}{self._perhaps_ignored()}")
        if empty and pixels:
            lines.append(
                f"warning: no example in {', '.join(map(repr, empty))}; with few images, give "
                "larger shares with --splits, or every split its share with --stratify"
            )
        return lines

    def _perhaps_ignored(self) -> str:
        """Whether the pixels of a class that is not there may be those that masks have ignored."""
        # Padding and the borders of augmented copies are ignored by segflow itself.
        plain = [s for s in self.splits.values() if s.examples == s.sources]
        ignored = sum(s.ignored_pixels for s in plain)
        if self.resize not in ("stretch", "crop") or not ignored:
            return ""
        share = ignored / (ignored + sum(sum(s.class_pixels.values()) for s in plain))
        return (
            f", and {share:.1%} of all pixels are ignored (ignore_id {self.label_map.ignore_id}); "
            'if that value means a class, give the class "raw_ids": '
            f"[{self.label_map.ignore_id}] in the label map"
        )

    def check_shard(self, file: str) -> None:
        """Compares size and SHA-256 of one listed file with the record.

        Raises:
            UsageError: The file is missing, cut, altered, swapped with another, or not listed.
        """
        listed = {s.file: s for split in self.splits.values() for s in split.shards}
        if file not in listed:
            raise UsageError(f"dataset {self.folder}: its record lists no shard {file}")
        check_file(self.folder / file, listed[file].bytes, listed[file].sha256)


def recorded_places(path: str | Path, near: Path) -> list[Path]:
    """Where the folder may lie that a bundle names: its dataset, or a bundle it was made of.

    Args:
        path: As recorded; a relative one began where the program ran, mostly beside `near`.
        near: The bundle's own folder, which may have moved along.
    """
    return [Path(path), near.absolute().parent / path]


def check_file(path: Path, size: int, sha256: str) -> None:
    """Raises `UsageError` unless the file has that size in bytes and that SHA-256."""
    if not path.is_file():
        problem = "missing, though the record lists it"
    elif (found := path.stat().st_size) != size:
        problem = f"{found} bytes, the record says {size}, so it was cut or replaced"
    elif hashing.sha256_file(path) != sha256:
        problem = "its SHA-256 is not the recorded one, so it was altered or swapped"
    else:
        return
    raise UsageError(f"{path}: {problem}; restore it or make it anew")


def _read_split(name: str, data: Mapping[str, Any], folder: Path) -> Split:
    shards = tuple(
        ShardFile(**{k: s[k] for k in ShardFile.__annotations__}) for s in data["shards"]
    )
    for shard in shards:
        is_name = Path(shard.file).name == shard.file and shard.file not in ("", ".", "..")
        if not is_name or not (folder / shard.file).resolve().is_relative_to(folder.resolve()):
            raise UsageError(f"dataset {folder}: the shard {shard.file!r} lies outside the folder")
    if sum(s.examples for s in shards) != data["examples"]:
        raise UsageError(f"dataset {folder}: the shards of {name!r} do not add up to its examples")
    return Split(
        name=name,
        examples=data["examples"],
        sources=data["sources"],
        class_pixels={int(k): v for k, v in data["class_pixels"].items()},
        ignored_pixels=data["ignored_pixels"],
        shards=shards,
    )
