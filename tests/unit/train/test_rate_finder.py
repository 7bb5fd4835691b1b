"""The learning-rate finder on a small dataset."""

import io
import itertools
import json
from pathlib import Path

import keras
import numpy as np
import pytest
from rich.console import Console

from segflow import report
from segflow.dataset import Dataset
from segflow.errors import UsageError
from segflow.train import rate_finder
from segflow.train.fitting import compiled
from segflow.train.input import training_batches
from segflow.train.range_test import RangeTest
from segflow.train.rate_config import FindRateConfig
from segflow.train.rate_finder import find_rate, run_test
from segflow.verify import verify


def config(dataset: Path, output: object = "out", **settings: object) -> FindRateConfig:
    small = {"filters": 4, "depth": 1, "batch_size": 4, "devices": "cpu:1", "rate_steps": 40}
    return FindRateConfig(str(dataset), str(output), **{**small, **settings})


@pytest.fixture(scope="module")
def found(dataset_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RangeTest]:
    folder = tmp_path_factory.mktemp("rates") / "out"
    settings = {"highest_rate": 100.0, "freeze_backbone_epochs": 1}
    return folder, find_rate(config(dataset_folder, folder, **settings))


def test_the_loss_falls_and_then_grows(found):
    _, test = found
    assert 1e-4 < test.suggested < 1.0
    assert max(test.losses[-5:]) > 1.5 * min(test.smoothed)


def test_the_folder_holds_table_and_record_and_can_be_drawn_and_verified(found):
    folder, test = found
    assert {p.name for p in folder.iterdir()} == {"rates.csv", "rates.json"}
    record = json.loads((folder / "rates.json").read_text())
    assert record["suggested_learning_rate"] == test.suggested
    assert (folder / "rates.csv").read_bytes() == test.to_csv()
    assert f"{test.suggested:.2g}" in report.draw(folder).read_text()
    assert verify(folder) == ("rate test", [])
    (folder / "rates.csv").write_bytes(b"learning_rate,loss,smoothed_loss\n")
    assert len(verify(folder)[1]) == 1


def test_each_loss_is_that_of_its_batch_alone(dataset_folder):
    """At rates too low to change a weight, the losses are those of the untrained model."""
    settings = config(dataset_folder, lowest_rate=1e-30, highest_rate=1e-29, rate_steps=10)
    dataset = Dataset.load(dataset_folder)
    test = run_test(settings, dataset, None, Console(quiet=True))
    keras.utils.set_random_seed(settings.seed)
    model, _ = compiled(settings, dataset, None, None)
    batches = itertools.islice(training_batches(dataset, settings, 0), 10)
    expected = [float(model.loss(y, model(x, training=True))) for x, y in batches]
    np.testing.assert_allclose(test.losses, expected, rtol=1e-4)
    assert test.rates == pytest.approx(np.geomspace(1e-30, 1e-29, 10), rel=1e-6)


def test_it_says_how_far_it_is(dataset_folder, monkeypatch):
    monkeypatch.setattr(rate_finder, "_LINE_EVERY_S", 0.0)
    console = Console(record=True, file=io.StringIO(), width=200)
    settings = config(dataset_folder, rate_steps=10, highest_rate=1e-5)
    run_test(settings, Dataset.load(dataset_folder), None, console)
    said = console.export_text().splitlines()
    assert said[0] == "building unet; its first step takes longest"
    assert said[1].startswith("find-rate: step 1 of 10, rate 1e-06, loss ")
    assert len(said) == 11


def test_a_test_may_be_longer_than_the_training_and_accumulate(dataset_folder):
    settings = config(dataset_folder, epochs=1, rate_steps=10, accumulation=2, highest_rate=1e-5)
    test = run_test(settings, Dataset.load(dataset_folder), None, Console(quiet=True))
    assert len(test.rates) == 20
    assert test.rates[::2] == test.rates[1::2]


def test_a_folder_that_holds_something_is_refused(dataset_folder, tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UsageError, match=r"holds 'notes.txt'; choose a new or empty folder"):
        find_rate(config(dataset_folder, tmp_path))
