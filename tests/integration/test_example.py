"""Any stored example is made again from its row of the index and its source files."""

import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from rich.console import Console

import segflow
from segflow.data import augment
from segflow.data.augment_config import AugmentationConfig
from segflow.data.command import ingest
from segflow.data.config import IngestConfig
from segflow.data.remake import find_row, remake
from segflow.data.tiles import TileConfig
from segflow.dataset import Dataset
from segflow.errors import RejectCode, RejectError, UsageError
from tests.drawn import LABELS, Pairs, rows_of, scene
from tests.programs import IN_MEMORY, run_here, run_program

COPIES = 3


def _ingest(pairs: Pairs, output: Path, preset: str = "strong", **changes: Any) -> Dataset:
    settings = {
        **{"images": str(pairs.images), "masks": str(pairs.masks), "output": str(output)},
        **{"label_map": str(pairs.label_map), "splits": "train=1", "image_size": "16x24"},
        **{"augment_copies": COPIES, "augmentation": AugmentationConfig(preset=preset)},
    }
    config = IngestConfig(**{**settings, **changes})
    return ingest(config, [IN_MEMORY], Console(file=io.StringIO()))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("example")
    return _ingest(Pairs(folder / "drawn"), folder / "dataset")


@pytest.fixture
def pairs(tmp_path: Path) -> Pairs:
    return Pairs(tmp_path / "drawn")


@pytest.mark.parametrize(
    "flags",
    [
        {},
        {"image_format": "png", "resize": "letterbox", "image_size": "20x20", "seed": 5},
        {"preset": "medical"},
        {"resize": "crop", "mask_resize": "majority", "image_size": "20x12"},
        {"resize": "tile", "tile": TileConfig(overlap=4, edge="shift")},
    ],
    ids=["jpeg", "png", "medical", "crop", "tile"],
)
def test_every_example_has_the_bytes_that_are_stored(pairs, tmp_path, flags, monkeypatch):
    dataset = _ingest(pairs, tmp_path / "dataset", **flags)
    index = rows_of(dataset.folder, "index")
    assert len(index) == 4 * (1 + COPIES)
    assert len({row["augmentation"] for row in index}) > 4 * COPIES - 3

    monkeypatch.delattr(augment, "choose")  # no random number is drawn
    for row in index:
        again = remake(dataset, row["key"], row["variant"])
        assert again.is_equal
        assert again.example.class_pixels == row["class_pixels"]
        assert (row["augmentation"] is None) == (row["variant"] == 0)


def test_what_happens_comes_from_the_row(pairs, tmp_path):
    dataset = _ingest(pairs, tmp_path / "dataset", image_format="png")
    row = next(row for row in rows_of(dataset.folder, "index") if row["variant"] == 1)
    assert row["augmentation"] not in ("{}", '{"flip_horizontal":true}')

    mirrored = segflow.remake_example(dataset, row | {"augmentation": '{"flip_horizontal":true}'})

    number = int(row["key"].removeprefix("pair-"))
    image, mask = scene(number)
    assert np.array_equal(_pixels(mirrored.record.image), image[:, ::-1])
    assert np.array_equal(_pixels(mirrored.record.mask), mask[:, ::-1])


def test_the_command_writes_what_is_stored_and_says_so(dataset, tmp_path, capfd):
    words = (dataset.folder, "--key=pair-2", "--variant=2", f"--output={tmp_path / 'again'}")

    ran = run_program("example", *words)

    assert (ran.code, ran.errors) == (0, [])
    row = find_row(dataset, "pair-2", 2)
    assert f"augmentation: {row['augmentation']}" in ran.out
    assert f"byte-equal to record {row['position']} of {row['shard']}" in ran.out
    mask = np.asarray(Image.open(tmp_path / "again" / "mask.png"))
    assert [int((mask == c.id).sum()) for c in LABELS.classes] == row["class_pixels"]
    assert Image.open(tmp_path / "again" / "image.jpg").size == (24, 16)
    assert run_here(capfd, "example", *words).code == 0  # the same again is no other file


def test_an_example_of_an_annotation_that_is_drawn(tmp_path, capfd):
    root = tmp_path / "labelme"
    root.mkdir()
    for number in range(3):
        Image.fromarray(scene(number)[0]).save(root / f"{number}.png")
        shape = {"label": "bar", "shape_type": "polygon", "points": [[2, 2], [20, 3], [9, 14]]}
        record = {"shapes": [shape], "imagePath": f"{number}.png", "imageHeight": 16}
        (root / f"{number}.json").write_text(json.dumps(record | {"imageWidth": 24}))
    labels = {"classes": [{"id": 0, "name": "_background_"}, {"id": 1, "name": "bar"}]}
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    output = tmp_path / "dataset"
    ran = run_here(
        capfd,
        *("ingest", "--layout=labelme", f"--images={root}", f"--output={output}"),
        *(f"--label-map={tmp_path / 'labels.json'}", "--image-size=16x24", "--splits=train=1"),
        "--augment-copies=1",
    )
    assert (ran.code, ran.errors) == (0, [])

    dataset = Dataset.load(output)

    assert all(remake(dataset, str(number), 1).is_equal for number in range(3))


