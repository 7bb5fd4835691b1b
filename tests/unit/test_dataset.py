import copy
import hashlib
import json
from pathlib import Path

import pytest

from segflow.dataset import Dataset, ShardFile
from segflow.errors import UsageError

SHARDS = {
    "train-00000-of-00002.tfrecord": b"first",
    "train-00001-of-00002.tfrecord": b"other",
    "val-00000-of-00001.tfrecord": b"validation",
}
LABEL_MAP = {"classes": [{"id": 0, "name": "sky"}, {"id": 1, "name": "road"}], "ignore_id": 255}


def _split(name: str, examples: int) -> dict:
    files = [file for file in SHARDS if file.startswith(name)]
    return {
        "examples": examples,
        "sources": examples,
        "class_pixels": {"0": 30, "1": 10},
        "ignored_pixels": 2,
        "shards": [
            {
                "file": file,
                "examples": examples // len(files),
                "bytes": len(SHARDS[file]),
                "sha256": hashlib.sha256(SHARDS[file]).hexdigest(),
            }
            for file in files
        ],
    }


RECORD = {
    "format_version": 1,
    "fingerprint": "f00d",
    "label_map": LABEL_MAP,
    "image_size": [6, 7],
    "resize": "stretch",
    "seed": 3,
    "splits": {
        "train": _split("train", 4),
        "val": _split("val", 1),
        "test": {**_split("test", 0), "class_pixels": {}, "ignored_pixels": 0},
    },
    "inputs": {"listed": 5, "accepted": 5, "rejected": 0},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, data in SHARDS.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "dataset.json").write_text(json.dumps(RECORD))
    return tmp_path


def _edit(folder: Path, *path: str | int, value: object) -> None:
    """Sets one entry of dataset.json; `...` as the value removes it."""
    record = copy.deepcopy(RECORD)
    target = record
    for key in path[:-1]:
        target = target[key]
    if value is ...:
        del target[path[-1]]
    else:
        target[path[-1]] = value
    (folder / "dataset.json").write_text(json.dumps(record))


def test_loads_what_the_record_says(folder):
    dataset = Dataset.load(str(folder))

    assert dataset.folder == folder
    assert dataset.fingerprint == "f00d"
    assert dataset.image_size == (6, 7)
    assert (dataset.resize, dataset.seed) == ("stretch", 3)
    assert dataset.label_map.names == ("sky", "road")
    assert dataset.record == RECORD
    train = dataset.split("train")
    assert (train.name, train.examples, train.sources, train.ignored_pixels) == ("train", 4, 4, 2)
    assert train.class_pixels == {0: 30, 1: 10}
    assert train.shards[0] == ShardFile(
        "train-00000-of-00002.tfrecord", 2, 5, hashlib.sha256(b"first").hexdigest()
    )


def test_shards_come_in_the_order_of_the_record_and_strangers_do_not(folder):
    (folder / "train-00002-of-00002.tfrecord").write_bytes(b"left by a dead run")

    assert Dataset.load(folder).shard_paths("train") == [
        folder / "train-00000-of-00002.tfrecord",
        folder / "train-00001-of-00002.tfrecord",
    ]


def test_keys_that_later_versions_add_do_not_matter(folder):
    _edit(folder, "splits", "train", "shards", 0, "crc", value=7)
    assert Dataset.load(folder).split("train").examples == 4


def test_a_missing_folder_and_a_folder_without_a_record_say_what_to_do(tmp_path):
    with pytest.raises(UsageError, match="does not exist; make one with 'segflow ingest'"):
        Dataset.load(tmp_path / "none")
    with pytest.raises(UsageError, match=r"holds no dataset\.json; make one"):
        Dataset.load(tmp_path)


def test_another_format_version_is_refused(folder):
    _edit(folder, "format_version", value=2)
    with pytest.raises(UsageError, match="format version 2, this segflow reads 1"):
        Dataset.load(folder)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", "null", '"dataset"', "{}", b"\xff\xfe".decode("latin-1")]
)
def test_what_is_no_record_is_one_line(folder, text):
    (folder / "dataset.json").write_text(text, encoding="latin-1")

    with pytest.raises(UsageError, match=r"dataset\.json: not a dataset record") as raised:
        Dataset.load(folder)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *(((key,), ...) for key in RECORD if key != "inputs"),
        *((("splits", "train", key), ...) for key in RECORD["splits"]["train"]),
        *((("splits", "train", "shards", 0, key), ...) for key in ShardFile.__annotations__),
        (("image_size",), [6]),
        (("image_size",), "6x7"),
        (("splits",), []),
        (("splits", "train"), None),
        (("splits", "train", "shards"), 5),
        (("splits", "train", "shards", 0), "train-00000-of-00002.tfrecord"),
        (("splits", "train", "class_pixels"), {"sky": 1}),
        (("splits", "train", "class_pixels"), [30, 10]),
        (("splits", "train", "shards", 0, "examples"), "2"),
    ],
)
def test_a_record_with_a_part_missing_or_of_another_kind_is_refused(folder, path, value):
    _edit(folder, *path, value=value)
    with pytest.raises(UsageError, match=r"not a dataset record"):
        Dataset.load(folder)


