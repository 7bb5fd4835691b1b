"""The page of the review list, and what the page of the labels shows of it."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segflow import outputs
from segflow.errors import UsageError
from segflow.label.review import write_review
from segflow.report import draw, pictures, review
from tests.unit.report import folders
from tests.unit.report.test_draw import Page


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Two runs; the images of even seeds are of the first, those of odd ones of the second."""
    folder = folders.write_labels(tmp_path / "it's <b>l", tmp_path / "batch")
    for record in _records(folder):
        write_review(folder, record, 3)
    return folder


def _records(folder: Path) -> list[dict[str, object]]:
    return list(outputs.read_records(folder, outputs.LABELS))


def test_the_page_shows_photo_labels_and_uncertainty_of_the_newest_runs_list(labels, tmp_path):
    draw(labels)

    page = Page(labels / "review/run=r2/review.html")
    assert not (labels / "review/run=r1/review.html").exists()
    assert len(page.images) == 3 * 3
    assert all(image["src"].startswith("data:image/jpeg") for image in page.images)
    order = [page.text.index(folders.image_uri(tmp_path / "batch", seed)) for seed in (1, 3, 5)]
    assert order == sorted(order)
    assert "1: entropy 0.450, confidence 0.660" in page.text
    assert "25 % of its pixels have a confidence below 0.75; most doubt is in" in page.text
    assert "To review 3 of 4 images labelled" in page.text


def test_names_are_text(labels):
    (labels / "review/run=r2/review.csv").unlink()

    path = review.draw(labels, _records(labels))

    assert path == labels / "review/run=r1/review.html"
    page = Page(path)
    assert not {"script", "b"} & set(page.tags)
    assert "<script>alert(1)" in page.text


def test_the_top_names_the_page_and_shows_the_first(labels, monkeypatch):
    monkeypatch.setattr(review, "_TOP", 2)

    top = review.top(labels, _records(labels))

    assert (top.run, top.images, top.page) == ("r2", 3, "review/run=r2/review.html")
    assert [len(card.pictures) for card in top.cards] == [3, 3]


def test_an_image_that_is_gone_leaves_its_labels(labels, tmp_path):
    Path(folders.image_uri(tmp_path / "batch", 3)).unlink()

    draw(labels)

    page = Page(labels / "review/run=r2/review.html")
    assert len(page.images) == 3 + 1 + 3
    assert "the image: cannot be opened" in page.text


def test_without_a_list_there_is_no_page(tmp_path):
    folder = folders.write_labels(tmp_path / "l", tmp_path / "batch")

    draw(folder)

    assert review.top(folder, _records(folder)) is None
    assert not (folder / "review").exists()


@pytest.mark.parametrize("text", ["", "rank\n1\n", "\xff\xfe", "{}"])
def test_a_list_that_cannot_be_read_is_told(labels, text):
    path = labels / "review/run=r2/review.csv"
    good = path.read_text()
    path.write_bytes(good.replace("entropy", "x").encode() + text.encode("latin-1"))

    with pytest.raises(UsageError, match=r"review\.csv: not as segflow writes it: .*; remove it"):
        draw(labels)


def test_a_list_cannot_point_at_files_that_the_record_does_not_list(labels, tmp_path):
    path = labels / "review/run=r2/review.csv"
    path.write_text(path.read_text().replace("images/run=r2/", "../../secret/"))

    assert review.top(labels, _records(labels)).cards == []


def test_the_redder_the_less_sure():
    grey = np.full((40, 80, 3), 100, np.uint8)
    levels = np.array([[0, 255]], np.uint8)

    picture = pictures.uncertainty(grey, levels, "x")

    data = base64.b64decode(picture.src.removeprefix("data:image/jpeg;base64,"))
    pixels = np.asarray(Image.open(io.BytesIO(data))).astype(int)
    redness = pixels[20, :, 0] - pixels[20, :, 1]
    assert pixels.shape[:2] == (40, 80)
    assert redness[5] < 10 < 60 < redness[40] < 150 < redness[75]
