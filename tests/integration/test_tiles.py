"""`segflow ingest --resize tile`: every pixel once or more, masks exact, memory bounded."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio
from PIL import Image

from benchmarks.process_memory import measure
from segflow.data.records import decode_example, read_frames
from segflow.data.remake import remake
from segflow.dataset import Dataset
from segflow.label_map import LabelClass, LabelMap
from tests import giants
from tests.bundles import write_bundle
from tests.programs import run_here

IGNORED = 255


def _words(folder: Path, size: int, **options: object) -> list[str]:
    flags = {
        **{"images": folder / "images", "masks": folder / "masks", "output": folder / "dataset"},
        "label-map": giants.write_label_map(folder / "labels.json"),
        **{"image-size": f"{size}x{size}", "resize": "tile", "splits": "train=1"},
        **options,
    }
    return [f"--{name}={value}" for name, value in flags.items()]


def _tiles(folder: Path) -> Iterator[tuple[dict[str, Any], np.ndarray, np.ndarray]]:
    """Row of the index, stored image and stored mask of every example."""
    for part in sorted((folder / "dataset/index").iterdir()):
        rows = pq.read_table(part).to_pylist()
        frames = read_frames(folder / "dataset" / rows[0]["shard"])
        for row, frame in zip(rows, frames, strict=True):
            record = decode_example(frame)
            assert record.source_id == row["key"]
            image, mask = (Image.open(io.BytesIO(data)) for data in (record.image, record.mask))
            yield row, np.asarray(image), np.asarray(mask)


def _check(folder: Path, height: int, width: int, size: int) -> set[tuple[int, int]]:
    """Every tile's mask is what was drawn there; returns the places of the tiles."""
    places = set()
    for row, _, mask in _tiles(folder):
        top, left = row["tile_top"], row["tile_left"]
        rows, columns = min(size, height - top), min(size, width - left)
        assert row["key"] == f"giant@r{row['tile_row']:04d}c{row['tile_column']:04d}"
        assert (row["source_height"], row["source_width"]) == (height, width)
        assert mask.shape == (size, size)
        assert np.array_equal(mask[:rows, :columns], giants.truth(top, left, rows, columns))
        assert (mask[rows:] == IGNORED).all()
        assert (mask[:, columns:] == IGNORED).all()
        assert row["ground_resolution"] == pytest.approx(0.5)
        assert (top, left) not in places
        places.add((top, left))
    return places


@pytest.mark.parametrize("layout", [{}, {"tiled": False, "interleave": "band"}, {"BIGTIFF": "YES"}])
@pytest.mark.parametrize(("edge", "overlap"), [("pad", 0), ("shift", 24), ("drop", 0)])
def test_a_tiff_over_the_cap_is_cut_exactly(tmp_path, capfd, layout, edge, overlap):
    height, width, size = 700, 900, 128
    giants.draw(tmp_path, height, width, **layout)

    options = {"tile.edge": edge, "tile.overlap": overlap, "limits.max-pixels": 100_000}
    words = _words(tmp_path, size, **options, **{"shard-size": 20, "image-format": "png"})
    ran = run_here(capfd, "ingest", *words)

    assert ran.code == 0, ran.errors
    places = _check(tmp_path, height, width, size)
    covered = np.zeros((height, width), bool)
    for top, left in places:
        covered[top : top + size, left : left + size] = True
    whole = height // size * size, width // size * size
    assert covered[: whole[0], : whole[1]].all()
    assert covered.all() == (edge != "drop")
    for row, image, _ in _tiles(tmp_path):
        top, left = row["tile_top"], row["tile_left"]
        rows, columns = min(size, height - top), min(size, width - left)
        assert np.array_equal(image[:rows, :columns], giants.picture(top, left, rows, columns))
    assert all(shard.stat().st_size for shard in (tmp_path / "dataset").glob("*.tfrecord"))


def test_a_tile_of_a_giant_is_made_again_from_its_row_alone(tmp_path, capfd):
    giants.draw(tmp_path, 300, 500)
    words = _words(tmp_path, 128, **{"limits.max-pixels": 100_000, "augment-copies": 1})
    assert run_here(capfd, "ingest", *words).code == 0
    dataset = Dataset.load(tmp_path / "dataset")

    for key, variant in (("giant@r0000c0000", 0), ("giant@r0001c0002", 1), ("giant@r0002c0003", 0)):
        assert remake(dataset, key, variant).is_equal


