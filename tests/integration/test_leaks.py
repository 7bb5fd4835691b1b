"""Copies of images and groups, as `segflow ingest` is told to treat them."""

import hashlib
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segflow import storage
from tests.drawn import Pairs, encode, rows_of
from tests.programs import run_here

HALVES = {"splits": "train=0.5,val=0.5"}


def _picture(number: int, smaller: int = 1) -> np.ndarray:
    """Broad shapes, uint8 [h, w, 3], that look alike at any size."""
    coarse = np.random.default_rng(number).integers(0, 255, (6, 9, 3), np.uint8)
    size = (288 // smaller, 192 // smaller)
    return np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    """Sixteen pictures, eight of them twice as one file, four once more but smaller."""
    pairs = Pairs(tmp_path_factory.mktemp("copies") / "data", count=0)
    for number in range(16):
        _add(pairs, f"pic-{number}", _picture(number), number)
        if number < 8:
            _add(pairs, f"again-{number}", _picture(number), number)
        elif number < 12:
            _add(pairs, f"small-{number}", _picture(number, 2), number)
    return pairs


def _add(pairs: Pairs, stem: str, image: np.ndarray, number: int) -> None:
    mask = np.full(image.shape[:2], number % 3, np.uint8)
    (pairs.images / f"{stem}.png").write_bytes(encode(image))
    (pairs.masks / f"{stem}.png").write_bytes(encode(mask))


def _same_files(pairs: Pairs) -> list[set[str]]:
    """Stems of images that are byte for byte the same."""
    found = defaultdict(set)
    for path in pairs.images.iterdir():
        found[hashlib.sha256(path.read_bytes()).hexdigest()].add(path.stem)
    return [stems for stems in found.values() if len(stems) > 1]


def _splits(output: Path) -> dict[str, str]:
    return {row["key"]: row["split"] for row in rows_of(output, "index")}


def test_copies_are_kept_and_counted_within_and_across_splits(
    data: Pairs, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ran = run_here(capfd, "ingest", *data.flags(tmp_path / "out", **HALVES, near_duplicates=4))

    assert (ran.code, ran.errors) == (0, [])
    splits = _splits(tmp_path / "out")
    exact = _same_files(data)
    across = sum(len({splits[stem] for stem in stems}) > 1 for stems in exact)
    assert 0 < across < len(exact) == 8
    near = [{f"pic-{number}", f"small-{number}"} for number in range(8, 12)]
    near_across = sum(len({splits[stem] for stem in stems}) > 1 for stems in near)
    record = storage.read_json(tmp_path / "out/dataset.json")
    assert record["inputs"]["accepted"] == 28
    assert record["duplicates"] == {
        "exact": {"sets": 8, "images": 16, "across_splits": across},
        "near": {"distance": 4, "sets": 4, "images": 8, "across_splits": near_across},
        "dropped": 0,
    }
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert f"Exact copies: {across} sets lie in more than one split" in ran.out
    assert f"Exact copies: {across} sets lie in more than one split" in page


def test_copies_are_dropped_and_every_input_accounted_for(
    data: Pairs, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    flags = data.flags(tmp_path / "out", **HALVES, duplicates="drop", max_reject_fraction=0)

    ran = run_here(capfd, "ingest", *flags)

    assert (ran.code, ran.errors) == (0, [])  # dropped copies are not held against the budget
    rejects = rows_of(tmp_path / "out", "rejects")
    assert Counter(row["code"] for row in rejects) == {"duplicate_image": 8}
    kept = _splits(tmp_path / "out").keys()
    assert all(len(stems & kept) == 1 for stems in _same_files(data))
    record = storage.read_json(tmp_path / "out/dataset.json")
    assert record["inputs"]["by_code"] == {"duplicate_image": 8}
    assert record["duplicates"]["exact"]["sets"] == 0
    assert record["duplicates"]["dropped"] == 8
    again = run_here(capfd, "ingest", *flags)
    assert again.code == 0
    assert again.errors == []  # "complete already": another look at all pairs is not needed


def test_near_copies_are_dropped_on_request(
    data: Pairs, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    flags = data.flags(tmp_path / "out", **HALVES, duplicates="drop", near_duplicates=4)

    assert run_here(capfd, "ingest", *flags).code == 0

    kept = _splits(tmp_path / "out").keys()
    assert len(kept) == 16
    assert {stem.split("-")[1] for stem in kept} == {str(number) for number in range(16)}


def test_copies_are_fatal_on_request_and_nothing_is_written(
    data: Pairs, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ran = run_here(capfd, "ingest", *data.flags(tmp_path / "out", **HALVES, duplicates="fail"))

    assert ran.code == 2
    assert "--duplicates fail: 16 images in 8 sets are copies of each other" in ran.line
    assert not (tmp_path / "out/dataset.json").exists()


@pytest.mark.parametrize("stratify", [False, True])
def test_groups_stay_whole(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], stratify: bool
) -> None:
    pairs = Pairs(tmp_path / "data", count=0)
    for number in range(36):
        pairs.add(f"video{number % 12}_{number}", number)
    words = [*pairs.flags(tmp_path / "out", splits="train=0.5,val=0.25,test=0.25")]
    words += [r"--group-pattern=^(video\d+)_", *(["--stratify"] if stratify else [])]

    ran = run_here(capfd, "ingest", *words)

    assert (ran.code, ran.errors) == (0, [])
    places = defaultdict(set)
    for row in rows_of(tmp_path / "out", "index"):
        assert row["group"] == row["key"].split("_")[0]
        places[row["group"]].add(row["split"])
    assert len(places) == 12
    assert all(len(splits) == 1 for splits in places.values())
    record = storage.read_json(tmp_path / "out/dataset.json")
    assert record["groups"] == {"groups": 12, "straddling": 0, "largest": []}
    if stratify:
        sources = {name: split["sources"] for name, split in record["splits"].items()}
        assert sources == {"train": 18, "val": 9, "test": 9}


def test_stratifying_asks_for_the_shares(
    data: Pairs, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ran = run_here(capfd, "ingest", *data.flags(tmp_path / "out"), "--stratify")

    assert ran.code == 2
    assert "--stratify needs --splits" in ran.line
