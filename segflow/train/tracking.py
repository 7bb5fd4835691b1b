"""MLflow: a run for a training, with its settings, its epochs and its bundle's small files.

A tracking server may be slow, broken or gone, and no training may suffer from that: an exchange
that fails costs one line, and what the run lacks is sent with the next.
"""

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from segflow import __version__, storage
from segflow.train.bundle import RECORD_NAME
from segflow.train.output import STATE_FOLDER
from segflow.train.state import EpochRow, TrainingState
from segflow.train.tracking_server import complaint, exchange

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

ARTIFACTS = (RECORD_NAME, "history.csv", "report.html")
"""Files of a bundle that its run gets; `model.keras` stays where it is, and a tag says where."""

_EXPERIMENT = "segflow"
_RUN_NAME = "mlflow.json"
_LONGEST_PARAM = 500  # as servers of all versions take them; weights of many classes are longer
_LAST_METRIC = "input_wait"  # of an epoch: where it is, the others are


class Tracker:
    """The run of a training; it is begun, or gone on with, at the first `update`.

    Args:
        uri: Of the tracking server or store.
        output: The training's output folder, whose state keeps the run's id.
        console: Where the line goes if the server fails.
    """

    def __init__(self, uri: str, output: str | Path, console: Console) -> None:
        self._uri = uri
        self._output = Path(output)
        self._console = console
        self._path = self._output / STATE_FOLDER / _RUN_NAME
        self._run: str | None = None
        if self._path.exists():
            self._run = storage.read_json(self._path)["run"]
        self._is_described = self._has_failed = False

    @property
    def run(self) -> str | None:
        """The run's id; None if the server has taken nothing so far."""
        return self._run

    def update(self, state: TrainingState) -> None:
        """Brings the run up to the training's state, unless the server has failed before."""
        if not self._has_failed:
            self.finish(state)

    def finish(self, state: TrainingState) -> None:
        """The same also after a failure: at the end of training the server may be back."""
        try:
            if not self._is_described:
                self._keep(exchange(self._found_or_begun))
                exchange(lambda: self._describe(state))
                self._is_described = True
            exchange(lambda: self._send(state))
            self._has_failed = False
        except Exception as error:
            if not self._has_failed:
                line = complaint(error, self._uri, "training goes on without it")
                self._console.print(line, highlight=False, markup=False)
            self._has_failed = True

    def _keep(self, run: str) -> None:
        """At once, so that there is no second run when what follows fails or is killed."""
        storage.put(self._path, storage.to_json({"run": run}))
        self._run = run

    def _found_or_begun(self) -> str:
        client = _client(self._uri)
        if self._run is not None and _is_there(client, self._run):
            return self._run
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", _EXPERIMENT)
        found = client.get_experiment_by_name(name)
        experiment = client.create_experiment(name) if found is None else found.experiment_id
        return client.create_run(experiment, run_name=str(self._output)).info.run_id

    def _describe(self, state: TrainingState) -> None:
        from mlflow.entities import Param, RunTag

        # Only what a continuation must share: MLflow refuses another value for a parameter.
        params = [Param(n, str(value)[:_LONGEST_PARAM]) for n, value in _flat(state.identity)]
        bundle = storage.absolute(self._output)
        tags = [RunTag("segflow.version", __version__), RunTag("segflow.bundle", bundle)]
        _client(self._uri).log_batch(self._run, params=params, tags=tags)

    def _send(self, state: TrainingState) -> None:
        client = _client(self._uri)
        logged = {metric.step for metric in client.get_metric_history(self._run, _LAST_METRIC)}
        for row in state.rows:
            if row.epoch not in logged:
                client.log_batch(self._run, metrics=_metrics(row))


def log_bundle(uri: str, folder: str | Path, console: Console) -> None:
    """Completes the run of a training whose bundle is committed and has its report.

    Args:
        uri: Of the tracking server or store.
        folder: The bundle; one whose training the server never took is left alone.
        console: Where the line goes if the server fails.
    """
    record = storage.read_json(Path(folder) / RECORD_NAME)
    run = record["training"].get("mlflow_run")
    if run is None:
        return
    try:
        exchange(lambda: _complete(uri, run, Path(folder), record))
    except Exception as error:
        line = complaint(error, uri, "the same command tries again")
        console.print(line, highlight=False, markup=False)


def _client(uri: str) -> "MlflowClient":
    from mlflow import MlflowClient  # an extra, and slow

    return MlflowClient(tracking_uri=uri)


def _is_there(client: "MlflowClient", run: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        client.get_run(run)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False
    return True


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _metrics(row: EpochRow) -> "list[Metric]":
    from mlflow.entities import Metric

    values = {name: value for name, value in vars(row).items() if value is not None}
    epoch, now = values.pop("epoch"), int(1000 * time.time())
    return [Metric(name, value, now, epoch) for name, value in values.items()]


def _complete(uri: str, run: str, folder: Path, record: Mapping[str, Any]) -> None:
    client, score = _client(uri), record["metrics"]["mean_iou"]
    client.log_metric(run, "best_epoch", record["training"]["best_epoch"])
    if score is not None:
        client.log_metric(run, "best_val_mean_iou", score)
    for name in ARTIFACTS:
        client.log_artifact(run, str(folder / name))
    client.set_terminated(run)
