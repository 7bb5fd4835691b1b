"""A training's run on MLflow, read back with MLflow's own client, and servers that fail."""

import csv
import dataclasses
import re
import sys
import time

import numpy as np
import pytest

from pipelines import main as segflow
from pipelines import sweeping
from segflow.errors import UsageError
from segflow.train import tracking_server
from segflow.train.bundle import Bundle
from segflow.train.callbacks import TrackEpochs
from segflow.train.config import TrainConfig
from segflow.train.tracking_server import complaint, exchange, require_mlflow
from tests.unit.train.commands import PLAIN, words
from tests.unit.train.datasets import small_config

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


def _train(dataset, output, uri, capfd):
    settings = {**PLAIN, "mlflow": uri} if uri else PLAIN
    assert segflow.main(words(dataset, output, settings)) == 0
    said = capfd.readouterr()
    return Bundle.load(output), said.out + said.err


def _interrupt(dataset, output, uri, monkeypatch):
    """Trains until the end of the second epoch, which is stored and never sent."""

    def interrupted(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt
        original(self, epoch, logs)

    original = TrackEpochs.on_epoch_end
    with monkeypatch.context() as patch:
        patch.setattr(TrackEpochs, "on_epoch_end", interrupted)
        assert segflow.main(words(dataset, output, {**PLAIN, "mlflow": uri})) == 130


def _assert_same_weights(one, other):
    weights = (bundle.load_model().get_weights() for bundle in (one, other))
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def untracked(dataset_folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("models") / "untracked"
    assert segflow.main(words(dataset_folder, output, PLAIN)) == 0
    return Bundle.load(output)


def test_an_interrupted_training_and_its_continuation_are_one_run(
    dataset_folder, store, untracked, tmp_path, monkeypatch, capfd
):
    output = tmp_path / "model"
    _interrupt(dataset_folder, output, store, monkeypatch)
    bundle, said = _train(dataset_folder, output, store, capfd)

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
    _assert_same_weights(bundle, untracked)


def test_a_dead_server_costs_one_line_and_nothing_else(dataset_folder, untracked, tmp_path, capfd):
    """Its address, which holds a password, is neither said nor kept."""
    bundle, said = _train(dataset_folder, tmp_path / "model", DEAD, capfd)
    (line,) = (line for line in said.splitlines() if "warning" in line)
    assert re.search(r"ConnectionRefusedError: Connection refused\); training goes on", line)
    assert bundle.record["training"]["mlflow_run"] is None
    _assert_same_weights(bundle, untracked)
    kept = [path for path in bundle.folder.rglob("*") if path.is_file()]
    assert len(kept) > 5
    for text in (said.encode(), *(path.read_bytes() for path in kept)):
        assert b"s3cret" not in text


def test_what_a_server_missed_it_gets_at_the_end(
    dataset_folder, store, tmp_path, monkeypatch, capfd
):
    """It is gone from the second epoch on, until training ends."""
    from mlflow import MlflowClient

    def failing(self, epoch, logs=None):
        with monkeypatch.context() as patch:
            if epoch > 0:
                patch.setattr(MlflowClient, "log_batch", broken)
            original(self, epoch, logs)

    def broken(*args, **kwargs):
        raise ConnectionResetError("the server is gone")

    original = TrackEpochs.on_epoch_end
    monkeypatch.setattr(TrackEpochs, "on_epoch_end", failing)
    _, said = _train(dataset_folder, tmp_path / "model", store, capfd)
    assert said.count("warning") == said.count("ConnectionResetError: the server is gone") == 1
    client, (run,) = _runs(store, tmp_path / "model")
    history = client.get_metric_history(run.info.run_id, "val_loss")
    assert sorted(metric.step for metric in history) == [1, 2, 3, 4]


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
