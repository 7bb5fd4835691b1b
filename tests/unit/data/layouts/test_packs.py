"""Packs: tar files, TFRecords and Parquet files that hold images and masks."""

import io
import os
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segflow.data import packs
from segflow.data.config import DecodeLimits
from segflow.data.layouts import SourcePaths, find_layout
from segflow.data.layouts.tar import Tar
from segflow.data.pair import read_source
from segflow.data.records import Record, encode_example, write_frame
from segflow.errors import RejectCode, RejectError, UsageError
from tests.unit.data.pictures import LIMITS

Sources = dict[tuple[str, str], bytes | str]


def _read(images: Path | str, limits: DecodeLimits = LIMITS) -> Sources:
    """By key and role: the bytes that a worker reads, or the code of the refusal."""
    paths = SourcePaths(str(images))
    found: Sources = {}
    for source in find_layout("auto", paths)[0].sources(paths):
        file, place = source.file, (source.key, source.role)
        assert place not in found
        if file.code is not None:
            found[place] = file.code
            continue
        try:
            planned = (file.bytes, file.mtime_ns)
            found[place] = read_source(file.path, planned, limits, source.role, file.part)
        except RejectError as error:
            found[place] = error.code
    return found


def _tar(path: Path, files: dict[str, bytes], *others: tarfile.TarInfo) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for member in others:
            archive.addfile(member)
    return path


