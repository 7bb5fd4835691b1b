"""Manifests: three file kinds, addresses, and what must not be read."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segflow.data.layouts import SourcePaths, find_layout
from segflow.data.layouts.manifest import Manifest
from segflow.data.planning import PairPlan
from segflow.errors import UsageError
from tests.unit.data.layouts import trees

ROWS = [
    {"image": "photos/a.png", "mask": "masks/a.png", "key": "first", "split": "val", "note": "x"},
    {"image": "photos/b.png", "mask": "masks/b.png", "key": None, "split": None, "note": "y"},
    {"image": "photos/c.png", "mask": None, "key": None, "split": "holdout", "note": "z"},
]


def _csv(rows):
    lines = [",".join(rows[0]), *(",".join(v or "" for v in row.values()) for row in rows)]
    return "\n".join(lines) + "\n"


def _list(folder, kind, rows=ROWS):
    folder.mkdir(exist_ok=True)
    path = folder / f"list.{kind}"
    if kind == "csv":
        path.write_text(_csv(rows))
    elif kind == "jsonl":
        path.write_text("\n".join(json.dumps({k: v for k, v in r.items() if v}) for r in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def _codes(paths, tmp_path):
    (tmp_path / "out").mkdir(exist_ok=True)
    return {row["key"]: row["code"] for row in trees.plan(Manifest(), paths, tmp_path / "out")}


@pytest.fixture
def data(tmp_path):
    names = [f"{kind}/{name}.png" for kind in ("photos", "masks") for name in "abc"]
    return trees.draw(tmp_path / "data", tuple(names))


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_column_names_the_groups(data, tmp_path, kind):
    rows = [{**row, "group": group} for row, group in zip(ROWS, ("p1", "p1", None), strict=True)]
    (tmp_path / "out").mkdir()

    found = trees.plan(Manifest(), SourcePaths(str(_list(data, kind, rows))), tmp_path / "out")

    assert {row["key"]: row["group"] for row in found} == {
        "first": "p1",
        "photos/b": "p1",
        "photos/c": None,
    }


def test_what_has_no_split_goes_where_its_group_is(tmp_path):
    names = [f"{kind}/{i}.png" for kind in ("photos", "masks") for i in range(40)]
    data = trees.draw(tmp_path / "data", tuple(names))
    rows = [
        {
            **{"image": f"photos/{i}.png", "mask": f"masks/{i}.png", "group": f"g{i % 10}"},
            "split": "val" if i < 10 else None,
        }
        for i in range(40)
    ]
    (tmp_path / "out").mkdir()
    planned = PairPlan(
        layout=Manifest(),
        paths=SourcePaths(str(_list(data, "jsonl", rows))),
        seed=0,
        shares={"train": 0.5, "val": 0.5},
        rows_per_shard=lambda _: 100,
    )(tmp_path / "out")

    assert planned.summary.groups == {"val": 1}


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_column_gives_the_ground_resolution(data, tmp_path, kind):
    metres = ("0.25", "", "10") if kind == "csv" else (0.25, None, 10.0)
    rows = [{**row, "ground_resolution": m} for row, m in zip(ROWS, metres, strict=True)]
    (tmp_path / "out").mkdir()

    found = trees.plan(Manifest(), SourcePaths(str(_list(data, kind, rows))), tmp_path / "out")

    assert {row["key"]: row["ground_resolution"] for row in found} == {
        "first": 0.25,
        "photos/b": None,
        "photos/c": 10.0,
    }


@pytest.mark.parametrize("metres", ["0", -1, "wide", "nan", "inf", [1]])
def test_a_ground_resolution_that_is_none_is_told(data, metres):
    rows = [{**row, "ground_resolution": metres} for row in ROWS]

    with pytest.raises(UsageError, match="row 1: ground_resolution must be metres a pixel, 1e-09"):
        list(Manifest().sources(SourcePaths(str(_list(data, "jsonl", rows)))))


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_the_three_kinds_say_the_same(data, tmp_path, kind):
    paths = SourcePaths(str(_list(data, kind)))
    (tmp_path / "out").mkdir()

    rows = {row["key"]: row for row in trees.plan(Manifest(), paths, tmp_path / "out")}

    assert {key: row["split"] for key, row in rows.items()} == {
        "first": "val",
        "photos/b": "train",  # by hash: the row has none
        "photos/c": "holdout",
    }
    assert rows["first"]["image_uri"] == str(data / "photos/a.png")
    assert rows["first"]["mask_uri"] == str(data / "masks/a.png")
    assert [rows[key]["code"] for key in rows] == [
        {"photos/c": "missing_mask"}.get(key) for key in rows
    ]


def test_entries_are_relative_to_the_root_that_is_given(data, tmp_path):
    path = _list(tmp_path / "elsewhere", "csv")
    assert set(_codes(SourcePaths(str(path)), tmp_path).values()) == {"missing_image"}
    assert _codes(SourcePaths(str(path), None, str(data)), tmp_path) == {
        "first": None, "photos/b": None, "photos/c": "missing_mask"
    }  # fmt: skip


def test_absolute_entries_are_taken_as_written_and_keys_depend_on_no_place(data, tmp_path):
    rows = [{"image": str(data / "photos/a.png"), "mask": str(data / "masks/a.png")}]
    inside, elsewhere = _list(data, "csv", rows), _list(tmp_path / "elsewhere", "csv", rows)

    assert _codes(SourcePaths(str(inside)), tmp_path) == {"photos/a": None}
    assert _codes(SourcePaths(str(elsewhere)), tmp_path) == {
        str(data / "photos/a").lstrip("/"): None
    }


def test_nothing_outside_is_read(data, tmp_path):
    secret = trees.draw(tmp_path, ("secret.png",)) / "secret.png"
    (data / "photos/link.png").symlink_to(secret)
    (data / "folder").symlink_to(tmp_path)
    (data / "photos/inside.png").symlink_to(data / "photos/a.png")
    images = {
        "up": "../secret.png",
        "deep": "photos/../../secret.png",
        "link": "photos/link.png",
        "folder": "folder/secret.png",
        "absolute": str(secret),
        "lexical": f"{data}/../secret.png",
        "inside": "photos/inside.png",
        "back": "photos/../photos/b.png",
        "here": str(data / "photos/c.png"),
    }
    rows = [{"image": i, "mask": "masks/a.png", "key": key} for key, i in images.items()]
    path = _list(data, "jsonl", rows)

    confined = _codes(SourcePaths(str(path), None, str(data)), tmp_path)
    free = _codes(SourcePaths(str(path)), tmp_path)

    inside = {"inside": None, "back": None, "here": None}
    assert confined == dict.fromkeys(images, "outside_root") | inside
    assert free == confined | {"absolute": None, "lexical": None}


def test_a_mask_outside_is_refused_too(data, tmp_path):
    path = _list(data, "csv", [{"image": "photos/a.png", "mask": "../secret.png"},
                               {"image": "photos/b.png", "mask": "masks/b.png"}])  # fmt: skip
    assert _codes(SourcePaths(str(path)), tmp_path)["photos/a"] == "outside_root"


@pytest.mark.parametrize("name", ["photos/\0.png", "photos/\ud800.png"])
def test_a_name_that_no_file_can_have_is_unreadable(data, tmp_path, name):
    rows = [{"image": name, "mask": "masks/a.png", "key": "k"}, ROWS[0]]
    assert _codes(SourcePaths(str(_list(data, "jsonl", rows))), tmp_path)["k"] == "unreadable"


def test_one_image_in_two_rows_is_a_duplicate(data, tmp_path):
    rows = [{"image": "photos/a.png", "mask": f"masks/{m}.png"} for m in "ab"]
    assert _codes(SourcePaths(str(_list(data, "csv", rows))), tmp_path) == {
        "photos/a": "duplicate_key"
    }


@pytest.mark.parametrize(
    ("kind", "text", "why"),
    [
        ("csv", "", r"has no column 'image'.*found nothing"),
        ("csv", "image,label\na,b\n", "has no column 'mask'; .* found image, label"),
        ("csv", "image,mask\n,\n", "row 1 names neither"),
        ("jsonl", '{"image": "a", "mask": "b"}\n{oops\n', "line 2: not valid JSON"),
        ("jsonl", "[1]\n", "line 1: expected an object"),
        ("jsonl", '{"image": 3, "mask": "b"}\n', "row 1: image must be a string, found 3"),
        ("jsonl", "[" * 100_000, "manifest .*cannot be read"),
        ("parquet", "no parquet", "cannot be read"),
    ],
)
def test_a_broken_list_is_a_usage_error_that_names_the_place(tmp_path, kind, text, why):
    path = trees.write(tmp_path / f"list.{kind}", text)
    with pytest.raises(UsageError, match=why):
        list(Manifest().sources(SourcePaths(str(path))))


def test_a_split_that_would_lead_elsewhere_as_a_files_name_is_refused(data, tmp_path):
    path = _list(data, "jsonl", [ROWS[0] | {"split": "../../evil"}])
    with pytest.raises(UsageError, match=r"a split is called '\.\./\.\./evil'"):
        _codes(SourcePaths(str(path)), tmp_path)


def test_auto_recognises_the_file_and_a_folder_is_no_manifest(data, tmp_path):
    layout, why = find_layout("auto", SourcePaths(str(_list(data, "jsonl"))))
    assert (layout.name, why) == ("manifest", "--images is a JSONL file")
    with pytest.raises(UsageError, match=r"expected --images LIST\.csv"):
        list(Manifest().sources(SourcePaths(str(tmp_path))))
    with pytest.raises(UsageError, match=r"--root .*no such folder"):
        list(Manifest().sources(SourcePaths(str(_list(data, "csv")), None, str(tmp_path / "no"))))
