"""What the documentation shows is run as it stands there."""

import re
import subprocess
from pathlib import Path

import duckdb
import numpy as np
import pytest
from PIL import Image

from segflow import storage
from segflow.label_map import LabelMap
from tests.bundles import write_bundle
from tests.integration.commands import segflow
from tests.requirements import ROOT

LABEL_MAP = LabelMap.from_dict(
    {
        "classes": [
            {"id": 0, "name": "ground", "color": [40, 60, 40]},
            {"id": 1, "name": "roof", "color": [200, 80, 60]},
        ]
    }
)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds what the documentation names."""
    folder = tmp_path_factory.mktemp("docs")
    storage.put(folder / "labels.json", storage.to_json(LABEL_MAP.to_dict()))
    write_bundle(folder / "model", LABEL_MAP, (40, 60))
    for index in range(12):
        mask = np.zeros((40, 60), np.uint8)
        mask[5 : 20 + index, 10:40] = 1
        for name, pixels in (("photos", LABEL_MAP.palette()[mask]), ("masks", mask)):
            (folder / name).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")
    Image.fromarray(LABEL_MAP.palette()[mask]).save(folder / "photo.jpg")
    Image.fromarray(mask).save(folder / "mask.png")
    segflow(
        *("ingest", "--images", folder / "photos", "--masks", folder / "masks"),
        *("--label-map", folder / "labels.json", "--image-size", "32x48"),
        *("--splits", "train=0.5,val=0.5", "--output", folder / "dataset"),
    )
    segflow(
        *("label", "--model", folder / "model", "--images", folder / "photos"),
        *("--output", folder / "labels"),
    )
    return folder


def _blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", ["README.md", "docs/python.md", "docs/ingest.md", "docs/label.md"])
def test_python_blocks_run(
    page: str,
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(workplace)
    blocks = _blocks(page, "python")
    assert blocks
    names = {"image": np.zeros((40, 60, 3), np.uint8)}  # README shows no loading of an image
    for block in blocks:
        exec(compile(block, page, "exec"), names)
    if page == "docs/python.md":
        said = capsys.readouterr().out
        assert "'roof'" in said
        assert "missing.jpg unreadable" in said
        assert "bytes" in said


def test_sql_blocks_give_what_the_masks_hold(workplace: Path) -> None:
    connection = duckdb.connect()
    connection.execute((workplace / "labels" / "current.sql").read_text(encoding="utf-8"))
    totals, least_sure = _blocks("docs/label.md", "sql")[0].strip().split(";")[:2]
    expected = np.zeros(2, np.int64)
    for path in (workplace / "masks").iterdir():
        expected += np.bincount(np.asarray(Image.open(path)).ravel(), minlength=2)
    rows = {name: (pixels, images) for name, pixels, images in connection.sql(totals).fetchall()}
    assert rows == {"ground": (expected[0], 12), "roof": (expected[1], 12)}
    assert len(connection.sql(least_sure).fetchall()) == 10


def test_links_between_pages_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    assert len(pages) > 5
    for page in pages:
        for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_readmes_map_has_every_folder() -> None:
    """And each folder that it names is there."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = text.partition("## Find your way")[2].partition("[CONTRIBUTING]")[0].splitlines()
    named: set[str] = set()
    for line in lines:
        if match := re.match(r" {4}( *)((?:\w+/(?:, )?)+)", line):
            parent = {0: "", 2: "segflow/", 4: "segflow/data/"}[len(match[1])]
            named |= {f"{parent}{folder}" for folder in re.findall(r"\w+", match[2])}
    there = _folders()
    assert {"pipelines", "segflow/train", "segflow/data/layouts"} <= there
    assert there == named


def _folders() -> set[str]:
    """Those at the top, in `segflow/` and in `segflow/data/` that hold tracked files."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    parents = {parent for name in done.stdout.decode().split("\0") for parent in Path(name).parents}
    return {
        str(folder)
        for folder in parents
        if str(folder.parent) in (".", "segflow", "segflow/data")
        and not str(folder).startswith(".")
    }