def _member(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def _example(image: bytes, mask: bytes) -> bytes:
    record = Record(
        image=image,
        image_format="png",
        mask=mask,
        height=1,
        width=1,
        channels=3,
        filename="a.png",
        source_id="a",
    )
    return encode_example(record)


def _tfrecord(path: Path, *examples: bytes) -> Path:
    with path.open("wb") as file:
        for example in examples:
            write_frame(file, example)
    return path


def _parquet(path: Path, columns: dict[str, list[object]], rows: int = 2) -> Path:
    pq.write_table(pa.table(columns), path, row_group_size=rows)
    return path


def _structs(*values: bytes | None) -> list[object]:
    """As Hugging Face's `Image` feature stores them."""
    return [{"bytes": value, "path": None} for value in values]


def test_members_of_one_stem_are_a_pair_and_the_rest_is_left_alone(tmp_path):
    files = {
        "a/1.jpg": b"image 1",
        "a/1.json": b"{}",
        "a/1.png": b"mask 1",
        "a/2.png": b"image 2",
        "a/2.seg.png": b"mask 2",
        "a/3.JPG": b"image 3",
        "a/3.mask.tif": b"mask 3",
        "b/1.png": b"image alone",
        "b/1.cls": b"7",
    }
    assert _read(_tar(tmp_path / "p.tar", files)) == {
        ("p/a/1", "image"): b"image 1",
        ("p/a/1", "mask"): b"mask 1",
        ("p/a/2", "image"): b"image 2",
        ("p/a/2", "mask"): b"mask 2",
        ("p/a/3", "image"): b"image 3",
        ("p/a/3", "mask"): b"mask 3",
        ("p/b/1", "image"): b"image alone",
    }


def test_what_an_archive_may_not_hold_is_rejected_by_code(tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    others = (
        _member("link.png", tarfile.SYMTYPE, str(secret)),
        _member("inner.png", tarfile.SYMTYPE, "sound.jpg"),
        _member("hard.png", tarfile.LNKTYPE, "../secret.png"),
        _member("device.png", tarfile.CHRTYPE),
        _member("pipe.png", tarfile.FIFOTYPE),
        _member("folder.png", tarfile.DIRTYPE),
    )
    files = {"/etc/one.jpg": b"x", "../two.jpg": b"x", "a/../../three.jpg": b"x", "sound.jpg": b"y"}
    tar = _tar(tmp_path / "p.tar", files, *others)
    before = set(tmp_path.rglob("*"))

    assert _read(tar) == {
        ("p/etc/one", "image"): "outside_root",
        ("p/../two", "image"): "outside_root",
        ("p/a/../../three", "image"): "outside_root",
        ("p/sound", "image"): b"y",
        ("p/link", "image"): "outside_root",
        ("p/inner", "image"): "outside_root",
        ("p/hard", "image"): "outside_root",
        ("p/device", "image"): "unreadable",
        ("p/pipe", "image"): "unreadable",
    }
    assert set(tmp_path.rglob("*")) == before


def test_the_packs_of_a_folder_have_keys_and_splits_of_their_own(tmp_path):
    for name in ("train-000", "validation-000", "other"):
        _tar(tmp_path / "sub" / f"{name}.tar", {"a.jpg": name.encode()})
    paths = SourcePaths(str(tmp_path / "sub"))
    layout, why = find_layout("auto", paths)
    assert (layout.name, why) == ("tar", "its folder holds other.tar")
    splits = {source.key: source.split for source in layout.sources(paths)}
    assert splits == {"train-000/a": "train", "validation-000/a": "val", "other/a": None}
    assert set(_read(f"{tmp_path}/sub/t*.tar")) == {("rain-000/a", "image")}


@pytest.mark.parametrize("cut", [700, 1024, 1500, 2048])
def test_a_cut_archive_does_not_pass_for_a_shorter_one(tmp_path, cut):
    tar = _tar(tmp_path / "p.tar", {"a.jpg": b"a" * 500, "b.jpg": b"b" * 500})
    tar.write_bytes(tar.read_bytes()[:cut])

    assert _read(tar)["p/", "image"] == "unreadable"


@pytest.mark.parametrize(
    ("cut", "cut_off"),
    [(4096, []), (3584, []), (3200, ["p/b"]), (3072, ["p/b"]), (2600, ["p/b"]), (1024, [])],
    ids=["behind all", "in a mask", "in its header", "before it", "in an image", "in the first"],
)
def test_a_mask_before_which_an_archive_ends_is_told_from_none(tmp_path, cut, cut_off):
    names = ("a.jpg", "a.png", "b.jpg", "b.png")  # each takes 1024 bytes
    tar = _tar(tmp_path / "p.tar", {name: name.encode() * 80 for name in names})
    tar.write_bytes(tar.read_bytes()[:cut])

    found = list(Tar().sources(SourcePaths(str(tar))))

    (rest,) = (source.file for source in found if source.key == "p/")
    assert rest.message.startswith("the archive is cut off or broken: ")
    masks = {source.key: source.file for source in found if source.role == "mask"}
    assert [key for key, file in masks.items() if file.code == RejectCode.UNREADABLE] == cut_off
    for key in cut_off:
        assert masks[key].message == "cut off: the archive ends before it"


def test_a_compressed_archive_is_refused_with_advice(tmp_path):
    with tarfile.open(tmp_path / "p.tar", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("a.jpg"))
    paths = SourcePaths(str(tmp_path / "p.tar"))
    (source,) = find_layout("tar", paths)[0].sources(paths)
    assert source.file.code == RejectCode.UNREADABLE
    assert "or a compressed one: unpack it" in source.file.message


def test_a_damaged_header_does_not_end_an_archive_in_silence(tmp_path):
    tar = _tar(tmp_path / "p.tar", {"a.jpg": b"a", "b.jpg": b"b", "c.jpg": b"c"})
    data = bytearray(tar.read_bytes())
    data[1024 + 148] ^= 1  # in the checksum of the second header
    tar.write_bytes(data)

    assert _read(tar) == {("p/a", "image"): b"a", ("p/", "image"): "unreadable"}


def test_records_of_a_tfrecord_are_pairs(tmp_path):
    path = _tfrecord(tmp_path / "t.tfrecord", _example(b"i", b"m"), _example(b"j", b"n"), b"")

    assert _read(path) == {
        ("t/00000000", "image"): b"i",
        ("t/00000000", "mask"): b"m",
        ("t/00000001", "image"): b"j",
        ("t/00000001", "mask"): b"n",
        ("t/00000002", "image"): "missing_image",
        ("t/00000002", "mask"): "missing_mask",
    }


def test_a_record_that_is_damaged_costs_itself_and_a_cut_is_told(tmp_path):
    path = _tfrecord(tmp_path / "t.tfrecord", _example(b"i", b"m"), _example(b"j", b"n"))
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data[:-3])

    found = _read(path)

    assert found["t/00000000", "image"] == "unreadable"
    assert found["t/", "image"] == "unreadable"
    assert len(found) == 3


@pytest.mark.parametrize("mask", ["mask", "label", "annotation", "segmentation_mask"])
def test_rows_of_a_parquet_file_are_pairs(tmp_path, mask):
    columns = {"image": _structs(b"a", b"b", None), mask: _structs(b"x", None, b"z")}

    assert _read(_parquet(tmp_path / "train-0.parquet", columns)) == {
        ("train-0/00000000", "image"): b"a",
        ("train-0/00000000", "mask"): b"x",
        ("train-0/00000001", "image"): b"b",
        ("train-0/00000001", "mask"): "missing_mask",
        ("train-0/00000002", "image"): "missing_image",
        ("train-0/00000002", "mask"): b"z",
    }


def test_plain_bytes_and_columns_for_key_and_split(tmp_path):
    columns = {"image": [b"a", b"b"], "mask": [b"x", b"y"], "key": ["k", "l"], "split": ["u", None]}
    path = _parquet(tmp_path / "val.parquet", columns)
    paths = SourcePaths(str(path))

    assert set(_read(path)) == {(key, role) for key in "kl" for role in ("image", "mask")}
    splits = {s.key: s.split for s in find_layout("parquet", paths)[0].sources(paths)}
    assert splits == {"k": "u", "l": "val"}


@pytest.mark.parametrize("encoding", ["PLAIN", "DELTA_LENGTH_BYTE_ARRAY"])
def test_cells_of_other_encodings_are_read(tmp_path, encoding):
    path = tmp_path / "p.parquet"
    columns = {"image": _structs(b"a", b"b", None), "mask": [b"x", None, b"z"]}
    encodings = {"image.bytes": encoding, "mask": encoding}
    pq.write_table(pa.table(columns), path, use_dictionary=False, column_encoding=encodings)

    assert [_read(path)[f"p/0000000{row}", "mask"] for row in range(3)] == [
        b"x",
        "missing_mask",
        b"z",
    ]
    assert _read(path)["p/00000001", "image"] == b"b"


def test_prefixes_that_are_stored_once_are_refused(tmp_path):
    """Nothing in the file says what they weigh once they are decoded."""
    path = tmp_path / "p.parquet"
    columns = {"image": [b"a"], "mask": [b"x"]}
    pq.write_table(
        pa.table(columns), path, use_dictionary=False, column_encoding={"mask": "DELTA_BYTE_ARRAY"}
    )

    with pytest.raises(UsageError, match=r"column mask .* DELTA_BYTE_ARRAY; write the file anew"):
        _read(path)


@pytest.mark.parametrize("make", [bytes, lambda value: {"bytes": value, "path": "p"}])
def test_a_value_that_is_repeated_is_held_once(tmp_path, make):
    value = np.random.default_rng(1).bytes(100_000)
    path = tmp_path / "p.parquet"
    columns = {"image": [make(value)] * 200, "mask": [b"x"] * 200}
    pq.write_table(pa.table(columns), path, dictionary_pagesize_limit=1 << 20)
    (cell, *_) = (s for s in find_layout("auto", SourcePaths(str(path)))[0].sources(
        SourcePaths(str(path))) if s.role == "image")  # fmt: skip
    pool = pa.default_memory_pool()
    before = pool.bytes_allocated()

    assert packs.from_json(cell.file.part).read(LIMITS) == value
    assert pool.bytes_allocated() - before < 5 * len(value)


def test_threads_that_want_one_column_decode_it_once(tmp_path, monkeypatch):
    path = _parquet(tmp_path / "p.parquet", {"image": [b"a"], "mask": [b"x"]})
    cell = packs.Cell(packs.Pack(str(path), path.stat().st_size), 0, 0, "image")
    opened = []
    real = pq.ParquetFile
    monkeypatch.setattr(
        pq, "ParquetFile",
        lambda *args, **kwargs: (opened.append(1), time.sleep(0.02), real(*args, **kwargs))[2],
    )  # fmt: skip

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: cell.read(LIMITS), range(8))) == [b"a"] * 8
    assert len(opened) == 1


