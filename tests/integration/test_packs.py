"""Packs made with other people's tools, through the commands: the same pixels as from files."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from segflow.data.records import decode_example, read_frames
from segflow.data.remake import remake
from segflow.dataset import Dataset
from tests.bundles import write_bundle
from tests.drawn import LABELS, Pairs, decode, encode, rows_of, scene
from tests.integration.outputs import contents
from tests.programs import run_here, run_program

_COUNT = 10


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    return Pairs(tmp_path_factory.mktemp("packed"), count=_COUNT)


def _pictures() -> list[tuple[bytes, bytes]]:
    return [(encode(image), encode(mask)) for image, mask in map(scene, range(_COUNT))]


def _write_tar(folder: Path) -> None:
    with tarfile.open(folder / "train-0.tar", "w") as archive:
        for number, files in enumerate(_pictures()):
            for suffix, data in zip(("png", "mask.png"), files, strict=True):
                member = tarfile.TarInfo(f"{number:05d}.{suffix}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))


def _write_parquet(folder: Path) -> None:
    columns = zip(*_pictures(), strict=True)
    images, masks = ([{"bytes": b, "path": "x"} for b in column] for column in columns)
    table = pa.table({"image": images, "label": masks})
    pq.write_table(table, folder / "train-00000-of-00001.parquet", row_group_size=3)


def _write_tfrecord(folder: Path) -> None:
    with tf.io.TFRecordWriter(f"{folder}/train-00000-of-00001.tfrecord") as writer:
        for image, mask in _pictures():
            names = ("image/encoded", "image/segmentation/class/encoded")
            feature = {
                name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[data]))
                for name, data in zip(names, (image, mask), strict=True)
            }
            example = tf.train.Example(features=tf.train.Features(feature=feature))
            writer.write(example.SerializeToString())


_WRITERS = {"tar": _write_tar, "parquet": _write_parquet, "tfrecord": _write_tfrecord}


@pytest.mark.parametrize("layout", _WRITERS)
def test_ingest_stores_what_the_pack_holds(pairs, tmp_path, layout):
    packs = tmp_path / "packs"
    packs.mkdir()
    _WRITERS[layout](packs)
    before = contents(packs)
    flags = pairs.flags(tmp_path / "out", images=packs, masks=None, image_format="png")

    ran = run_program("ingest", *flags, "--shard-size=4", "--direct_num_workers=2")

    assert (ran.code, ran.errors) == (0, [])
    record = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert record["layout"] == layout
    assert record["inputs"]["accepted"] == record["splits"]["train"]["examples"] == _COUNT
    stored = {}
    for shard in (tmp_path / "out").glob("*.tfrecord"):
        for example in map(decode_example, read_frames(shard)):
            stored[int(example.source_id.rpartition("/")[2])] = example
    for number in range(_COUNT):
        image, mask = scene(number)
        np.testing.assert_array_equal(decode(stored[number].image), image)
        np.testing.assert_array_equal(decode(stored[number].mask), mask)
    dataset = Dataset.load(tmp_path / "out")
    assert remake(dataset, rows_of(dataset.folder, "index")[0]["key"], 0).is_equal
    uris = [row["image_uri"] for row in rows_of(tmp_path / "out", "index")]
    assert all(uri.startswith(f"{packs}/train-0") for uri in uris)
    assert contents(packs) == before


def test_without_a_label_map_the_masks_in_a_pack_are_looked_at(pairs, tmp_path, capfd):
    _write_tar(tmp_path)
    flags = pairs.flags(tmp_path / "out", images=tmp_path / "train-0.tar", masks=None)
    ran = run_here(capfd, "ingest", *(flag for flag in flags if "label-map" not in flag))

    assert ran.code == 2
    assert "hold the values 0, 1, 2, 255" in ran.line


def test_evaluate_scores_a_pack_and_its_report_shows_the_pictures(tmp_path, capfd):
    _write_tar(tmp_path)
    model = write_bundle(tmp_path / "model", LABELS)
    flags = [f"--model={model}", f"--images={tmp_path / 'train-0.tar'}"]

    ran = run_here(capfd, "evaluate", *flags, f"--output={tmp_path / 'out'}")

    assert (ran.code, ran.errors) == (0, [])
    record = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (record["examples"], record["pixel_accuracy"]) == (_COUNT, 1.0)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "data:image" in page
    assert "the scores above still hold" not in page


def test_label_finds_the_images_of_a_pack_and_leaves_its_masks_alone(tmp_path, capfd):
    _write_tar(tmp_path)
    model = write_bundle(tmp_path / "model", LABELS)
    flags = [f"--model={model}", f"--images={tmp_path / 'train-0.tar'}", "--ground-resolution=0.5"]

    ran = run_here(capfd, "label", *flags, f"--output={tmp_path / 'out'}")

    assert (ran.code, ran.errors) == (0, [])
    assert "area, m²" in ran.out
    rows = {Path(row["image_uri"]).stem: row for row in rows_of(tmp_path / "out", "images")}
    assert len(rows) == _COUNT
    for number in range(_COUNT):
        found, (_, mask) = decode(rows[f"{number:05d}"]["mask"]), scene(number)
        np.testing.assert_array_equal(found[1:], mask[1:])  # the first row of each is ignored
