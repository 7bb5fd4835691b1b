"""Images that are read by rows: each row decoded once, and nothing above the caps otherwise."""

import hashlib
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segflow.data import by_rows
from segflow.data.by_rows import EachRowOnce, ImageByRows, open_by_rows
from segflow.data.config import DecodeLimits
from segflow.data.reading import AS_SHOWN
from tests import giants

LIMITS = DecodeLimits(max_pixels=10_000)
HEIGHT, WIDTH = 200, 330
pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")


@pytest.fixture(scope="module")
def giant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of 200 x 330 pixels in tiles of 64."""
    folder = tmp_path_factory.mktemp("giant")
    return giants.draw(folder, HEIGHT, WIDTH, blockxsize=64, blockysize=64)[0]


def _row(path: Path, **more: object) -> dict[str, object]:
    return {"image_uri": str(path), **more}


def test_what_is_over_a_cap_is_read_by_rows(giant):
    image = open_by_rows(_row(giant), LIMITS, AS_SHOWN)

    assert image is not None
    assert (image.size, image.block_rows) == ((HEIGHT, WIDTH), 64)
    assert image.sha256 == hashlib.sha256(giant.read_bytes()).hexdigest()
    assert image.ground_resolution == pytest.approx(0.5)
    assert np.array_equal(image.read(70, 9), giants.picture(70, 0, 9, WIDTH))


def test_what_is_not_is_left_alone(giant, tmp_path):
    other = tmp_path / "other.tif"
    other.write_bytes(b"no picture")

    assert open_by_rows(_row(giant), DecodeLimits(), AS_SHOWN) is None
    assert open_by_rows(_row(giant, image_part="{}"), LIMITS, AS_SHOWN) is None
    assert open_by_rows(_row(other), LIMITS, AS_SHOWN) is None


def test_blocks_of_too_many_pixels_are_not_read_together(giant, monkeypatch):
    monkeypatch.setattr(by_rows, "_MOST_TOGETHER", 64 * WIDTH * 3 - 1)

    image = open_by_rows(_row(giant), LIMITS, AS_SHOWN)

    assert image is not None
    assert image.block_rows == 1


@given(
    st.integers(1, 60),
    st.integers(1, 30),
    st.lists(st.tuples(st.integers(0, 20), st.integers(1, 20)), max_size=12),
)
def test_each_row_is_decoded_once_with_all_that_is_stored_with_it(height, block, steps):
    read: list[tuple[int, int]] = []
    pixels = np.random.default_rng(0).integers(0, 256, (height, 3, 3), np.uint8)

    def decode(top: int, count: int) -> np.ndarray:
        read.append((top, top + count))
        return pixels[top : top + count]

    rows = EachRowOnce(ImageByRows((height, 3), "", None, block, decode))
    top = 0
    for step, count in steps:
        top = min(top + step, height - 1)
        count = min(count, height - top)
        assert np.array_equal(rows(top, count), pixels[top : top + count])

    assert all(end % block == 0 or end == height for _, end in read)
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(read))