def test_want_of_memory_is_no_damage_of_a_file(tmp_path, monkeypatch):
    def too_much(*_: object) -> None:
        raise pa.ArrowMemoryError("realloc of size 1099511627776 failed")

    monkeypatch.setattr(packs, "_column", too_much)
    cell = packs.Cell(
        packs.Pack(str(_parquet(tmp_path / "a.parquet", {"a": [b"x"]})), 1), 0, 0, "a"
    )

    with pytest.raises(MemoryError):
        packs.read_part(cell, LIMITS)


def test_a_parquet_file_that_is_written_anew_is_read_anew(tmp_path):
    path = _parquet(tmp_path / "p.parquet", {"image": [b"a"], "mask": [b"x"]})
    cell = packs.Cell(packs.Pack(str(path), path.stat().st_size), 0, 0, "image")
    assert cell.read(LIMITS) == b"a"
    before = path.stat()

    _parquet(path, {"image": [b"b"], "mask": [b"x"]})
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))

    assert path.stat().st_size == before.st_size
    assert cell.read(LIMITS) == b"b"


def test_a_parquet_file_of_addresses_is_still_a_manifest(tmp_path):
    path = _parquet(tmp_path / "p.parquet", {"image": ["a.jpg"], "mask": ["a.png"]})

    assert find_layout("auto", SourcePaths(str(path)))[0].name == "manifest"


