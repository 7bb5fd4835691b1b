"""Pillow's own test images: truncated, fuzzed, bombs, every mode and format."""

import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from segflow.data.decode import decode_rgb
from segflow.data.masks import decode_raw_mask
from segflow.errors import RejectCode, RejectError
from tests.requirements import shared_data
from tests.unit.data.pictures import LIMITS


@pytest.fixture(scope="module")
def files() -> list[Path]:
    return sorted(path for path in shared_data("odd_images").rglob("*") if path.is_file())


def _outcome(decode, path: Path) -> np.ndarray | RejectCode:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return decode(path.read_bytes(), LIMITS)
    except RejectError as error:
        assert "0x" not in str(error), "an address would differ from try to try"
        return error.code


def test_each_is_decoded_or_refused(files, capfd):
    outcomes = {path: _outcome(decode_rgb, path) for path in files}
    capfd.readouterr()  # libtiff writes its complaints to stderr

    decoded = {path: image for path, image in outcomes.items() if isinstance(image, np.ndarray)}
    assert len(decoded) > 350
    for image in decoded.values():
        assert image.dtype == np.uint8
        assert image.size > 0
        assert image.shape[2:] == (3,)
    refused = Counter(code for code in outcomes.values() if isinstance(code, RejectCode))
    assert refused.keys() == {
        RejectCode.UNREADABLE,
        RejectCode.UNSUPPORTED_FORMAT,
        RejectCode.TOO_LARGE,
    }


def test_those_that_are_decoded_look_as_pillow_shows_them(files, capfd):
    compared = 0
    for path in files:
        image = _outcome(decode_rgb, path)
        if isinstance(image, np.ndarray):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                shown = ImageOps.exif_transpose(Image.open(path))
            if shown.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK"):
                compared += 1
                expected = np.asarray(shown.convert("RGBA" if shown.mode == "P" else "RGB"))
                assert np.array_equal(image, expected[..., :3]), path.name
    capfd.readouterr()
    assert compared > 300


def test_as_masks_they_hold_integers_or_are_refused(files, capfd):
    for path in files:
        mask = _outcome(decode_raw_mask, path)
        if isinstance(mask, np.ndarray):
            assert mask.dtype.kind in "iu", path.name
            assert mask.ndim == 2 or (mask.dtype == np.uint8 and mask.shape[2:] == (3,)), path.name
    capfd.readouterr()
