"""Copies of images, out of packs and under the names that they get."""

import hashlib
from pathlib import Path

import pytest

from segflow.data import packs
from segflow.data.config import DecodeLimits
from segflow.errors import RejectCode, RejectError
from segflow.export.pictures import Pictures
from segflow.export.rows import Row

LIMITS = {"run": DecodeLimits()}


def _row(uri: str, data: bytes, part: str | None = None) -> Row:
    stored = {"image_sha256": hashlib.sha256(data).hexdigest(), "image_part": part}
    return Row(1, "street/1", uri, "run", "part", stored)


@pytest.mark.parametrize("placing", ["copy", "link"])
def test_an_image_in_a_pack_is_copied_out_of_it(tmp_path, placing):
    pack = tmp_path / "photos.tar"
    pack.write_bytes(b"before" + b"picture" + b"behind")
    part = packs.to_json(packs.Span(packs.Pack(str(pack), 19), 6, 7))
    pictures = Pictures(tmp_path / "tree", "images", placing, LIMITS)

    assert pictures.place(_row(f"{pack}/1.JPG", b"picture", part)) == "images/street/1.jpg"

    assert (tmp_path / "tree/images/street/1.jpg").read_bytes() == b"picture"


def test_what_is_not_asked_for_stays_where_it_is(tmp_path):
    assert Pictures(tmp_path, "images", None, LIMITS).place(_row("nowhere", b"")) is None
    assert list(tmp_path.iterdir()) == []


def test_a_changed_image_leaves_no_copy(tmp_path):
    (tmp_path / "1.jpg").write_bytes(b"another")
    pictures = Pictures(tmp_path / "tree", "images", "copy", LIMITS)
    with pytest.raises(RejectError) as error:
        pictures.place(_row(str(tmp_path / "1.jpg"), b"picture"))
    assert error.value.code == RejectCode.SOURCE_CHANGED
    assert [path for path in Path(tmp_path / "tree").rglob("*") if path.is_file()] == []


def test_the_caps_of_the_run_count(tmp_path):
    pack = tmp_path / "photos.tar"
    pack.write_bytes(b"picture")
    row = _row("1.jpg", b"picture", packs.to_json(packs.Span(packs.Pack(str(pack), 7), 0, 7)))
    small = {"run": DecodeLimits(max_bytes=6)}
    with pytest.raises(RejectError) as error:
        Pictures(tmp_path / "small", "images", "copy", small).place(row)
    assert error.value.code == RejectCode.TOO_LARGE
    assert (
        Pictures(tmp_path / "large", "images", "copy", LIMITS).place(row) == "images/street/1.jpg"
    )
