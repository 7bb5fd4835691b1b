"""A training's run on MLflow, read back with MLflow's own client, and servers that fail."""

import contextlib
import csv
import dataclasses
import io
import re
import sys
import time

import numpy as np
import pytest
from rich.console import Console

from pipelines import main as segflow
from pipelines import sweeping
from segflow import storage
from segflow.errors import UsageError
from segflow.train import tracking_server
from segflow.train.bundle import Bundle
from segflow.train.callbacks import TrackEpochs
from segflow.train.config import TrainConfig
from segflow.train.state import EpochRow, TrainingState
from segflow.train.tracking import Tracker
from segflow.train.tracking_server import complaint, exchange, require_mlflow
from tests.unit.train.commands import PLAIN, words
from tests.unit.train.datasets import small_config

TWO_EPOCHS = {**PLAIN, "epochs": 2}
PASSWORD = "s3cret%40word"
DEAD = f"http://somebody:{PASSWORD}@127.0.0.1:9"  # the port `discard`, which nobody serves


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """The address of a SQLite store whose artifacts lie beside it."""
    from mlflow import MlflowClient

    folder = tmp_path_factory.mktemp("mlflow")
    uri = f"sqlite:///{folder}/mlflow.db"
    MlflowClient(uri).create_experiment("segflow", str(folder / "artifacts"))
    return uri


def _runs(uri, output):
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("segflow").experiment_id
    name = f"attributes.run_name = '{output}'"
    return client, client.search_runs([experiment], name)


