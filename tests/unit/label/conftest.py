import os
from pathlib import Path

import pytest

from segflow.jobs import runner
from segflow.label import labelling
from tests.unit.label.batches import FakePredictor, Labels, work_off


@pytest.fixture
def labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Labels:
    """No images yet, and no labels."""
    monkeypatch.setattr(runner, "work_off", work_off)
    monkeypatch.setattr(os, "fsync", lambda _: None)
    # The work asks the predictor of which model it is; the job knows.
    monkeypatch.setattr(
        labelling.LabelJob,
        "open",
        lambda job: labelling.LabelWork(job.config, FakePredictor(job.model_fingerprint)),
    )
    (tmp_path / "images").mkdir()
    return Labels(tmp_path / "images", tmp_path / "labels")
