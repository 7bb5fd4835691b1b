"""A training in a process of its own."""

import threading
import time

import psutil
import pytest

from segflow.errors import JobError, UsageError
from segflow.train.sweep.process import train_apart
from tests.unit.train.datasets import small_config


def test_what_the_training_complains_of_arrives(tmp_path):
    with pytest.raises(UsageError, match=r"nowhere"):
        train_apart(small_config(tmp_path / "nowhere", tmp_path / "out"))


def test_a_process_that_is_killed_costs_its_training_only(dataset_folder, tmp_path):
    before = set(psutil.Process().children())

    def kill() -> None:
        while not (found := set(psutil.Process().children()) - before):
            time.sleep(0.01)
        for process in found:
            process.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(JobError, match=r"killed, which the system does when memory runs out"):
        train_apart(small_config(dataset_folder, tmp_path / "out"))
    killer.join()
