"""Numbers of the dataset's page, compared with NumPy over the same pictures."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segflow.dataset import Dataset
from segflow.label_map import LabelMap
from segflow.report import inspection, leakage, statistics, tables
from segflow.report.tables import Tables
from tests.unit.report import folders

SIZE = (20, 30)
COLUMNS = {
    "index": "key VARCHAR, variant INT, split VARCHAR, image_uri VARCHAR, image_sha256 VARCHAR, "
    "source_height INT, source_width INT, shard VARCHAR, position INT, class_pixels BIGINT[], "
    '"group" VARCHAR, image_phash VARCHAR, tile_row INT, tile_column INT'
}


def _opened(folder: Path, rows: list[dict]):
    (folder / "index").mkdir()
    defaults = {"variant": 0, "split": "train", "shard": "s", "position": 0}
    defaults |= {"tile_row": None, "tile_column": None}
    filled = [{"key": str(i), "position": i, **defaults, **row} for i, row in enumerate(rows)]
    for position, row in enumerate(filled):
        row["position"] = position
    pq.write_table(pa.Table.from_pylist(filled), folder / "index/part-0.parquet")
    return tables.opened(folder, [{"path": "index/part-0.parquet"}], COLUMNS)


def test_sizes_are_counted_once_a_source(tmp_path):
    found = [(10, 20)] * 3 + [(20, 10)] + [(5, 5 + i) for i in range(9)]
    rows = [
        {"source_height": h, "source_width": w, "variant": v} for h, w in found for v in (0, 1, 2)
    ]
    # A fourth picture of that size in tiles, the first of them rejected.
    for row, column in ((0, 1), (1, 0), (1, 1)):
        tile = {"tile_row": row, "tile_column": column, "key": f"big@r{row:04d}c{column:04d}"}
        rows.append({"source_height": 10, "source_width": 20} | tile)

    with _opened(tmp_path, rows) as opened:
        sizes = statistics.sizes(opened)

    assert sizes is not None
    assert (sizes.frequent[0].size, sizes.frequent[0].images) == ((10, 20), 4)
    assert sizes.frequent[0].share == 4 / 14
    assert (len(sizes.frequent), sizes.others) == (8, 3)
    assert (sizes.smallest, sizes.largest) == ((5, 5), (20, 10))


def test_classes_seen_together_are_counted_by_image(tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 50, (40, 4)) * rng.integers(0, 2, (40, 4))
    pixels[:, 3] = 0
    rows = [{"class_pixels": row} for row in pixels.tolist()]
    rows.append({"class_pixels": [1, 1, 1, 1], "variant": 1})

    with _opened(tmp_path, rows) as opened:
        together = statistics.together(opened, list("abcd"))

    shown = (pixels > 0).astype(int)
    expected = shown.T @ shown
    counts = [[cell.pixels for cell in row] for row in together.rows]
    assert counts == expected.tolist()
    shares = [[cell.share for cell in row] for row in together.rows]
    np.testing.assert_allclose(shares[:3], expected[:3] / np.diag(expected)[:3, None])
    assert shares[3] == [None] * 4


def test_odd_masks_are_empty_or_of_one_class(tmp_path):
    pixels = [[0, 0], [5, 0], [0, 3], [2, 2], [1, 1]]
    rows = [{"class_pixels": row} for row in pixels] + [{"class_pixels": [0, 0], "variant": 1}]

    with _opened(tmp_path, rows) as opened:
        empty, single = statistics.odd_masks(opened, seed=0, most=1)

    assert (empty.count, empty.checked, [row["key"] for row in empty.rows]) == (1, 5, ["0"])
    assert (single.count, single.checked, len(single.rows)) == (2, 5, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folders.write_dataset(tmp_path_factory.mktemp("dataset") / "d")


@pytest.fixture
def opened(folder: Path) -> Iterator[Tables]:
    record = Dataset.load(folder).record
    with tables.opened(folder, record["files"], COLUMNS) as found:
        yield found


def _pictures(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images and masks as they were drawn, augmented copies left out."""
    rows = pq.read_table(folder / "index/part-00000.parquet").to_pylist()
    drawn = [folders.scene(sum(r["key"].encode())) for r in rows if not r["variant"]]
    return np.stack([image for image, _ in drawn]), np.stack([mask for _, mask in drawn])


def test_light_and_colours_are_those_of_the_stored_pixels(folder: Path, opened: Tables) -> None:
    found = inspection.inspect(opened, Dataset.load(folder), 3)

    images, _ = _pictures(folder)
    assert found is not None
    assert found.examples == found.sources == len(images)
    means = [channel.mean for channel in found.channels]
    deviations = [channel.deviation for channel in found.channels]
    np.testing.assert_allclose(means, images.mean(axis=(0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(deviations, images.std(axis=(0, 1, 2)), rtol=1e-6)


def test_specks_are_counted_and_shown(folder: Path, opened: Tables, monkeypatch) -> None:
    monkeypatch.setattr(inspection, "speck_size", lambda size: 150)

    found = inspection.inspect(opened, Dataset.load(folder), 2)

    _, masks = _pictures(folder)
    assert found is not None
    assert [r.swatch.name for r in found.regions] == list(folders.LABEL_MAP.names[:3])
    lakes = [int((mask == 2).sum()) for mask in masks]  # a lake under no house is one region
    whole = max(lakes)
    assert found.regions[2].count >= len(masks)
    assert found.regions[2].smallest <= min(lakes) <= found.regions[2].median <= whole
    assert found.specked.count <= found.specked.checked == len(masks)
    assert len(found.specked.rows) == min(2, found.specked.count)


def test_a_large_set_is_sampled_and_says_so(folder: Path, opened: Tables, monkeypatch) -> None:
    monkeypatch.setattr(inspection, "_MOST", 3)

    first = inspection.inspect(opened, Dataset.load(folder), 3)

    assert first is not None
    assert (first.examples, first.sources) == (3, 7)
    assert first == inspection.inspect(opened, Dataset.load(folder), 3)


def test_leaks_are_found_in_the_index(folder: Path, opened: Tables) -> None:
    found = leakage.find(opened, Dataset.load(folder))

    assert (found.groups, found.straddling) == (1, 1)
    assert found.largest == [(folders.HOSTILE, {"test": 1, "val": 1})]
    exact, near = found.copies
    assert (exact.sets, exact.shown) == (0, [])
    assert (near.sets, near.images, near.across) == (1, 2, 1)
    assert [card.title for card in near.shown[0]] == ["t.png", "v2.png"]
    assert all(card.pictures for card in near.shown[0])


def test_a_label_map_of_many_classes_leaves_out_the_rarest(tmp_path: Path) -> None:
    names = LabelMap.from_dict({"classes": [{"id": i, "name": str(i)} for i in range(50)]}).names
    rows = [{"class_pixels": [int(i <= n) for i in range(50)]} for n in range(50)]

    with _opened(tmp_path, rows) as opened:
        together = statistics.together(opened, names)

    assert list(together.names) == [str(i) for i in range(40)]
    assert together.omitted == 10
