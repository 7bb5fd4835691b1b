"""Pillow's own test images through ingest: every file gets one verdict, in bounded memory."""

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks.process_memory import Peaks, measure
from tests.drawn import encode, rows_of
from tests.requirements import shared_data
from tests.shown import shown_size

_GIGABYTE = 10**9


@pytest.fixture(scope="module")
def files() -> list[Path]:
    return sorted(path for path in shared_data("odd_images").rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def ingested(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Peaks]:
    """The dataset of all of them with drawn masks, and the memory that making it took."""
    folder = tmp_path_factory.mktemp("odd")
    (folder / "masks").mkdir()
    with (folder / "list.csv").open("w", newline="") as listing:
        rows = csv.writer(listing)
        rows.writerow(("image", "mask", "key"))
        for number, path in enumerate(files):
            mask = folder / "masks" / f"{number}.png"
            mask.write_bytes(encode(np.zeros(_shown_size(path), np.uint8)))
            rows.writerow((path, mask, f"{number}"))
    labels = {"classes": [{"id": 0, "name": "all"}]}
    (folder / "labels.json").write_text(json.dumps(labels))
    peaks = measure(
        [
            *("ingest", f"--images={folder / 'list.csv'}", f"--label-map={folder / 'labels.json'}"),
            *("--image-size=32x32", "--max-reject-fraction=1", f"--output={folder / 'out'}"),
            "--direct_num_workers=2",
        ]
    )
    return folder / "out", peaks


def _shown_size(path: Path) -> tuple[int, int]:
    """(height, width) as a viewer shows the file; any for what is no picture."""
    try:
        height, width = shown_size(path)
    except Exception:
        return (8, 8)
    return (height, width) if width * height < 1e8 else (8, 8)


def test_every_file_is_either_stored_or_rejected_with_a_reason(ingested, files):
    output, _ = ingested
    inputs = json.loads((output / "dataset.json").read_text())["inputs"]
    stored = Counter(row["key"] for row in rows_of(output, "index"))
    rejects = rows_of(output, "rejects")

    assert len(files) == 524
    assert inputs["listed"] == inputs["accepted"] + inputs["rejected"] == len(files)
    assert stored + Counter(row["key"] for row in rejects) == Counter(map(str, range(len(files))))
    assert len(stored) > 350
    codes = Counter(row["code"] for row in rejects)
    assert codes.keys() <= {"unreadable", "unsupported_format", "too_large", "size_mismatch"}
    assert codes == inputs["by_code"]
    assert all(row["message"].startswith("image: ") for row in rejects if "mism" not in row["code"])


def test_no_process_took_a_gigabyte_nor_did_all_together(ingested):
    _, peaks = ingested

    assert max(peaks.launcher, peaks.worker) < peaks.tree < _GIGABYTE