def test_tiles_of_one_image_are_no_copies_of_each_other(tmp_path, capfd):
    giants.draw(tmp_path, 300, 500)
    for folder in ("images", "masks"):
        shutil.copy(tmp_path / folder / "giant.tif", tmp_path / folder / "again.tif")
    words = _words(tmp_path, 128, splits="train=0.5,val=0.5", **{"near-duplicates": 4})
    assert run_here(capfd, "ingest", *words).code == 0

    duplicates = Dataset.load(tmp_path / "dataset").record["duplicates"]

    assert duplicates["exact"]["sets"] == 1
    assert duplicates["exact"]["images"] == 2


def test_a_tiff_below_the_cap_gives_the_same_tiles(tmp_path, capfd):
    """Whether a file is read by window or whole is seen nowhere but in the plan."""
    giants.draw(tmp_path, 300, 500)
    found = []
    for name, cap in (("windows", 100_000), ("whole", 1_000_000)):
        words = _words(tmp_path, 128, output=tmp_path / name, **{"limits.max-pixels": cap})
        assert run_here(capfd, "ingest", *words).code == 0
        frames = [
            frame
            for shard in sorted((tmp_path / name).glob("*.tfrecord"))
            for frame in read_frames(shard)
        ]
        found.append(sorted(frames))

    assert found[0] == found[1]
    assert len(found[0]) == 3 * 4


def test_a_giant_that_is_no_windowed_tiff_is_too_large(tmp_path, capfd):
    giants.draw(tmp_path, 300, 500)
    pixels = giants.picture(0, 0, 300, 500)
    Image.fromarray(pixels).save(tmp_path / "images/other.png")
    Image.fromarray(giants.truth(0, 0, 300, 500)).save(tmp_path / "masks/other.png")

    words = _words(tmp_path, 128, **{"limits.max-pixels": 100_000, "max-reject-fraction": 1})
    assert run_here(capfd, "ingest", *words).code == 0

    (part,) = (tmp_path / "dataset/rejects").iterdir()
    (reject,) = pq.read_table(part).to_pylist()
    assert (reject["key"], reject["code"]) == ("other", "too_large")


def test_a_model_of_tiles_labels_whole_pictures_by_the_bands_it_was_trained_on(tmp_path, capfd):
    colors = [(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)]
    label_map = LabelMap(tuple(LabelClass(i, f"c{i}", rgb) for i, rgb in enumerate(colors)))
    truth = np.random.default_rng(0).integers(0, 4, (90, 130), np.uint8)
    rgb = np.array(colors, np.uint16)[truth] // 255 * 3000  # what the sensor's values reach
    bands = np.moveaxis(np.concatenate([rgb[..., ::-1], rgb * 0, rgb], -1), -1, 0)
    (tmp_path / "images").mkdir()
    options = {"driver": "GTiff", "height": 90, "width": 130, "count": 9, "dtype": "uint16"}
    with rasterio.open(tmp_path / "images/a.tif", "w", crs="EPSG:32633", **options) as dataset:
        dataset.write(bands)
    reading = {"bands": [7, 8, 9], "value_range": [0, 3000]}
    model = write_bundle(tmp_path / "model", label_map, (32, 48), "tile", reading=reading)

    words = [f"--{n}={tmp_path / n}" for n in ("model", "images")]
    ran = run_here(capfd, "label", *words, f"--output={tmp_path / 'labels'}")

    assert ran.code == 0, ran.errors
    assert model.is_dir()
    (part,) = (tmp_path / "labels/images").rglob("*.parquet")
    (row,) = pq.read_table(part).to_pylist()
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(row["mask"]))), truth)


@pytest.mark.slow
def test_a_gigapixel_is_tiled_in_bounded_memory(tmp_path):
    height = width = 30_000
    size = 512
    giants.draw(tmp_path, height, width)

    peaks = measure(["ingest", *_words(tmp_path, size), "--direct_num_workers=2"])

    assert peaks.tree < 1.5 * 2**30
    assert len(_check(tmp_path, height, width, size)) == 59 * 59  # the tiles cover every pixel
