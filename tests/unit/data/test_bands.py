"""Giants in the plan: cut between rows of tiles, and nothing else is."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pytest
from PIL import Image

from segflow import hashing
from segflow.data.bands import BandCutter
from segflow.data.config import DecodeLimits, ExampleConfig
from segflow.data.decode import decode_rgb
from segflow.data.tiff import windowed_header
from segflow.data.tiles import Grid, TileConfig, rows_of
from segflow.errors import RejectCode, RejectError
from tests import giants
from tests.unit.data.pictures import claiming_tiff, encode, photo

LIMITS = DecodeLimits(max_pixels=10_000)
pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")


def _config(**changes: Any) -> ExampleConfig:
    options = {"image_size": "32x32", "resize": "tile", "limits": LIMITS}
    return ExampleConfig(**{**options, **changes})


def _cut(
    path: Path, config: ExampleConfig, tiles_per_shard: int, code: str | None = None
) -> list[dict[str, Any]]:
    row = {"key": "a", "image_uri": str(path), "weight": 1000, "shard_group": "train"}
    batch = pa.RecordBatch.from_pylist([row | {"code": code}])
    (cut,) = BandCutter(config, lambda split: {"train": tiles_per_shard}[split])([batch])
    return cut.to_pylist()


@pytest.fixture(scope="module")
def giant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 x 330 pixels: 7 rows of 11 tiles."""
    return giants.draw(tmp_path_factory.mktemp("giant"), 200, 330)[0]


@pytest.mark.parametrize(
    ("tiles_per_shard", "rows"), [(77, [7]), (76, [6, 1]), (33, [3, 3, 1]), (1, [1] * 7)]
)
def test_a_giant_becomes_bands_that_fill_a_shard_at_most(giant, tiles_per_shard, rows):
    cut = _cut(giant, _config(), tiles_per_shard)

    assert [row["tile_rows"] for row in cut] == rows
    assert [row["examples"] for row in cut] == [11 * n for n in rows]
    assert {row["planned_sha256"] for row in cut} == {hashing.sha256_file(giant)}
    assert 1000 <= sum(row["weight"] for row in cut) < 1000 + len(cut)
    grid = Grid.over((200, 330), (32, 32), TileConfig())
    assert [number for row in cut for number in rows_of(row, grid)] == list(range(7))


def test_what_is_read_whole_stays_one_row_that_knows_how_many_tiles_it_makes(tmp_path, giant):
    small = tmp_path / "small.png"
    small.write_bytes(encode(photo(65, 64), "PNG"))

    for path, config in ((small, _config()), (giant, _config(limits=DecodeLimits()))):
        (row,) = _cut(path, config, tiles_per_shard=1)
        assert (row["first_tile_row"], row["tile_rows"], row["planned_sha256"]) == (
            None,
            None,
            None,
        )
        assert row["examples"] == (6 if path == small else 77)
        grid = Grid.over((65, 64), (32, 32), TileConfig())
        assert list(rows_of(row, grid)) == [0, 1, 2]


def test_what_cannot_be_read_or_must_not_be_is_left_to_the_worker(tmp_path, giant):
    broken = tmp_path / "broken.tif"
    broken.write_bytes(giant.read_bytes()[:50])

    for path, code in ((broken, None), (tmp_path / "none.tif", None), (giant, "outside_root")):
        (row,) = _cut(path, _config(), tiles_per_shard=1, code=code)
        assert (row["examples"], row["first_tile_row"]) == (1, None)


def test_bands_are_made_as_they_are_taken(monkeypatch, giant):
    monkeypatch.setattr("segflow.data.bands.ROWS_AT_ONCE", 3)
    row = {"key": "a", "image_uri": str(giant), "weight": 1, "shard_group": "train", "code": None}
    cut = BandCutter(_config(), lambda split: 1)([pa.RecordBatch.from_pylist([row])])

    batches = list(cut)

    assert [batch.num_rows for batch in batches] == [3, 3, 1]
    assert pa.Table.from_batches(batches)["first_tile_row"].to_pylist() == list(range(7))


@pytest.mark.timeout(20)
def test_a_header_that_claims_anything_makes_one_row(tmp_path):
    data = claiming_tiff(4_294_967_295, 4_294_967_295).getvalue()
    (tmp_path / "a.tif").write_bytes(data)

    (row,) = _cut(tmp_path / "a.tif", _config(), tiles_per_shard=1)

    assert (row["examples"], row["first_tile_row"]) == (1, None)
    with pytest.raises(RejectError) as caught:  # as the worker then will
        decode_rgb(data, LIMITS)
    assert caught.value.code == RejectCode.TOO_LARGE


@pytest.mark.parametrize("kind", ["WEBP", "AVIF", "JPEG", "JPEG2000", "TIFF"])
@pytest.mark.parametrize("height", [65, 640])  # which 64 KiB hold, or not
def test_tiles_are_counted_in_every_format(tmp_path, kind, height):
    path = tmp_path / "a"
    noise = np.random.default_rng(0).integers(0, 256, (height, 320, 3), np.uint8)
    path.write_bytes(encode(noise, kind))

    (row,) = _cut(path, _config(limits=DecodeLimits()), tiles_per_shard=1)

    assert row["examples"] == -(-height // 32) * 10


def test_headers_are_read_where_they_can_do_no_harm_and_under_the_cap_of_bytes(
    tmp_path, monkeypatch
):
    for name, data in (("small", encode(photo(65, 64), "WEBP")), ("sparse", b"RIFF")):
        (tmp_path / name).write_bytes(data)
    os.truncate(tmp_path / "sparse", 1 << 40)

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("opened in the launcher")

    monkeypatch.setattr(Image, "open", fail)

    for name, examples in (("small", 6), ("sparse", 1)):
        (row,) = _cut(tmp_path / name, _config(limits=DecodeLimits(max_bytes=1 << 20)), 1)
        assert row["examples"] == examples
    assert not [child for child in psutil.Process().children() if "decoder" in str(child.cmdline())]


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (DecodeLimits(), False),
        (DecodeLimits(max_pixels=66_000), False),
        (DecodeLimits(max_pixels=65_999), True),
        (DecodeLimits(max_bytes=100), True),
    ],
)
def test_only_what_is_over_a_cap_is_read_by_window(giant, limits, expected):
    assert (windowed_header(str(giant), limits) is not None) == expected