def test_an_example_out_of_a_pack(pairs, tmp_path):
    with tarfile.open(tmp_path / "pairs.tar", "w") as archive:
        for number in range(4):
            stem = f"pair-{number}.png"
            archive.add(pairs.images / stem, f"{number}.png")
            archive.add(pairs.masks / stem, f"{number}.mask.png")
    places = {"images": str(tmp_path / "pairs.tar"), "masks": None}

    dataset = _ingest(pairs, tmp_path / "dataset", **places)

    assert all(remake(dataset, f"pairs/{number}", 1).is_equal for number in range(4))


def test_what_most_annotators_chose_is_stored_and_made_again(pairs, tmp_path):
    masks = [np.full((16, 24), 0, np.uint8), np.full((16, 24), 1, np.uint8), scene(1)[1]]
    for number in range(4):
        for voter, mask in enumerate(masks):
            Image.fromarray(mask).save(pairs.masks / f"pair-{number}_by{voter}.png")
        (pairs.masks / f"pair-{number}.png").unlink()
    stacked = np.stack(masks)
    most = np.full((16, 24), LABELS.ignore_id, np.uint8)  # 0, 1 and 2, or ignored: a tie
    for class_id in (0, 1):
        most[(stacked == class_id).sum(0) == 2] = class_id

    places = {"layout": "paired", "mask_pattern": r"(.+)_by\d", "annotators": "majority"}
    dataset = _ingest(pairs, tmp_path / "dataset", **places)

    for row in rows_of(dataset.folder, "index"):
        again = remake(dataset, row["key"], row["variant"])
        assert again.is_equal
        assert len(row["mask_uris"]) == 3
        if row["variant"] == 0:
            assert np.array_equal(_pixels(again.stored.mask), most)

    Image.fromarray(masks[0]).save(pairs.masks / "pair-0_by2.png")
    assert not remake(dataset, "pair-0", 0).is_equal


def test_annotators_are_for_layouts_where_an_image_may_have_several_masks(tmp_path):
    root = tmp_path / "voc"
    for folder in ("JPEGImages", "SegmentationClass"):
        (root / folder).mkdir(parents=True)
    config = {"images": str(root), "masks": None, "layout": "voc", "annotators": "first"}

    with pytest.raises(UsageError, match="--annotators first: expected layout paired or manifest"):
        _ingest(Pairs(tmp_path / "drawn"), tmp_path / "dataset", **config)


def test_a_source_that_is_another_now(pairs, tmp_path, capfd):
    dataset = _ingest(pairs, tmp_path / "dataset")
    words = (dataset.folder, "--key=pair-1", f"--output={tmp_path / 'again'}")
    shutil.copy(pairs.masks / "pair-2.png", pairs.masks / "pair-1.png")
    ran = run_here(capfd, "example", *words)
    assert ran.code == 1
    assert "not byte-equal to record" in ran.line
    assert "has the mask's source changed?" in ran.line

    shutil.copy(pairs.images / "pair-2.png", pairs.images / "pair-1.png")
    ran = run_here(capfd, "example", *words)
    assert ran.code == 1
    assert "pair-1.png: has changed since it was ingested" in ran.line
    with pytest.raises(RejectError) as error:
        remake(dataset, "pair-1", 0)
    assert error.value.code == RejectCode.SOURCE_CHANGED

    (pairs.images / "pair-1.png").unlink()
    ran = run_here(capfd, "example", *words)
    assert ran.code == 1
    assert "cannot be opened" in ran.line


def test_what_there_is_not(dataset, tmp_path, capfd):
    again = tmp_path / "again"

    def refusal(*words: str) -> str:
        ran = run_here(capfd, "example", dataset.folder, *words, f"--output={again}")
        assert ran.code == 2
        return ran.line

    assert "has no example of that key" in refusal("--key=pair-9")
    assert f"has the variants 0 to {COPIES} of pair-1" in refusal("--key=pair-1", "--variant=4")
    again.mkdir()
    (again / "mask.png").write_bytes(b"mine")
    assert "holds another mask.png; choose another folder" in refusal("--key=pair-1")
    assert (again / "mask.png").read_bytes() == b"mine"


def test_a_row_of_another_version_is_refused(dataset):
    row = pq.read_table(dataset.folder / "index").to_pylist()[0]

    for changed in ({"augmentation": '{"swirl":3}'}, {"augmentation": "{"}):
        with pytest.raises(UsageError, match="made by another version of segflow"):
            segflow.remake_example(dataset, row | changed)


def _pixels(data: bytes) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(data)))
