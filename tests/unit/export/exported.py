"""Drawn images, labelled without a model, and what is exported of them."""

import io
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console

from segflow.export.command import export
from segflow.export.config import ExportConfig
from tests.unit.label.batches import Labels

QUIET = Console(file=io.StringIO())


def save(path: Path, ids: np.ndarray) -> None:
    """A picture that the stand-in for a model takes for these class ids."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.stack([ids, ids * 0, ids * 0], axis=-1)).save(path)


def export_to(output: Path, made: Labels, form: str, **options: Any) -> Mapping[str, Any]:
    """Exports as the command does; what `export.json` holds."""
    options = {"labels": str(made.output), "format": form, "output": str(output), **options}
    return export(ExportConfig(**options), QUIET)


def pixels(path: Path) -> np.ndarray:
    """Of an image file, as they are stored."""
    with Image.open(path) as image:
        return np.asarray(image)


def files(folder: Path) -> set[str]:
    """All files below a folder, relative to it."""
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def numbers(folder: Path) -> dict[str, int]:
    """The ids of the images of a COCO export by their file names; no annotation's comes twice."""
    data = json.loads((folder / "annotations" / "instances_default.json").read_bytes())
    counts = Counter(annotation["id"] for annotation in data["annotations"])
    assert set(counts.values()) == {1}
    return {image["file_name"]: image["id"] for image in data["images"]}