def test_a_wrong_label_map_names_the_record(folder):
    _edit(folder, "label_map", "classes", 1, "id", value=0)
    with pytest.raises(UsageError, match=r"dataset\.json: the id 0 is used twice"):
        Dataset.load(folder)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "sub/file", "", ".", ".."])
def test_a_shard_outside_the_folder_is_refused(folder, name):
    _edit(folder, "splits", "train", "shards", 0, "file", value=name)
    with pytest.raises(UsageError, match="lies outside the folder"):
        Dataset.load(folder)


def test_a_shard_that_is_a_link_out_of_the_folder_is_refused(folder, tmp_path):
    name = Dataset.load(folder).splits["train"].shards[0].file
    (folder / name).rename(folder / "elsewhere")
    (folder / name).symlink_to("elsewhere")
    linked = tmp_path / "linked"
    linked.symlink_to(folder)
    Dataset.load(linked)  # a link to the folder, and links within it, are no harm

    (folder / name).unlink()
    (folder / name).symlink_to("/etc/passwd")

    with pytest.raises(UsageError, match="lies outside the folder"):
        Dataset.load(folder)


def test_shards_must_add_up_to_the_examples(folder):
    _edit(folder, "splits", "train", "examples", value=5)
    with pytest.raises(UsageError, match="shards of 'train' do not add up"):
        Dataset.load(folder)


def test_an_unknown_split_names_the_known_ones(folder):
    with pytest.raises(UsageError, match="no split 'dev'; it has train, val, test"):
        Dataset.load(folder).split("dev")


def test_an_empty_split_is_refused(folder):
    with pytest.raises(UsageError, match="the split 'test' has no examples"):
        Dataset.load(folder).split("test")


# check_shards


def test_sound_shards_pass(folder):
    Dataset.load(folder).check_shards(["train", "val"])


def test_a_missing_shard_is_found(folder):
    (folder / "train-00001-of-00002.tfrecord").unlink()
    with pytest.raises(UsageError, match=r"train-00001-of-00002\.tfrecord: missing"):
        Dataset.load(folder).check_shards(["train"])


def test_a_cut_shard_is_found(folder):
    (folder / "train-00001-of-00002.tfrecord").write_bytes(b"oth")
    with pytest.raises(UsageError, match="3 bytes, the record says 5, so it was cut"):
        Dataset.load(folder).check_shards(["train"])


def test_a_shard_with_one_other_byte_is_found(folder):
    (folder / "train-00001-of-00002.tfrecord").write_bytes(b"othes")
    with pytest.raises(UsageError, match=r"00001-of-00002\.tfrecord: its SHA-256 is not the"):
        Dataset.load(folder).check_shards(["train"])


def test_two_swapped_shards_are_found(folder):
    first, second = Dataset.load(folder).shard_paths("train")
    first.rename(folder / "x")
    second.rename(first)
    (folder / "x").rename(second)

    with pytest.raises(UsageError, match="altered or swapped"):
        Dataset.load(folder).check_shards(["train"])


def test_only_the_splits_asked_for_are_read(folder):
    (folder / "val-00000-of-00001.tfrecord").unlink()
    Dataset.load(folder).check_shards(["train"])


def _with_pixels(folder: Path, class_pixels: dict[str, int], ignored: int) -> Dataset:
    record = copy.deepcopy(RECORD)
    for split in record["splits"].values():
        split |= {"class_pixels": class_pixels, "ignored_pixels": ignored}
    (folder / "dataset.json").write_text(json.dumps(record))
    return Dataset.load(folder)


def test_ignored_pixels_of_ingest_itself_are_not_blamed_on_the_masks(folder):
    record = copy.deepcopy(RECORD)
    for name, split in record["splits"].items():
        split |= {"class_pixels": {"0": 30}, "ignored_pixels": 10 if name == "train" else 0}
        split["sources"] = split["examples"] - (name == "train")  # one is an augmented copy
    (folder / "dataset.json").write_text(json.dumps(record))
    assert "ignored" not in Dataset.load(folder).warnings()[0]

    record = {**copy.deepcopy(RECORD), "resize": "letterbox"}
    for split in record["splits"].values():
        split |= {"class_pixels": {"0": 30}, "ignored_pixels": 10}
    (folder / "dataset.json").write_text(json.dumps(record))
    assert "ignored" not in Dataset.load(folder).warnings()[0]


def test_a_class_that_all_masks_lack_is_a_warning(folder):
    (empty,) = Dataset.load(folder).warnings()
    assert empty.startswith("warning: no example in 'test'; with few images, give larger shares")
    assert _with_pixels(folder, {"0": 30, "1": 0}, 0).warnings() == [
        "warning: no mask has a pixel of 'road'",
        empty,
    ]


def test_a_foreground_of_the_ignored_value_is_a_warning_that_says_how_to_keep_it(folder):
    line, _ = _with_pixels(folder, {"0": 30, "1": 0}, 10).warnings()
    assert "'road', and 25.0% of all pixels are ignored (ignore_id 255)" in line
    assert line.endswith('give the class "raw_ids": [255] in the label map')
