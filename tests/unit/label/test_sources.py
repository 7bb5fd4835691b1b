"""What `--images` may be: folders, globs, lists and packs, and what is said of each."""

import dataclasses
import io
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from segflow.compare.command import compare
from segflow.compare.config import CompareConfig
from segflow.errors import RejectCode, UsageError
from segflow.label.sources import find_source
from segflow.report import draw as draw_report
from segflow.verify import verify
from tests.unit.label.batches import Labels, draw, png
from tests.unit.label.packed import write_parquet, write_tar, write_tfrecord


def _list(folder: Path, kind: str, rows: list[dict[str, object]]) -> Path:
    path = folder / f"list.{kind}"
    if kind == "csv":
        lines = [",".join(rows[0])]
        lines += [",".join("" if v is None else str(v) for v in row.values()) for row in rows]
        path.write_text("\n".join(lines) + "\n")
    elif kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def _pack(path: Path, pictures: list[bytes]) -> Path:
    writers = {".tar": _write_named, ".parquet": write_parquet, ".tfrecord": write_tfrecord}
    return writers[path.suffix](path, pictures)


def _write_named(path: Path, pictures: list[bytes]) -> Path:
    return write_tar(path, {f"{number:08d}.png": data for number, data in enumerate(pictures)})


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """A folder of each kind."""
    draw(tmp_path / "photos/a.png")
    write_tar(tmp_path / "photos/beside.tar", {"b.png": png()})
    (tmp_path / "empty").mkdir()
    _list(tmp_path, "csv", [{"image": "photos/a.png"}])
    pq.write_table(pa.table({"image": ["photos/a.png"]}), tmp_path / "names.parquet")
    for kind in ("tar", "parquet", "tfrecord"):
        _pack(tmp_path / f"{kind}s/sub/one.{kind}", [png()])
    return tmp_path


@pytest.mark.parametrize(
    ("images", "kind", "why"),
    [
        ("photos", "folder", "--images is a folder of files"),
        ("empty", "folder", "--images is a folder of files"),
        ("pho*/*.png", "glob", "--images has wildcards"),
        ("list.csv", "list", "--images is a CSV file"),
        ("names.parquet", "list", "--images is a PARQUET file"),
        ("tars", "tar", "its folder holds one.tar"),
        ("tars/sub/one.tar", "tar", "--images is a tar file"),
        ("tars/**/*.tar", "tar", "--images names tar files"),
        ("photos/*.tar", "tar", "--images names tar files"),
        ("parquets", "parquet", "its folder holds one.parquet"),
        (
            "parquets/sub/one.parquet",
            "parquet",
            "--images is a parquet file, and its column image holds bytes",
        ),
        ("tfrecords", "tfrecord", "its folder holds one.tfrecord"),
        ("tfrecords/sub/*.tfrecord", "tfrecord", "--images names tfrecord files"),
    ],
)
def test_the_kind_is_recognised_and_said(places, images, kind, why):
    found = find_source(str(places / images))

    assert (found.kind, found.why) == (kind, why)
    assert images == "empty" or len(list(found.images())) == 1


@pytest.mark.parametrize(
    ("images", "root", "why"),
    [
        ("nothing", None, "no such folder; expected a folder or a glob"),
        ("notes.doc", None, r"is a file; expected a folder, a glob, a list \(\.csv, .* a pack"),
        ("photos", "photos", r"--root .* is no list \(folder: --images is a folder of files\)"),
        ("both", None, r"several kinds lie in it \(a\.tar, b\.tfrecord\); .*both/\*\*/\*\.tar'"),
    ],
)
def test_what_is_no_source_is_one_clear_line(places, images, root, why):
    (places / "notes.doc").write_text("x")
    _pack(places / "both/a.tar", [png()])
    _pack(places / "both/b.tfrecord", [png()])

    with pytest.raises(UsageError, match=why) as caught:
        find_source(str(places / images), root and str(places / root))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("l.csv", "path,key\na,b\n", "no column 'image'; .* key, group, ground_resolution; found"),
        ("l.csv", "image\n", "no images found"),
        ("l.csv", "", "no column 'image'.*found nothing"),
        ("l.jsonl", "", "no images found"),
        ("l.jsonl", '{"image": "a.png"}\n{"image": ""}\n', "row 2 names no image"),
        ("l.jsonl", '{"image": "a.png"}\n{', "line 2: not valid JSON"),
        ("l.csv", "image,ground_resolution\na.png,-1\n", "row 1: ground_resolution must be"),
        ("l.csv", "image,ground_resolution\na.png,1e7\n", "row 1: ground_resolution must be"),
        ("l.parquet", "no parquet", "list .*cannot be read"),
        ("l.txt", "a.png", "is a file; expected"),
    ],
)
def test_a_bad_list_ends_the_command_before_any_work(labels, name, text, why):
    draw(labels.images / "a.png")
    path = labels.images / name
    path.write_text(text)

    with pytest.raises(UsageError, match=why) as caught:
        labels.label(images=str(path))

    assert "\n" not in str(caught.value)
    assert list((labels.output / "_runs").glob("2*")) == []


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_the_images_of_a_list_have_what_it_says_of_them(labels, kind):
    for name in ("a.png", "sub/b.png", "not listed.png"):
        draw(labels.images / name)
    rows = [
        {"image": "a.png", "key": "first", "group": "g1", "ground_resolution": 0.5, "note": "x"},
        {"image": "sub/b.png", "key": None, "group": None, "ground_resolution": None, "note": "y"},
    ]

    record = labels.label(images=str(_list(labels.images, kind, rows)))

    assert labels.told == [f"source list: --images is a {kind.upper()} file"]
    assert labels.current('key, "group", ground_resolution, image_part') == [
        ("a.png", "first", "g1", 0.5, None),
        ("sub/b.png", "sub/b", None, None, None),
    ]
    assert record["inputs"]["listed"] == 2


