"""The ingest job, shard by shard and without Beam."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from segflow import hashing, storage
from segflow.data.config import IngestConfig
from segflow.data.ingest import INDEX_SCHEMA, IngestJob, rows_per_shard, shard_name
from segflow.data.layouts import SourcePaths
from segflow.data.layouts.paired import Paired
from segflow.data.masks import decode_raw_mask
from segflow.data.planning import PairPlan
from segflow.data.records import decode_example, read_frames
from segflow.dataset import Dataset
from segflow.jobs.commit import commit
from segflow.jobs.run import Run, Shard, new_name
from segflow.jobs.shard import finish_shard
from segflow.label_map import LabelClass, LabelMap
from tests.unit.data.pictures import LIMITS, encode, photo

LABELS = LabelMap((LabelClass(0, "a"), LabelClass(1, "b"), LabelClass(2, "c")))
PAIRS = 14
SHARES = {"train": 0.5, "val": 0.5, "test": 0.0}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fourteen sound pairs, a mask of an unknown value, and an image without a mask."""
    root = tmp_path_factory.mktemp("sources")
    (root / "images").mkdir()
    (root / "masks").mkdir()
    rng = np.random.default_rng(0)
    for number in range(PAIRS):
        mask = rng.choice(np.array([0, 1, 2, 255], np.uint8), (12, 16))
        (root / f"images/{number}.jpg").write_bytes(encode(photo(), "JPEG"))
        (root / f"masks/{number}.png").write_bytes(encode(mask, "PNG"))
    (root / "images/unknown.jpg").write_bytes(encode(photo(), "JPEG"))
    (root / "masks/unknown.png").write_bytes(encode(np.full((12, 16), 77, np.uint8), "PNG"))
    (root / "images/lonely.jpg").write_bytes(encode(photo(), "JPEG"))
    return root


def _job(sources: Path, **changes: object) -> IngestJob:
    arguments = {
        "images": str(sources / "images"),
        "masks": str(sources / "masks"),
        "output": "unused",
        "image_size": "6x8",
        "shard_size": 4,
        "augment_copies": 1,
        "max_reject_fraction": 1.0,
    }
    return IngestJob(IngestConfig(**{**arguments, **changes}), LABELS)


def _planned(job: IngestJob, output: Path, shares: dict[str, float] = SHARES) -> Run:
    config = job.config
    plan = PairPlan(
        layout=Paired(),
        paths=SourcePaths(config.images, config.masks),
        seed=0,
        shares=shares,
        rows_per_shard=lambda split: rows_per_shard(config, split),
    )
    name = new_name("0" * 64)
    planned = plan(output / "_runs" / name)
    run = Run(
        output=str(output),
        name=name,
        fingerprint="0" * 64,
        started="2026-01-02T03:04:05Z",
        groups=planned.summary.groups,
        listed=planned.summary.rows,
        config=config.recorded(),
        versions={"segflow": "0"},
        notes=planned.notes,
    )
    run.save()
    return run


def _ingested(job: IngestJob, output: Path, shares: dict[str, float] = SHARES) -> Dataset:
    run = _planned(job, output, shares)
    for index in range(run.shard_count):
        finish_shard(job, run, job.open(), index)
    commit(job, run)
    return Dataset.load(output)


