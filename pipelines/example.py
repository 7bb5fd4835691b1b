"""`segflow example`: makes a stored example again from its sources, and compares."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from pipelines import cli, tables
from segflow import storage
from segflow.errors import JobError, RejectError, UsageError
from segflow.explain.versions import other_versions

if TYPE_CHECKING:
    from segflow.data.remake import Remade


@dataclass(frozen=True, kw_only=True)
class RemakeConfig:
    """Makes an example of a dataset again from its sources, and compares the bytes."""

    dataset: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DATASET")]
    """Folder of the dataset."""
    key: str
    """Key of the example, as in the index."""
    variant: int = 0
    """Which copy: 0 is the example without augmentation."""
    output: str
    """Folder to write the image and the mask to: image.jpg or image.png, and mask.png."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    return cli.run("example", RemakeConfig, _execute, argv)


def _execute(config: RemakeConfig, _: Sequence[str]) -> None:
    from segflow.data.remake import remake  # heavy: --help does without
    from segflow.dataset import Dataset

    dataset = Dataset.load(config.dataset)
    try:
        remade = remake(dataset, config.key, config.variant)
    except RejectError as error:
        raise JobError(f"--key {config.key}: cannot be made again: {error}") from error
    record, folder = remade.example.record, Path(config.output)
    suffix = "jpg" if record.image_format == "jpeg" else record.image_format
    files = {f"image.{suffix}": record.image, "mask.png": record.mask}
    _require_free(folder, files)
    for name, data in files.items():
        storage.put(folder / name, data)
        tables.print_line(f"{folder / name}: {len(data):,} bytes")
    tables.print_line(f"augmentation: {remade.row['augmentation'] or 'none'}")
    if not remade.is_equal:
        raise JobError(_difference(remade, dataset.record["versions"]))
    tables.print_line(f"byte-equal to {_place(remade)}")


def _require_free(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        path = folder / name
        if path.exists() and not (path.is_file() and path.read_bytes() == data):
            raise UsageError(f"--output {folder}: holds another {name}; choose another folder")


def _difference(remade: "Remade", made_with: dict[str, str]) -> str:
    others = other_versions(made_with)
    why = f"it was made with {'; '.join(others)}" if others else "has the mask's source changed?"
    return f"not byte-equal to {_place(remade)}: {why}"


def _place(remade: "Remade") -> str:
    return f"record {remade.row['position']} of {remade.row['shard']}"


if __name__ == "__main__":
    sys.exit(main())