def test_a_parquet_file_without_masks_names_its_columns(tmp_path):
    path = _parquet(tmp_path / "p.parquet", {"image": [b"a"], "caption": ["x"]})

    with pytest.raises(UsageError, match=r"expected columns image and mask, .* found image, capt"):
        _read(path)


def test_rows_of_one_row_group_stay_together(tmp_path):
    columns = {"image": [b"a"] * 5, "mask": [b"x"] * 5}
    paths = SourcePaths(str(_parquet(tmp_path / "p.parquet", columns)))
    found = [source.near for source in find_layout("auto", paths)[0].sources(paths)]

    assert found == ["p/0"] * 4 + ["p/1"] * 4 + ["p/2"] * 2


def test_files_over_the_cap_are_refused_before_they_are_read(tmp_path):
    big = np.zeros(2000, np.uint8).tobytes()
    small = DecodeLimits(max_bytes=1000)
    packs = (
        _tar(tmp_path / "p.tar", {"a.jpg": big}),
        _tfrecord(tmp_path / "p.tfrecord", _example(big, b"")),
        _parquet(tmp_path / "p.parquet", {"image": [big], "mask": [big]}),
    )
    for pack in packs:
        assert set(_read(pack, small).values()) == {"too_large"}


def test_a_pack_that_has_changed_since_it_was_listed_is_refused(tmp_path):
    pack = _tar(tmp_path / "p.tar", {"a.jpg": b"a"})
    paths = SourcePaths(str(pack))
    (source,) = find_layout("tar", paths)[0].sources(paths)
    with pack.open("ab") as file:
        file.write(b"more")

    with pytest.raises(RejectError, match="image: changed since it was listed") as caught:
        planned = (source.file.bytes, source.file.mtime_ns)
        read_source(source.file.path, planned, LIMITS, "image", source.file.part)
    assert caught.value.code == RejectCode.SOURCE_CHANGED


def test_masks_of_another_place_or_no_packs_are_told(tmp_path):
    with pytest.raises(UsageError, match="masks lie in the packs beside their images"):
        list(find_layout("tar", SourcePaths("p.tar", "m"))[0].sources(SourcePaths("p.tar", "m")))
    paths = SourcePaths(str(tmp_path))
    with pytest.raises(UsageError, match=r"no files that end in \.tar; expected some"):
        list(find_layout("tar", paths)[0].sources(paths))
