"""One model a process, whatever the number of threads and of Beam's instances."""

import gc
import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from segflow.errors import JobError
from segflow.label.command import label
from segflow.label.config import LabelConfig
from segflow.label.labelling import LabelJob
from segflow.label.predictor import Predictor, load_for_job
from segflow.label.windows import AUTO, Windows
from segflow.train.bundle import Bundle
from tests.bundles import write_bundle
from tests.drawn import LABELS


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.load(write_bundle(tmp_path_factory.mktemp("m") / "model", LABELS, (16, 24)))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Predictor]:
    """The predictors that were loaded."""
    made: list[Predictor] = []
    plain = Predictor.__init__

    def noting(self: Predictor, *arguments: Any, **options: Any) -> None:
        made.append(self)
        plain(self, *arguments, **options)

    monkeypatch.setattr(Predictor, "__init__", noting)
    return made


def _load(bundle: Bundle, windows: Windows = AUTO, **options: Any) -> Predictor:
    return load_for_job(str(bundle.folder), bundle.fingerprint, 2, 1, "none", windows, **options)


def test_threads_that_load_at_once_share_one(bundle, made):
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: _load(bundle), range(4)))

    assert len(made) == 1
    assert all(one is made[0] for one in found)


def test_other_options_are_another_predictor(bundle):
    plain = _load(bundle)
    assert _load(bundle, Windows("always")) is not plain
    assert _load(bundle, uncertain_below=0.5) is not plain
    assert _load(bundle, Windows()) is plain


def test_a_model_that_nobody_uses_any_more_is_let_go(bundle, made):
    _load(bundle)
    made.clear()
    gc.collect()
    _load(bundle)
    assert len(made) == 1


def test_another_bundle_than_the_planned_one_is_refused_all_the_same(bundle):
    kept = _load(bundle)
    with pytest.raises(JobError, match="the run was planned with 0000"):
        load_for_job(str(bundle.folder), "0" * 64, 2, 1, "none", AUTO)
    assert _load(bundle) is kept


def test_the_threads_of_the_job_share_one(bundle, made, tmp_path: Path, monkeypatch):
    opened, plain = [], LabelJob.open
    monkeypatch.setattr(LabelJob, "open", lambda job: opened.append(plain(job)) or opened[-1])
    (tmp_path / "images").mkdir()
    for number in range(12):
        pixels = np.full((8, 8, 3), 20 * number, np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"images/{number}.png")
    config = LabelConfig(
        model=str(bundle.folder),
        images=str(tmp_path / "images"),
        output=str(tmp_path / "labels"),
        shard_size=1,
    )

    record = label(
        config,
        ("--direct_running_mode=multi_threading", "--direct_num_workers=4"),
        Console(file=io.StringIO()),
    )

    assert record is not None
    assert record["inputs"]["accepted"] == 12
    assert len(opened) > 1
    assert len(made) == 1