@pytest.fixture(scope="module")
def dataset(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return _ingested(_job(sources), tmp_path_factory.mktemp("dataset"))


def _index(dataset: Dataset) -> list[dict]:
    parts = sorted((dataset.folder / "index").iterdir())
    return [row for part in parts for row in pq.read_table(part).to_pylist()]


def _records(dataset: Dataset, split: str) -> list:
    paths = dataset.shard_paths(split)
    return [decode_example(frame) for path in paths for frame in read_frames(path)]


def test_accepted_and_rejected_are_what_was_listed(dataset):
    assert dataset.record["inputs"] == {
        "listed": PAIRS + 2,
        "accepted": PAIRS,
        "rejected": 2,
        "by_code": {"missing_mask": 1, "unknown_label": 1},
    }
    assert sum(split.sources for split in dataset.splits.values()) == PAIRS


def test_training_examples_are_augmented_and_others_are_not(dataset):
    train, val = dataset.split("train"), dataset.split("val")

    assert train.examples == 2 * train.sources
    assert val.examples == val.sources
    variants = Counter((row["split"], row["variant"]) for row in _index(dataset))
    assert variants == {
        ("train", 0): train.sources,
        ("train", 1): train.sources,
        ("val", 0): val.sources,
    }


def test_an_empty_split_is_there_with_nothing_in_it(dataset):
    test = dataset.splits["test"]

    assert (test.examples, test.sources, test.shards) == (0, 0, ())
    assert test.class_pixels == {0: 0, 1: 0, 2: 0}


def test_shards_are_as_recorded_and_named_as_tensorflow_names_them(dataset):
    dataset.check_shards(["train", "val"])
    for name in ("train", "val"):
        shards = dataset.split(name).shards
        assert [s.file for s in shards] == [
            f"{name}-{i:05d}-of-{len(shards):05d}.tfrecord" for i in range(len(shards))
        ]
        assert [len(list(read_frames(dataset.folder / s.file))) for s in shards] == [
            s.examples for s in shards
        ]
        assert all(s.examples <= 4 for s in shards)


@pytest.mark.parametrize("split", ["train", "val"])
def test_class_pixels_add_up_over_index_split_and_stored_masks(dataset, split):
    recorded = dataset.split(split)
    rows = [row for row in _index(dataset) if row["split"] == split]
    masks = [decode_raw_mask(r.mask, LIMITS) for r in _records(dataset, split)]

    stored = {i: sum(int((mask == i).sum()) for mask in masks) for i in range(3)}
    assert recorded.class_pixels == stored
    assert {i: sum(row["class_pixels"][i] for row in rows) for i in range(3)} == stored
    assert recorded.ignored_pixels == sum(row["ignored_pixels"] for row in rows)
    assert sum(stored.values()) + recorded.ignored_pixels == recorded.examples * 6 * 8


def test_the_index_says_where_each_example_lies_and_what_it_was_made_of(dataset, sources):
    rows = _index(dataset)
    frames = {s: list(read_frames(dataset.folder / s)) for s in {row["shard"] for row in rows}}

    assert pq.read_schema(next((dataset.folder / "index").iterdir())).equals(INDEX_SCHEMA)
    for row in rows:
        record = decode_example(frames[row["shard"]][row["position"]])
        image = Path(row["image_uri"])
        assert record.source_id == row["key"] == image.stem
        assert record.filename == image.name
        assert row["mask_uri"] == str(sources / f"masks/{image.stem}.png")
        assert row["image_sha256"] == hashing.sha256_file(image)
        assert (row["source_height"], row["source_width"]) == (12, 16)
        assert (row["height"], row["width"]) == (record.height, record.width) == (6, 8)
    assert len({(row["key"], row["variant"]) for row in rows}) == len(rows)


def test_rejects_say_why(dataset, sources):
    parts = (dataset.folder / "rejects").iterdir()
    rejects = {r["key"]: r for part in parts for r in pq.read_table(part).to_pylist()}

    assert rejects["unknown"]["code"] == "unknown_label"
    assert "77" in rejects["unknown"]["message"]
    assert rejects["unknown"]["mask_uri"] == str(sources / "masks/unknown.png")
    assert rejects["lonely"]["code"] == "missing_mask"
    assert rejects["lonely"]["mask_uri"] is None


def test_the_record_lists_index_and_rejects_with_their_hashes(dataset):
    listed = {file["path"] for file in dataset.record["files"]}

    there = {p.relative_to(dataset.folder) for p in dataset.folder.glob("[ir]*/*.parquet")}
    assert listed == {str(path) for path in there}
    for file in dataset.record["files"]:
        assert hashing.sha256_file(dataset.folder / file["path"]) == file["sha256"]
    assert dataset.record["config"]["image_size"] == "6x8"
    assert dataset.record["seed"] == 0
    assert dataset.record["layout"] == "paired"


def test_every_attempt_makes_the_same_bytes(dataset, sources, tmp_path):
    again = _ingested(_job(sources), tmp_path)

    for name in ("splits", "files", "fingerprint", "sources_sha256", "inputs"):
        assert again.record[name] == dataset.record[name]


def test_other_content_has_another_fingerprint(dataset, sources, tmp_path):
    others = [
        _ingested(_job(sources, image_size="8x6"), tmp_path / "size"),
        _ingested(_job(sources, augment_copies=0), tmp_path / "copies"),
        _ingested(_job(sources), tmp_path / "split", {"train": 0.5, "test": 0.5, "val": 0.0}),
    ]

    assert len({d.fingerprint for d in (dataset, *others)}) == 4


@pytest.mark.parametrize("what", ["images/3.jpg", "masks/3.png"])
@pytest.mark.parametrize("change", ["size", "time", "gone"])
def test_a_source_that_has_changed_since_it_was_planned_is_rejected(tmp_path, what, change):
    for name, data in (("images/3.jpg", photo()), ("masks/3.png", np.zeros((12, 16), np.uint8))):
        path = tmp_path / "sources" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(encode(data, "PNG"))
    job = _job(tmp_path / "sources")
    run = _planned(job, tmp_path / "output", {"train": 1.0})
    path = tmp_path / "sources" / what
    if change == "size":
        path.write_bytes(path.read_bytes() + b"\0")
    elif change == "time":
        os.utime(path, ns=(7, 7))
    else:
        path.unlink()

    result = finish_shard(job, run, job.open(), 0)

    assert result.rejected_by_code == {"source_changed": 1}


def test_a_shard_of_rejects_alone_is_an_empty_file_that_counts_nothing(tmp_path):
    for name in ("images/3.jpg", "masks/3.png"):
        path = tmp_path / "sources" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"no picture")

    dataset = _ingested(_job(tmp_path / "sources"), tmp_path / "output", {"train": 1.0})

    (shard,) = dataset.splits["train"].shards
    assert (shard.examples, shard.bytes) == (0, 0)
    assert storage.read_json(tmp_path / "output/dataset.json")["inputs"]["rejected"] == 1


