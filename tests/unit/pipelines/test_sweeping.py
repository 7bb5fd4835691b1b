"""The file of a sweep, the command lines of its trials, and a sweep as a user runs it."""

import dataclasses
import re

import pytest

from pipelines import sweeping
from segflow.errors import UsageError
from segflow.train.augment_config import AugmentationConfig
from segflow.train.bundle import Bundle
from segflow.train.config import TrainConfig
from segflow.train.schedule_config import ScheduleConfig
from segflow.train.sweep.config import Choices, Range
from segflow.verify import verify
from tests.programs import run_here
from tests.requirements import ROOT
from tests.unit.train.datasets import write_dataset

FILE = """
trials: 20
parameters:
  learning-rate: {low: 1e-4, high: 1e-2, log: true}
  backbone: [none, mobilenet_v2]
  augmentation:
    zoom: [[0.8, 1.25], [1, 1]]
"""


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "sweep.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def test_the_file_names_settings_as_a_config_file_does(write):
    sweep = sweeping.read(write(FILE))
    assert (sweep.trials, sweep.seed) == (20, 0)
    assert sweep.parameters == {
        "learning_rate": Range(1e-4, 1e-2, True),
        "backbone": Choices(("none", "mobilenet_v2")),
        "augmentation.zoom": Choices(([0.8, 1.25], [1, 1])),
    }


def test_the_file_in_the_documentation_is_one(write):
    page = (ROOT / "docs/train.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```yaml\n(trials.*?)^```$", page, re.MULTILINE | re.DOTALL)
    sweep = sweeping.read(write(block))
    assert list(sweep.parameters)[-1] == "augmentation.zoom"
    assert sweep.parameters["batch_size"] == Range(4, 16)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("trials: 2\nparameters: {lerning_rate: [1]}", "unknown key lerning_rate; did you mean"),
        ("trials: 2\nparameters: {augmentation: {zom: [1]}}", r"unknown key augmentation\.?"),
        ("trials: 2\nparameters: {output: [a, b]}", "output is no parameter"),
        ("trials: 2\nparameters: {loss: ce}", "loss must be a list of choices"),
        ("trials: 2\nparameters: {}", "no parameters"),
        ("[1]", "expected 'flag: value' lines"),
    ],
)
def test_what_cannot_be_searched_is_refused(write, text, complaint):
    with pytest.raises(UsageError, match=complaint):
        sweeping.read(write(text))


def test_a_trials_command_line_gives_its_settings_and_what_all_have_in_common():
    base = TrainConfig(
        "a dataset",
        "out",
        xla=True,
        clip_norm=1.0,
        schedule_options=ScheduleConfig(warmup_epochs=2.0),
        augmentation=AugmentationConfig(flip_vertical=0.5),
    )
    settings = {
        "optimizer": "sgd",
        "learning_rate": "1e-3",
        "clip_norm": None,
        "xla": False,
        "augmentation.zoom": [1, 1],
    }
    expected = dataclasses.replace(
        base,
        optimizer="sgd",
        learning_rate=0.001,
        clip_norm=None,
        xla=False,
        augmentation=AugmentationConfig(flip_vertical=0.5, zoom=(1.0, 1.0)),
    )
    words = sweeping.words(base, settings)
    assert sweeping.parse(words) == expected
    assert "--epochs" not in " ".join(words)  # as it is by default


def test_a_sweep_as_a_user_runs_it(write, tmp_path, capfd, monkeypatch):
    """One of two combinations cannot be; the other is trained, in a process of its own."""
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")  # as the program has it, where it is alone
    dataset = write_dataset(tmp_path / "dataset", {"train": [4], "val": [1]})
    path = write("trials: 3\nparameters: {architecture: [unet, segnet], upsampling: [bilinear]}")
    output = tmp_path / "out"
    flags = ["--depth", 1, "--filters", 4, "--epochs", 1, "--batch-size", 4, "--devices", "cpu:1"]
    ran = run_here(
        capfd, "train", "--sweep", path, "--dataset", dataset, "--output", output, *flags
    )
    assert (ran.code, ran.errors) == (0, [])
    assert "--upsampling is not for --architecture segnet" in (output / "sweep.csv").read_text()
    assert "train the best again: segflow train --dataset=" in ran.out
    assert verify(output) == ("sweep", [])
    (folder,) = (path for path in (output / "trials").iterdir() if path.is_dir())
    assert Bundle.load(folder).record["architecture"]["name"] == "unet"
    assert (folder / "report.html").is_file()
    assert (output / "report.html").is_file()
