"""A worker process that dies in mid-run, as the kernel kills one when memory runs out."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from segflow.drawing import draw_dataset
from segflow.jobs.run import RUNS_FOLDER
from tests.integration.commands import segflow


def test_a_dead_worker_is_named_and_the_same_command_goes_on(tmp_path: Path) -> None:
    drawn = draw_dataset(tmp_path / "drawn", examples=80, size=(64, 80), broken=False)
    output = tmp_path / "out"
    words = [
        *("ingest", "--images", str(drawn.images), "--masks", str(drawn.masks)),
        *("--label-map", str(drawn.label_map), "--image-size", "256x320", "--shard-size", "4"),
        *("--augment-copies", "3", "--output", str(output), "--direct_num_workers=2"),
    ]
    running = subprocess.Popen(
        [sys.executable, "-m", "pipelines.main", *words], stderr=subprocess.PIPE, text=True
    )
    _kill_a_worker_at_work(running.pid, output)
    _, said = running.communicate(timeout=120)

    assert running.returncode == 1, said
    assert "a worker process died" in said
    assert "workers.log" in said
    assert "Traceback" not in said
    assert not (output / "dataset.json").exists()
    segflow(*words)
    segflow("verify", output)


def _kill_a_worker_at_work(launcher: int, output: Path) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        if list((output / RUNS_FOLDER).glob("*/records/*.json")):
            workers = [
                child
                for child in psutil.Process(launcher).children(recursive=True)
                if "segflow.jobs.worker" in " ".join(child.cmdline())
            ]
            os.kill(workers[0].pid, signal.SIGKILL)
            return
        time.sleep(0.05)
    raise AssertionError("no shard was finished within 90 s")


def test_a_folder_called_segflow_does_not_stand_in_for_the_package(tmp_path: Path) -> None:
    """People run the command beside their clone."""
    (tmp_path / "segflow").mkdir()
    drawn = draw_dataset(tmp_path / "drawn", examples=8, size=(32, 40), broken=False)
    words = [
        *("ingest", "--images", drawn.images, "--masks", drawn.masks, "--label-map"),
        *(drawn.label_map, "--image-size", "32x40", "--shard-size", "2", "--output", "out"),
        *("--direct_num_workers=2", "--direct_running_mode=multi_processing"),
    ]
    program = Path(sys.executable).with_name("segflow")
    done = subprocess.run([program, *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "dataset.json").exists()
