"""While one batch is in the model, others are decoded and encoded."""

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from segflow.jobs.job import Job
from segflow.label import images, labelling
from segflow.label.prediction import Prediction
from tests.unit.label.batches import FakePredictor, Labels, draw


class Stations:
    """Which images have come to a station so far."""

    def __init__(self, longest_s: float) -> None:
        self.longest_s = longest_s
        self._came: dict[str, set[str]] = {}
        self._change = threading.Condition()

    def pass_through(self, station: str, image: str) -> None:
        """Notes an image."""
        with self._change:
            self._came.setdefault(station, set()).add(image)
            self._change.notify_all()

    def wait_for_both(self, station: str) -> None:
        """Until two images have come there; they never do if one waits for the other's end."""
        with self._change:
            came = self._change.wait_for(
                lambda: len(self._came.get(station, ())) == 2, self.longest_s
            )
        assert came, f"only {self._came.get(station)} came to {station}: nothing overlaps"


class WaitingPredictor(FakePredictor):
    """An image leaves the model once another one is being decoded."""

    images_at_once = 1

    def __init__(self, fingerprint: str, stations: Stations) -> None:
        super().__init__(fingerprint)
        self._stations = stations

    def prepare(self, image: np.ndarray, name: str) -> Any:
        return image, name

    def predictions(self, prepared: Any) -> Iterator[Prediction]:
        ((image, name),) = prepared
        self._stations.pass_through("model", name)
        self._stations.wait_for_both("decoding")
        return super().predictions([image])


@pytest.fixture
def stations(labels: Labels, monkeypatch: pytest.MonkeyPatch) -> Stations:
    """Of a job with two images, each a batch."""
    stations = Stations(20.0)
    read, encode = images.read_image, images.store

    def noting(row: Any, *arguments: Any, **options: Any) -> Any:
        stations.pass_through("decoding", row["image_uri"])
        return read(row, *arguments, **options)

    def waiting(*arguments: Any, **options: Any) -> Any:
        stations.wait_for_both("model")
        return encode(*arguments, **options)

    monkeypatch.setattr(images, "read_image", noting)
    monkeypatch.setattr(images, "store", waiting)

    def opened(job: Job) -> labelling.LabelWork:
        predictor = WaitingPredictor(job.model_fingerprint, stations)
        return labelling.LabelWork(job.config, predictor)

    monkeypatch.setattr(labelling.LabelJob, "open", opened)
    for name in "ab":
        draw(labels.images / f"{name}.png")
    return stations


def test_decoding_and_encoding_go_on_beside_the_model(labels, stations):
    record = labels.label(worker_threads=2)

    assert record is not None
    assert record["inputs"]["accepted"] == 2


def test_one_thread_does_one_thing_after_another(labels, stations):
    stations.longest_s = 0.1
    with pytest.raises(AssertionError, match="came to decoding: nothing overlaps"):
        labels.label(worker_threads=1)
