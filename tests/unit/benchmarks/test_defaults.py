"""What the table of the defaults compares with."""

import numpy as np
import pytest

from benchmarks import defaults
from segflow import scores


def test_the_commonest_class_is_scored_as_a_model_that_always_answers_it() -> None:
    rng = np.random.default_rng(3)
    truth = rng.choice([0, 1, 3, 9], (40, 50), p=[0.2, 0.5, 0.2, 0.1])  # 9 is ignored; no 2
    other = rng.integers(0, 4, truth.shape)
    always = np.full_like(truth, 1)

    found = defaults.commonest_mean_iou(scores.confusion_matrix(truth, other, 4, 9).tolist())

    wanted = scores.mean_iou(scores.confusion_matrix(truth, always, 4, 9))
    assert found == pytest.approx(wanted)


def test_the_table_names_how_the_data_was_ingested() -> None:
    metrics = {
        "examples": 6,
        "mean_iou": 0.5,
        "per_class": {"membrane": {"iou": 0.25}, "cell": {"iou": 0.75}},
    }
    bundle = {
        "metrics": metrics,
        "training": {"seconds": 60.0, "epochs_run": 3},
        "confusion_matrix": [[10, 20], [30, 140]],
    }
    text = defaults.table({"membranes": bundle}, {"membranes": "--image-size=256x256"})
    assert "| membranes | 6 | 0.500 | 0.425 | membrane 0.250, cell 0.750 | 1.0 | 3 |" in text
    assert "- membranes: `--image-size=256x256`" in text
