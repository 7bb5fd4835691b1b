"""The pictures of an evaluation's page are those that the model saw."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segflow.report import evaluation
from tests.unit.report.folders import LABEL_MAP


@pytest.fixture
def row(tmp_path: Path) -> dict[str, Any]:
    """A pair whose image has 16 bits of grey, values 0 to 900."""
    grey = np.linspace(0, 900, 8 * 10).reshape(8, 10).astype(np.uint16)
    pictures = {"image": Image.fromarray(grey), "mask": Image.fromarray(np.zeros((8, 10), "u1"))}
    row: dict[str, Any] = {"annotation": None, "image_part": None, "mask_part": None}
    for name, picture in pictures.items():
        data = io.BytesIO()
        picture.save(data, "PNG")
        (tmp_path / f"{name}.png").write_bytes(data.getvalue())
        row[f"{name}_uri"] = str(tmp_path / f"{name}.png")
    return row


def test_they_are_read_with_the_runs_range_of_values(row: dict[str, Any]) -> None:
    config = {"reading": {"bands": None, "value_range": "0,1000", "frames": "first"}}

    image, _ = evaluation._raw(row, LABEL_MAP, config)

    expected = np.linspace(0, 900, 80).astype(np.uint16) / 1000 * 255
    assert np.abs(image[..., 0].ravel() - expected).max() <= 1


def test_they_are_read_within_the_runs_limits(row: dict[str, Any]) -> None:
    limits = {"max_pixels": 79, "max_bytes": 10_000, "decode_seconds": 60.0}
    found = evaluation._raw(row, LABEL_MAP, {"limits": limits})
    assert "10 x 8 pixels by its header, over the cap of 79" in found
    assert "the scores above still hold" in found
