"""Which images a model sees together."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from segflow.evaluate import evaluation
from segflow.evaluate.config import EvaluateConfig
from segflow.evaluate.evaluation import EvaluateWork
from segflow.evaluate.sources import Truth


class _Large:
    """Pairs of 100 pixels."""

    def read(self, _: Any, rows: Any) -> Iterator[Truth]:
        for _row in rows:
            yield Truth(np.zeros((10, 10, 3), np.uint8), np.zeros((10, 10), np.uint8), "f")


def _batches(threads: int) -> list[list[str]]:
    config = EvaluateConfig(
        model="m", dataset="d", output="o", batch_size=4, worker_threads=threads
    )
    predictor = SimpleNamespace(prepare=lambda *_: None)
    work = EvaluateWork(config, _Large(), cast(Any, predictor))
    rows = [{"key": str(number), "image_uri": None} for number in range(30)]
    output = SimpleNamespace(accept=lambda: None)
    groups = list(work._groups(cast(Any, None), rows, cast(Any, output)))
    work.close()
    return [
        [pair.row["key"] for pair in group[start : start + 4]]
        for group in groups
        for start in range(0, len(group), 4)
    ]


def test_large_masks_are_batched_alike_whatever_the_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(evaluation, "_PIXELS_AT_ONCE", 600)  # six masks: no whole batches
    one, three = _batches(1), _batches(3)
    assert one == three
    assert [len(batch) for batch in one] == [4] * 7 + [2]
