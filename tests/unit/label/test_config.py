"""Options of label."""

import json
from pathlib import Path

import pytest

from segflow.data.config import DecodeLimits
from segflow.errors import UsageError
from segflow.label.config import LabelConfig


def _config(**changes: object) -> LabelConfig:
    return LabelConfig(**{"model": "m", "images": "i", "output": "o", **changes})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 0}, "--batch-size must be 1 or more, found 0"),
        ({"worker_threads": 0}, "--worker-threads must be 1 or more, found 0"),
        ({"shard_size": -1}, "--shard-size must be 1 or more, found -1"),
        ({"max_reject_fraction": 2}, "--max-reject-fraction must be 0 to 1, found 2"),
        ({"ground_resolution": 0}, "--ground-resolution must be 1e-09 to 1000000.0, found 0"),
        ({"ground_resolution": float("nan")}, "--ground-resolution must be 1e-09 to"),
        ({"window_overlap": 0.7}, "--window-overlap must be 0 to 0.5, found 0.7"),
        ({"uncertain_below": 75}, "--uncertain-below must be 0 to 1, found 75"),
        ({"review": -1}, "--review must be 0 to 1000, found -1"),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_flag(change, message):
    with pytest.raises(UsageError, match=message):
        _config(**change)


@pytest.mark.parametrize(
    "change",
    [
        {"images": "j"},
        {"root": "r"},
        {"ground_resolution": 0.5},
        {"mask_format": "rle"},
        {"tta": "flip"},
        {"windows": "always"},
        {"window_overlap": 0.5},
        {"uncertain_below": 0.5},
        {"count_regions": True},
        {"batch_size": 1},
        {"shard_size": 1},
        {"limits": DecodeLimits(max_bytes=9)},
    ],
)
def test_whatever_decides_the_bytes_is_recorded(change):
    assert _config().recorded() != _config(**change).recorded()


def test_what_does_not_decide_the_bytes_is_not_recorded():
    other = _config(
        output="p", worker_threads=7, max_reject_fraction=1.0, detect_changes="hash", review=0
    )

    assert _config().recorded() == other.recorded()


def test_what_is_recorded_is_json_and_the_source_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    recorded = _config().recorded()

    assert json.loads(json.dumps(recorded)) == recorded
    assert recorded["images"] == str(Path(tmp_path, "i"))