def test_entries_of_a_list_are_confined_as_those_of_manifests(labels, tmp_path):
    draw(labels.images / "a.png")
    secret = draw(tmp_path / "secret.png")
    (labels.images / "link.png").symlink_to(secret)
    rows = [{"image": name} for name in ("a.png", "../secret.png", "link.png", str(secret), "no")]
    path = str(_list(labels.images, "jsonl", rows))

    free = labels.label(images=path)["inputs"]
    confined = dataclasses.replace(labels, output=tmp_path / "confined")
    codes = confined.label(images=path, root=str(labels.images))["inputs"]["by_code"]

    assert (free["accepted"], free["by_code"]) == (2, {"missing_image": 1, "outside_root": 2})
    assert codes == {"missing_image": 1, "outside_root": 3}


def test_entries_are_relative_to_the_root_that_is_given(labels, tmp_path):
    draw(labels.images / "a.png")
    path = _list(tmp_path, "jsonl", [{"image": "a.png"}])

    record = labels.label(images=str(path), root=str(labels.images))

    assert labels.current("key") == [("a.png", "a")]
    assert record["config"]["root"] == str(labels.images)


def test_an_address_that_is_listed_twice_is_refused_until_it_is_listed_once(labels):
    draw(labels.images / "a.png")
    draw(labels.images / "b.png")
    rows = [{"image": "a.png", "key": "x"}, {"image": "a.png", "key": "y"}, {"image": "b.png"}]
    path = str(_list(labels.images, "jsonl", rows))

    inputs = labels.label(images=path)["inputs"]

    assert inputs == {
        "listed": 3,
        "accepted": 1,
        "rejected": 2,
        "by_code": {"duplicate_key": 2},
    }
    assert labels.label(images=path) is None
    _list(labels.images, "jsonl", rows[1:])
    assert set(labels.planned(labels.label(images=path))) == {"a.png"}
    assert labels.current("key") == [("a.png", "y"), ("b.png", "b")]
    assert labels.label(images=path) is None


def test_what_a_list_leaves_out_later_is_gone_and_what_it_adds_is_new(labels):
    for name in "abc":
        draw(labels.images / f"{name}.png")
    rows = [{"image": f"{name}.png"} for name in "abc"]
    path = str(_list(labels.images, "jsonl", rows[:2]))
    labels.label(images=path)
    _list(labels.images, "jsonl", rows[1:])

    record = labels.label(images=path)

    assert set(labels.planned(record)) == {"c.png"}
    assert labels.gone(record) == [str(labels.images / "a.png")]


def test_an_image_that_two_lists_name_is_not_lost_when_one_drops_it(labels):
    draw(labels.images / "a.png")
    draw(labels.images / "b.png")
    ours, theirs = (labels.images / f"{name}.jsonl" for name in ("ours", "theirs"))
    theirs.write_text('{"image": "a.png"}')
    ours.write_text('{"image": "a.png"}\n{"image": "b.png"}')
    labels.label(images=str(ours))
    assert labels.label(images=str(theirs)) is None
    ours.write_text('{"image": "b.png"}')

    assert labels.gone(labels.label(images=str(ours))) == [str(labels.images / "a.png")]
    assert set(labels.planned(labels.label(images=str(theirs)))) == {"a.png"}  # now it is theirs
    for _ in range(2):
        assert [labels.label(images=str(path)) for path in (ours, theirs)] == [None, None]
    assert [name for name, _ in labels.current("run")] == ["a.png", "b.png"]


