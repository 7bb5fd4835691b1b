import os

import numpy as np
import pytest

from segflow.export import rows
from tests.unit.export.exported import save
from tests.unit.label.batches import Labels
from tests.unit.label.conftest import labels

__all__ = ["drawn", "labels"]


@pytest.fixture
def drawn(labels: Labels, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """Masks by the image's path; three classes, the sizes differ; a few are read at a time."""
    monkeypatch.setattr(rows, "_MASKS_AT_ONCE", 2)
    monkeypatch.setattr(os, "sync", lambda: None)
    random = np.random.default_rng(3)
    found = {}
    for number, name in enumerate(("a.png", "b.png", "sub/a.png", "sub/deep/c d.png", "e.png")):
        found[name] = random.integers(0, 3, (4 + number, 7), dtype=np.uint8)
        save(labels.images / name, found[name])
    return found