def _train(dataset, output, uri):
    """Trains; returns the bundle and what was said."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        assert segflow.main(words(dataset, output, {**TWO_EPOCHS, "mlflow": uri})) == 0
    return Bundle.load(output), said.getvalue()


def _interrupt(dataset, output, uri, monkeypatch):
    """Trains until the first epoch is stored, and does not send it."""

    def interrupted(self, epoch, logs=None):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(TrackEpochs, "on_epoch_end", interrupted)
        assert segflow.main(words(dataset, output, {**TWO_EPOCHS, "mlflow": uri})) == 130


@pytest.fixture(scope="module")
def untracked(dataset_folder, tmp_path_factory):
    return _train(dataset_folder, tmp_path_factory.mktemp("models") / "untracked", DEAD)


def test_a_dead_server_costs_one_line_and_its_address_is_kept_nowhere(untracked):
    bundle, said = untracked
    (line,) = (line for line in said.splitlines() if "warning" in line)
    assert re.search(r"ConnectionRefusedError: Connection refused\); training goes on", line)
    assert bundle.record["training"]["mlflow_run"] is None
    kept = [path for path in bundle.folder.rglob("*") if path.is_file()]
    assert len(kept) > 5
    for text in (said.encode(), *(path.read_bytes() for path in kept)):
        assert b"s3cret" not in text


def test_an_interrupted_training_and_its_continuation_are_one_run(
    dataset_folder, store, untracked, tmp_path, monkeypatch
):
    output = tmp_path / "model"
    _interrupt(dataset_folder, output, store, monkeypatch)
    bundle, said = _train(dataset_folder, output, store)

    client, (run,) = _runs(store, output)
    assert "warning" not in said
    assert bundle.record["training"]["mlflow_run"] == run.info.run_id
    assert run.info.status == "FINISHED"
    params = run.data.params
    assert (params["learning_rate"], params["augmentation.enabled"]) == ("0.01", "True")
    assert params["dataset"] == bundle.record["dataset"]["fingerprint"]
    assert run.data.tags["segflow.bundle"] == str(output)
    for row in csv.DictReader((output / "history.csv").open()):
        epoch = int(row.pop("epoch"))
        for name, value in row.items():
            history = client.get_metric_history(run.info.run_id, name)
            assert [m.value for m in history if m.step == epoch] == [float(value)]
    assert run.data.metrics["best_val_mean_iou"] == bundle.record["metrics"]["mean_iou"]
    names = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert names == {"bundle.json", "history.csv", "report.html"}
    weights = (each.load_model().get_weights() for each in (bundle, untracked[0]))
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_a_server_missed_it_gets_at_the_end(store, tmp_path, monkeypatch):
    """It is gone from the second epoch on, until training ends."""
    from mlflow import MlflowClient

    def broken(*args, **kwargs):
        raise ConnectionResetError("the server is gone")

    said = io.StringIO()
    tracker = Tracker(store, tmp_path / "model", Console(file=said, width=200))
    states = [TrainingState({"depth": 2})]
    for epoch in (1, 2, 3):
        states.append(states[-1].with_row(EpochRow(epoch, 1, 0.1, 1, None, None, 0.1, 1, 1, 0)))
    tracker.update(states[1])
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_batch", broken)
        tracker.update(states[2])
    tracker.update(states[3])
    client, (run,) = _runs(store, tmp_path / "model")
    assert _epochs(client, run) == [1]
    tracker.finish(states[3])
    assert _epochs(client, run) == [1, 2, 3]
    assert said.getvalue().count("ConnectionResetError: the server is gone") == 1
    assert said.getvalue().count("\n") == 1


def test_a_run_that_the_server_does_not_know_is_begun_anew(store, tmp_path):
    """As when a training is resumed with another server."""
    state = TrainingState({"class_weights": [1.5] * 5000})
    state = state.with_row(EpochRow(1, 1, 0.1, 1, None, None, 0.1, 1, 1, 0))
    storage.put(tmp_path / "model/_train/mlflow.json", b'{"run": "0123456789abcdef"}')
    tracker = Tracker(store, tmp_path / "model", Console(file=io.StringIO()))
    tracker.update(state)
    client, (run,) = _runs(store, tmp_path / "model")
    assert tracker.run == run.info.run_id
    assert _epochs(client, run) == [1]


def _epochs(client, run):
    return sorted(metric.step for metric in client.get_metric_history(run.info.run_id, "val_loss"))


def test_a_server_that_does_not_answer_is_given_up(monkeypatch):
    monkeypatch.setattr(tracking_server, "_LIMIT_S", 0.1)
    with pytest.raises(TimeoutError, match=r"no answer in 0\.1 seconds"):
        exchange(lambda: time.sleep(5))


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("http://host:5000", "OSError: http://host:5000 is not there"),
        (f"http://me:{PASSWORD}@host", "(OSError)"),
        ("postgresql://host/db?password=s3cret", "(OSError)"),
    ],
)
def test_what_is_quoted_of_an_address_holds_no_password(uri, expected):
    line = complaint(OSError(f"{uri} is not there"), uri, "so be it")
    assert expected in line
    assert "s3cret" not in line


def test_where_it_is_tracked_is_no_part_of_a_trainings_identity():
    plain = TrainConfig("data", "out")
    tracked = dataclasses.replace(plain, mlflow=DEAD)
    assert tracked.identity() == plain.identity()
    assert tracked.resume_identity() == plain.resume_identity()


def test_the_trials_of_a_sweep_are_tracked_and_their_command_lines_do_not_say_where(
    dataset_folder, tmp_path, monkeypatch
):
    path = tmp_path / "sweep.yaml"
    path.write_text("trials: 1\nparameters: {loss: [ce]}", encoding="utf-8")
    trained = []

    def run_sweep(sweep, base, training, console):
        command = training.words({"loss": "ce"})
        training.run(training.parse(command))
        assert PASSWORD not in " ".join(command)
        raise KeyboardInterrupt

    monkeypatch.setattr("segflow.train.sweep.command.run_sweep", run_sweep)
    monkeypatch.setattr(sweeping, "_train", trained.append)
    command = words(dataset_folder, tmp_path / "out", {"mlflow": DEAD, "sweep": path})
    assert segflow.main(command) == 130
    assert [(config.loss, config.mlflow) for config in trained] == [("ce", DEAD)]


def test_without_mlflow_one_line_says_what_to_install(dataset_folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    require_mlflow(None)
    with pytest.raises(UsageError, match=r"pip install 'segflow\[mlflow\]'"):
        require_mlflow("http://host")


def test_an_empty_address_is_refused(dataset_folder, tmp_path):
    with pytest.raises(UsageError, match="--mlflow must be the address of a server"):
        small_config(dataset_folder, tmp_path, mlflow="")