def test_another_ground_resolution_in_a_list_is_a_change(labels):
    for name in "ab":
        draw(labels.images / f"{name}.png")
    rows = [{"image": f"{name}.png", "ground_resolution": 2.0} for name in "ab"]
    path = str(_list(labels.images, "jsonl", rows))
    labels.label(images=path)
    assert labels.label(images=path) is None
    rows[1]["ground_resolution"] = 3.0
    _list(labels.images, "jsonl", rows)

    assert set(labels.planned(labels.label(images=path))) == {"b.png"}
    assert labels.current("ground_resolution") == [("a.png", 2.0), ("b.png", 3.0)]
    assert labels.label() is None  # the folder says nothing of it


def test_one_file_that_a_list_spells_in_two_ways_is_listed_twice(labels):
    for name in ("a.png", "sub/b.png", "other/deep/c.png", "other/c.png", "c.png"):
        draw(labels.images / name)
    (labels.images / "link").symlink_to(labels.images / "other/deep")
    # After a link, `..` is the folder above what it points to: two files and not one.
    images = ("a.png", "sub/../a.png", "sub//./b.png", "link/../c.png", "c.png")
    path = _list(labels.images, "jsonl", [{"image": image} for image in images])

    assert labels.label(images=str(path))["inputs"]["by_code"] == {RejectCode.DUPLICATE_KEY: 2}
    assert [name for name, _ in labels.current("run")] == ["c.png", "link/../c.png", "sub/b.png"]


def test_a_ground_resolution_that_its_list_drops_is_a_change(labels):
    draw(labels.images / "a.png")
    row = {"image": "a.png", "ground_resolution": 2.0}
    path = str(_list(labels.images, "jsonl", [row]))
    labels.label(images=path)
    _list(labels.images, "jsonl", [{"image": "a.png"}])

    assert set(labels.planned(labels.label(images=path))) == {"a.png"}
    assert labels.current("ground_resolution") == [("a.png", None)]
    assert labels.label(images=path) is None


def test_an_address_of_two_ground_resolutions_is_refused_once(labels):
    draw(labels.images / "a.png")
    draw(labels.images / "b.png")
    rows = [{"image": "a.png", "ground_resolution": 1.0 + n} for n in range(2)]
    path = str(_list(labels.images, "jsonl", [*rows, {"image": "b.png"}]))

    assert labels.label(images=path)["inputs"]["by_code"] == {RejectCode.DUPLICATE_KEY: 2}
    assert labels.label(images=path) is None


def test_another_time_and_resolution_at_once_are_one_change(labels):
    """By hash: bytes that are known are no reason to leave the image out, or to note it twice."""
    path = draw(labels.images / "a.png")
    row = {"image": "a.png", "ground_resolution": 2.0}
    listing = str(_list(labels.images, "jsonl", [row]))
    labels.label(images=listing)
    os.utime(path, ns=(5, 5))
    _list(labels.images, "jsonl", [row | {"ground_resolution": 3.0}])

    record = labels.label(images=listing, detect_changes="hash")

    assert set(labels.planned(record)) == {"a.png"}
    assert labels.label(images=listing, detect_changes="hash") is None
    assert labels.label(images=listing) is None
    assert labels.current("ground_resolution") == [("a.png", 3.0)]


def test_a_key_that_no_file_can_store_is_mended(labels):
    draw(labels.images / "a.png")
    path = labels.images / "list.jsonl"
    path.write_text('{"image": "a.png", "key": "\\ud800", "group": "\\ud800g"}')

    labels.label(images=str(path))

    assert labels.current('key, "group"') == [("a.png", "?", "?g")]


@pytest.mark.parametrize("kind", ["tar", "parquet", "tfrecord"])
def test_the_images_of_a_pack_are_labelled_and_told_apart(labels, tmp_path, kind):
    pictures = [png(1 + number % 2, (2, 3 + number)) for number in range(5)]
    pack = _pack(tmp_path / f"p.{kind}", pictures)
    packed = dataclasses.replace(labels, images=pack)

    record = packed.label()

    name = "{:08d}.png" if kind == "tar" else "{:08d}"
    expected = [(name.format(n), f"p/{n:08d}", 3 + n) for n in range(5)]
    assert packed.current("key, width") == expected
    areas = {(uri, c): n for uri, c, n in packed.current("class_id, pixels", "current_areas")}
    assert areas == {
        (name.format(n), c): pixels
        for n in range(5)
        for c, pixels in ((0, 1), (1 + n % 2, 2 * (3 + n) - 1))
    }
    parts = [json.loads(part) for _, part in packed.current("image_part")]
    assert {part["pack"]["path"] for part in parts} == {str(pack)}
    assert record["inputs"]["listed"] == 5
    assert packed.label() is None


