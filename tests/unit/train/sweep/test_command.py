"""A sweep from its first trial to its table, with trainings that are pretended."""

import csv
import dataclasses
import io
import json

import pytest
from rich.console import Console

from pipelines import sweeping
from segflow import report, storage
from segflow.errors import JobError, UsageError
from segflow.train.sweep.command import Training, run_sweep
from segflow.train.sweep.config import Choices, Range, Sweep
from segflow.train.sweep.trials import stored_trials
from segflow.verify import verify
from tests.unit.train.datasets import small_config

SWEEP = Sweep(
    {
        "architecture": Choices(("unet", "segnet")),
        "upsampling": Choices((None, "bilinear")),
        "learning_rate": Range(1e-3, 1e-1, True),
    },
    trials=8,
)


class Pretended:
    """Trains nothing: the score is the learning rate; stops where it is told to."""

    def __init__(self, base, interrupted_at=None):
        self.configs = []
        self._interrupted_at = interrupted_at
        self.training = Training(
            lambda settings: sweeping.words(base, settings), sweeping.parse, self.run
        )

    def run(self, config):
        self.configs.append(config)
        if len(self.configs) == self._interrupted_at:
            storage.put(f"{config.output}/_train/epoch-000001/state.json", b"{}")
            raise KeyboardInterrupt
        if config.learning_rate > 0.05:
            raise JobError("the loss is\nnot finite")
        record = {"training": {"seconds": 90.0}, "metrics": {"mean_iou": config.learning_rate}}
        storage.put(f"{config.output}/bundle.json", storage.to_json(record))


def swept(dataset, output, sweep=SWEEP, interrupted_at=None, **settings):
    base = small_config(dataset, output, **settings)
    pretended = Pretended(base, interrupted_at)
    said = io.StringIO()
    run_sweep(sweep, base, pretended.training, Console(file=said, width=200))
    return pretended.configs, said.getvalue()


@pytest.fixture(scope="module")
def done(dataset_folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("sweeps") / "out"
    return output, *swept(dataset_folder, output)


def test_each_trial_is_a_training_of_its_own(done):
    output, configs, _ = done
    trials = {str(trial.folder(output)): trial for trial in stored_trials(output)}
    assert len(trials) == SWEEP.trials
    for config in configs:
        settings = trials[config.output].settings
        assert {name: getattr(config, name) for name in settings} == settings
        assert (config.epochs, config.filters, config.resume) == (4, 4, False)


def test_what_goes_wrong_costs_one_trial_and_is_in_the_table(done):
    output, configs, said = done
    rows = list(csv.DictReader((output / "sweep.csv").open()))
    assert [row["trial"] for row in rows] == [f"{i:03d}" for i in range(8)]
    for row in rows:
        if row["architecture"] == "segnet" and row["upsampling"]:
            assert row["status"] == "refused"
            assert "--upsampling is not for --architecture segnet" in row["reason"]
        elif float(row["learning_rate"]) > 0.05:
            assert (row["status"], row["reason"]) == ("failed", "the loss is not finite")
        else:
            assert (row["status"], row["minutes"]) == ("done", "1.5")
            assert row["val_mean_iou"] == row["learning_rate"]
    assert {row["status"] for row in rows} == {"done", "refused", "failed"}
    assert len(configs) == sum(row["status"] != "refused" for row in rows)
    assert said.count("sweep: trial 00") == 16


def test_the_command_line_of_the_best_gives_its_training(done, dataset_folder):
    output, configs, _ = done
    best = max((c for c in configs if c.learning_rate <= 0.05), key=lambda c: c.learning_rate)
    command = json.loads((output / "sweep.json").read_text())["best"]["command"].split()
    assert command[:2] == ["segflow", "train"]
    assert sweeping.parse(command[2:]) == dataclasses.replace(best, output="model", resume=False)


def test_its_page_ranks_the_trials_and_shows_why_some_have_no_score(done):
    output, *_ = done
    page = report.draw(output).read_text()
    scored = [t for t in stored_trials(output) if t.status == "done"]
    ranked = sorted(scored, key=lambda trial: -(trial.val_mean_iou or 0))
    places = [page.index(f'<th scope="row">{trial.name}') for trial in ranked]
    assert places == sorted(places)
    assert "the loss is not finite" in page
    assert page.count("<svg") == 1 + len(SWEEP.parameters)
    assert "segflow train --dataset=" in page


def test_verify_looks_at_the_table_and_at_every_bundle(done):
    output, *_ = done
    kind, problems = verify(output)
    done_trials = [t for t in stored_trials(output) if t.status == "done"]
    assert kind == "sweep"
    assert len(problems) == len(done_trials)  # pretended bundles are not sound


def test_an_interrupted_sweep_goes_on_as_if_nothing_had_been(done, dataset_folder, tmp_path):
    undisturbed, configs, _ = done
    with pytest.raises(KeyboardInterrupt):
        swept(dataset_folder, tmp_path / "out", interrupted_at=2)
    again, _ = swept(dataset_folder, tmp_path / "out")
    assert [c.learning_rate for c in again] == [c.learning_rate for c in configs[1:]]
    assert [c.resume for c in again] == [True] + [False] * (len(again) - 1)
    assert (tmp_path / "out/sweep.csv").read_bytes() == (undisturbed / "sweep.csv").read_bytes()


def test_a_finished_sweep_trains_nothing_and_a_longer_one_only_what_is_new(
    dataset_folder, tmp_path
):
    short, long = (dataclasses.replace(SWEEP, trials=trials) for trials in (2, 3))
    configs, _ = swept(dataset_folder, tmp_path / "out", short)
    assert swept(dataset_folder, tmp_path / "out", short)[0] == []
    more, _ = swept(dataset_folder, tmp_path / "out", long)
    assert len(stored_trials(tmp_path / "out")) == 3
    assert not {config.output for config in more} & {config.output for config in configs}


def test_it_ends_when_every_combination_has_been_tried(dataset_folder, tmp_path):
    sweep = Sweep({"learning_rate": Choices((0.01, 0.02, 0.03))}, trials=9)
    configs, said = swept(dataset_folder, tmp_path / "out", sweep)
    assert sorted(config.learning_rate for config in configs) == [0.01, 0.02, 0.03]
    assert "all 3 combinations have been tried" in said


def test_a_sweep_without_any_score_fails_and_says_the_first_reason(dataset_folder, tmp_path):
    sweep = Sweep({"learning_rate": Choices((0.1, 0.2))}, trials=2)
    with pytest.raises(JobError, match=r"no trial came to a score.*the loss is not finite"):
        swept(dataset_folder, tmp_path / "out", sweep)
    assert "<svg" not in report.draw(tmp_path / "out").read_text()


@pytest.mark.parametrize(
    ("sweep", "settings", "complaint"),
    [
        (SWEEP, {"epochs": 5}, "config: epochs is 4 there and 5 here"),
        (dataclasses.replace(SWEEP, seed=1), {}, "seed: 0 there and 1 here"),
        (Sweep({"loss": Choices(("ce",))}, 8), {}, "parameters: loss is None there"),
    ],
)
def test_another_sweep_in_its_folder_is_refused(done, dataset_folder, sweep, settings, complaint):
    with pytest.raises(UsageError, match=complaint):
        swept(dataset_folder, done[0], sweep, **settings)


def test_a_folder_that_holds_something_is_refused(dataset_folder, tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UsageError, match=r"holds 'notes.txt'"):
        swept(dataset_folder, tmp_path)
