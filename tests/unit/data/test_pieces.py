"""Rows of the plan as pieces: whole pairs, or tiles that put together are the pair."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segflow.data.annotations import Drawing
from segflow.data.annotations.shapes import rectangle
from segflow.data.config import ExampleConfig
from segflow.data.pair import read_pair
from segflow.data.pieces import Piece, read_pieces
from segflow.data.tiles import EdgeRule, TileConfig
from segflow.errors import RejectCode, RejectError
from segflow.label_map import LabelClass, LabelMap
from tests.unit.data.pictures import LIMITS, encode, photo

LABELS = LabelMap(tuple(LabelClass(i, f"class_{i}") for i in range(9)))
HEIGHT, WIDTH = 37, 53


@pytest.fixture(scope="module")
def row(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("pair")
    mask = np.random.default_rng(0).integers(0, 9, (HEIGHT, WIDTH), np.uint8)
    (folder / "image.png").write_bytes(encode(photo(HEIGHT, WIDTH), "PNG"))
    (folder / "mask.png").write_bytes(encode(mask, "PNG"))
    return _planned({"key": "k"}, folder / "image.png", folder / "mask.png")


def _planned(row: dict[str, Any], image: Path, mask: Path) -> dict[str, Any]:
    for what, path in (("image", image), ("mask", mask)):
        status = path.stat()
        row |= {f"{what}_uri": str(path), f"{what}_bytes": status.st_size}
        row |= {f"{what}_mtime_ns": status.st_mtime_ns}
    return row


def _tiles(row: dict[str, Any], size: str, tile: TileConfig) -> list[Piece]:
    config = ExampleConfig(image_size=size, resize="tile", tile=tile)
    return list(read_pieces(row, LABELS, config))


@given(
    st.tuples(st.integers(5, 60), st.integers(5, 60)),
    st.integers(0, 4),
    st.sampled_from(["pad", "shift"]),
)
def test_tiles_put_together_are_the_pair(row, size, overlap, edge: EdgeRule):
    pair = read_pair(row, LABELS, LIMITS)
    image, mask = np.zeros_like(pair.image), np.full_like(pair.mask, 77)

    for piece in _tiles(row, f"{size[0]}x{size[1]}", TileConfig(overlap, edge)):
        assert piece.tile is not None
        assert piece.source == (HEIGHT, WIDTH)
        rows, columns = piece.pair.mask.shape
        window = (
            slice(piece.tile.top, piece.tile.top + rows),
            slice(piece.tile.left, piece.tile.left + columns),
        )
        image[window], mask[window] = piece.pair.image, piece.pair.mask

    assert np.array_equal(image, pair.image)
    assert np.array_equal(mask, pair.mask)


def test_what_is_not_tiled_is_one_piece(row):
    (piece,) = read_pieces(row, LABELS, ExampleConfig(image_size="8x8"))

    assert (piece.key, piece.source, piece.tile) == ("k", (HEIGHT, WIDTH), None)


def test_a_drawn_mask_is_tiled_too(tmp_path, row):
    """Its file is the annotations'; what the row says of it is what one annotation weighs."""
    annotations = tmp_path / "annotations.json"
    annotations.write_text("{}")
    drawing = Drawing([("class_1", rectangle(0, 0, 10, HEIGHT))], background="class_0")
    drawn = row | {"mask_uri": str(annotations), "mask_bytes": 5, "mask_mtime_ns": 5}

    first, second, *_ = _tiles(drawn | {"annotation": drawing.to_json()}, "40x10", TileConfig())

    assert (first.pair.mask == 1).all()
    assert (second.pair.mask == 0).all()


def test_pairs_that_differ_in_size_are_refused_before_any_tile(tmp_path, row):
    (tmp_path / "mask.png").write_bytes(encode(np.zeros((HEIGHT, WIDTH - 1), np.uint8), "PNG"))
    other = _planned(dict(row), Path(row["image_uri"]), tmp_path / "mask.png")

    with pytest.raises(RejectError) as caught:
        _tiles(other, "8x8", TileConfig())
    assert caught.value.code == RejectCode.SIZE_MISMATCH