def test_a_band_with_an_unknown_value_is_rejected_with_all_its_tiles(tmp_path):
    """The value lies in the last tile, when others of its band are written already."""
    root = tmp_path / "sources"
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    for name in ("sound", "unknown"):
        mask = np.zeros((12, 16), np.uint8)
        mask[-1, -1] = 77 if name == "unknown" else 1
        (root / f"images/{name}.jpg").write_bytes(encode(photo(), "JPEG"))
        (root / f"masks/{name}.png").write_bytes(encode(mask, "PNG"))
    job = _job(root, resize="tile", image_size="6x8", augment_copies=0)

    dataset = _ingested(job, tmp_path / "output", {"train": 1.0})

    assert dataset.record["inputs"]["by_code"] == {"unknown_label": 1}
    rows = _index(dataset)
    assert [row["key"] for row in rows] == [f"sound@r000{r}c000{c}" for r in (0, 1) for c in (0, 1)]
    assert [(row["tile_top"], row["tile_left"]) for row in rows] == [(0, 0), (0, 8), (6, 0), (6, 8)]
    assert [row["position"] for row in rows] == [0, 1, 2, 3]
    assert [record.source_id for record in _records(dataset, "train")] == [r["key"] for r in rows]
    assert dataset.splits["train"].sources == 4


def test_every_tile_has_copies_of_its_own(tmp_path, sources):
    job = _job(sources, resize="tile", image_size="6x8", augment_copies=2)

    rows = _index(_ingested(job, tmp_path, {"train": 1.0}))

    assert Counter(row["variant"] for row in rows) == {0: 4 * PAIRS, 1: 4 * PAIRS, 2: 4 * PAIRS}
    assert len({(row["key"], row["variant"]) for row in rows}) == len(rows)


def test_tiles_of_one_image_are_in_one_split(tmp_path, sources):
    rows = _index(_ingested(_job(sources, resize="tile"), tmp_path))

    splits: dict[str, set[str]] = {}
    for row in rows:
        splits.setdefault(row["image_uri"], set()).add(row["split"])
    assert len(splits) == PAIRS
    assert all(len(names) == 1 for names in splits.values())
    assert set.union(*splits.values()) == {"train", "val"}


@pytest.mark.parametrize(
    ("shard_size", "copies", "split", "rows"),
    [(256, 0, "train", 256), (256, 3, "train", 64), (256, 3, "val", 256), (2, 9, "train", 1)],
)
def test_a_shard_holds_about_its_size_in_examples_with_their_copies(
    shard_size, copies, split, rows
):
    config = _job(Path(), shard_size=shard_size, augment_copies=copies).config

    assert rows_per_shard(config, split) == rows


def test_shards_are_named_by_their_place_in_the_split():
    assert shard_name(Shard(7, "val", 2, 12)) == "val-00002-of-00012.tfrecord"
