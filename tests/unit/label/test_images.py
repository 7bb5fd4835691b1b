"""Images above the caps among others: read by rows, or refused."""

import functools
from pathlib import Path

import numpy as np
import pytest
import rasterio
from scipy import ndimage

from segflow.data.config import DecodeLimits
from segflow.data.mask_formats import decode
from segflow.jobs.plan import PlanWriter
from segflow.jobs.run import Run
from segflow.label import planning
from segflow.label.windows import Windows
from segflow.verify import verify
from tests.drawn import rows_of
from tests.unit.label.batches import FakePredictor, draw

LIMITS = DecodeLimits(max_pixels=10_000)
pytestmark = [
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:pycocotools"),
]


def _draw_giant(path: Path) -> np.ndarray:
    """130 x 200 pixels of classes 0 to 2, whose number is the red channel."""
    red = (np.add.outer(np.arange(130) * 5, np.arange(200)) // 40 % 3).astype(np.uint8)
    options = {"driver": "GTiff", "count": 3, "dtype": "uint8", "tiled": True}
    options |= {"blockxsize": 64, "blockysize": 64, "crs": "EPSG:32633"}
    with rasterio.open(path, "w", height=130, width=200, **options) as file:
        file.write(np.stack([red, red * 0, red * 0]))
    return red


@pytest.mark.parametrize("mask_format", ["png", "rle"])
def test_a_giant_is_labelled_by_rows_among_others(labels, mask_format):
    red = _draw_giant(labels.images / "giant.tif")
    draw(labels.images / "a.png")
    draw(labels.images / "large.png", size=(101, 100))

    record = labels.label(limits=LIMITS, shard_size=8, mask_format=mask_format, count_regions=True)

    assert record["inputs"]["by_code"] == {"too_large": 1}  # a PNG cannot be read by rows
    rows = {labels.name(r["image_uri"]): r for r in rows_of(labels.output, "images")}
    assert list(rows) == [name for name in labels.planned(record) if name != "large.png"]
    giant = rows["giant.tif"]
    assert (giant["height"], giant["width"], giant["mean_confidence"]) == (130, 200, 0.625)
    assert np.array_equal(decode(giant["mask"], mask_format), red)
    areas = [r for r in rows_of(labels.output, "areas") if r["image_uri"] == giant["image_uri"]]
    assert {(row["class_id"], row["pixels"], row["regions"]) for row in areas} == {
        (i, int((red == i).sum()), ndimage.label(red == i)[1]) for i in range(3)
    }
    assert verify(labels.output) == ("labels", [])


def test_without_windows_a_giant_is_too_large(labels, monkeypatch):
    _draw_giant(labels.images / "giant.tif")
    monkeypatch.setattr(FakePredictor, "windows", Windows("never"))

    record = labels.label(limits=LIMITS, windows="never")

    assert record["inputs"]["by_code"] == {"too_large": 1}


def test_a_giant_that_changes_while_it_is_read_is_rejected(labels, monkeypatch):
    path = labels.images / "giant.tif"
    _draw_giant(path)
    slide = FakePredictor.slide

    def slide_and_change(*arguments: object) -> object:
        found = slide(*arguments)
        path.touch()
        return found

    monkeypatch.setattr(FakePredictor, "slide", slide_and_change)

    assert labels.label(limits=LIMITS)["inputs"]["by_code"] == {"source_changed": 1}


def test_a_giant_that_is_cut_off_is_unreadable(labels):
    path = labels.images / "giant.tif"
    _draw_giant(path)
    header_and_some = path.read_bytes()[:40_000]
    path.write_bytes(header_and_some)

    assert labels.label(limits=LIMITS)["inputs"]["by_code"] == {"unreadable": 1}


def test_a_giant_has_a_shard_to_itself_if_it_is_large_enough(labels, monkeypatch):
    small_shards = functools.partial(PlanWriter, max_weight=70_000)
    monkeypatch.setattr(planning, "PlanWriter", small_shards)
    _draw_giant(labels.images / "giant.tif")
    for number in range(6):
        draw(labels.images / f"{number}.png")

    record = labels.label(limits=LIMITS, shard_size=8)

    run = Run.load(labels.output / "_runs" / record["run"])
    shards = [{labels.name(r["image_uri"]) for r in run.rows(i)} for i in range(run.shard_count)]
    assert {"giant.tif"} in shards
    assert sum(map(len, shards)) == 7
