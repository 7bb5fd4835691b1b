"""Options of bundle."""

import pytest

from segflow.bundle.config import BundleConfig
from segflow.errors import UsageError


def _config(**changes: str) -> BundleConfig:
    needed = {"model_file": "m.keras", "label_map": "l", "image_size": "4x6", "output": "o"}
    return BundleConfig(**{**needed, **changes})


@pytest.mark.parametrize("text", ["1", "a,b", "1,0", "0,inf", "nan,1", "0,1,2", ""])
def test_a_range_is_two_numbers_that_rise(text):
    with pytest.raises(UsageError, match=rf"--pixel-range must be .* 0,1 or -1,1, found '{text}'"):
        _config(pixel_range=text)


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"image_size": "4"}, "--image-size must be"),
        ({"value_range": "9,1"}, "--value-range must be"),
        ({"bands": "1,2"}, "--bands must name"),
    ],
)
def test_what_ingest_refuses_is_refused(changes, flag):
    with pytest.raises(UsageError, match=flag):
        _config(**changes)


def test_what_is_told_is_taken():
    config = _config(pixel_range="-1,1", value_range="0,3000")
    assert config.size == (4, 6)
    assert config.range == (-1, 1)
    assert config.reading.values == (0, 3000)
    assert config.recorded()["pixel_range"] == "-1,1"