@pytest.mark.parametrize("kind", ["tar", "parquet", "tfrecord"])
def test_a_pack_that_changed_makes_its_images_new_and_none_of_them_gone(labels, tmp_path, kind):
    pack = _pack(tmp_path / f"p.{kind}", [png(1)] * 3)
    other = _pack(tmp_path / f"q.{kind}", [png(1)])
    packed = dataclasses.replace(labels, images=tmp_path)
    packed.label(images=f"{tmp_path}/*.{kind}")
    _pack(pack, [png(2)] * 4)

    record = packed.label(images=f"{tmp_path}/*.{kind}")

    assert record["gone"] == 0
    assert len(packed.planned(record)) == 4
    current = packed.current("class_id", "current_areas")
    assert len(packed.current("run")) == 5
    assert {c for uri, c in current if uri.startswith(pack.name)} == {0, 2}
    assert {c for uri, c in current if uri.startswith(other.name)} == {0, 1}

    _pack(pack, [png(2)] * 3)
    assert packed.label(images=f"{tmp_path}/*.{kind}")["gone"] == 1
    assert len(packed.current("run")) == 4


def test_a_name_that_comes_twice_in_a_pack_is_refused(labels, tmp_path):
    members = [("a.png", png(1)), ("b.png", png(1)), ("a.png", png(2))]
    packed = dataclasses.replace(labels, images=write_tar(tmp_path / "p.tar", members))

    inputs = packed.label()["inputs"]

    assert inputs["by_code"] == {RejectCode.DUPLICATE_KEY: 2}
    assert packed.current("height") == [("b.png", 2)]


def test_masks_in_a_pack_are_left_alone(labels, tmp_path):
    names = ("a.jpg", "a.png", "b.png", "b.mask.png", "c.png", "c.json")
    packed = dataclasses.replace(
        labels, images=write_tar(tmp_path / "p.tar", dict.fromkeys(names, png()))
    )
    packed.label()

    assert [name for name, _ in packed.current("run")] == ["a.jpg", "b.png", "c.png"]


def test_packs_keep_row_groups_together(labels, tmp_path):
    """A worker reads a column of a row group at once."""
    packed = dataclasses.replace(
        labels, images=write_parquet(tmp_path / "p.parquet", [png()] * 20, rows=4)
    )

    rows = packed.planned(packed.label(shard_size=4)).values()

    groups = [json.loads(row["image_part"])["row_group"] for row in rows]
    assert len([i for i in range(1, 20) if groups[i] != groups[i - 1]]) == 4


def test_a_broken_pack_costs_itself(labels, tmp_path):
    write_tar(tmp_path / "packs/a.tar", {"x.png": png()})
    (tmp_path / "packs/b.tar").write_bytes(b"no tar" * 200)
    packed = Labels(tmp_path / "packs", labels.output)

    record = packed.label()

    assert record["inputs"]["by_code"] == {"unreadable": 1}
    assert packed.current("width") == [("a.tar/x.png", 3)]


def test_verify_compare_and_report_know_the_images_of_packs(labels, tmp_path):
    """One of the two folders after the pack has grown: its images keep their addresses."""
    pack = _pack(tmp_path / "p.tar", [png(1, (2, 3 + n)) for n in range(3)])
    sides = [Labels(pack, tmp_path / name) for name in ("before", "after")]
    sides[0].label()
    _pack(pack, [png(1, (2, 3 + n)) for n in range(4)])
    for side in sides:
        side.label()

    changes = compare(CompareConfig(*(str(s.output) for s in sides)), Console(file=io.StringIO()))
    page = draw_report(sides[0].output).read_text(encoding="utf-8")

    assert [verify(side.output) for side in sides] == [("labels", [])] * 2
    assert changes["images"]["compared"] == 4
    assert changes["changed_pixels"] == 0
    assert page.count(f"{pack}/0000000") >= 4
    assert "its labels still hold" not in page
    assert "<dt>Images labelled</dt><dd>4<" in page
