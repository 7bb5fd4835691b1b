"""Several annotators of one image: the majority against a count of every pixel; what is planned."""

import os
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from segflow.data import pairing
from segflow.data.annotators import majority
from segflow.data.config import DecodeLimits
from segflow.data.layouts import Layout, SourcePaths
from segflow.data.layouts.manifest import Manifest
from segflow.data.layouts.paired import Paired
from segflow.data.pair import read_mask
from segflow.data.planning import PairPlan
from segflow.errors import RejectCode, RejectError, UsageError
from segflow.label_map import LabelClass, LabelMap
from tests.unit.data.pictures import encode, photo

LABELS = LabelMap(tuple(LabelClass(i, f"c{i}") for i in range(4)), 9)
DEEP = LabelMap(tuple(LabelClass(i, f"c{i}") for i in range(300)), 65535)


def _counted(votes: list[int], label_map: LabelMap) -> int:
    counts = Counter(vote for vote in votes if vote != label_map.ignore_id)
    best = [vote for vote, count in counts.items() if count == max(counts.values())]
    return best[0] if len(best) == 1 else label_map.ignore_id


@st.composite
def _masks(draw: st.DrawFn, label_map: LabelMap, ids: list[int]) -> list[np.ndarray]:
    shape = draw(array_shapes(min_dims=2, max_dims=2, max_side=5))
    of_ids = arrays(label_map.dtype, shape, elements=st.sampled_from(ids))
    return draw(st.lists(of_ids, min_size=1, max_size=7))


@pytest.mark.parametrize(("label_map", "ids"), [(LABELS, [0, 1, 2, 3, 9]), (DEEP, [0, 299, 65535])])
@given(data=st.data())
def test_every_pixel_is_what_most_annotators_chose(label_map, ids, data):
    masks = data.draw(_masks(label_map, ids))

    chosen = majority(masks, label_map)

    assert chosen.dtype == label_map.dtype
    for place in np.ndindex(chosen.shape):
        assert chosen[place] == _counted([int(mask[place]) for mask in masks], label_map)


@given(masks=_masks(LABELS, [0, 1, 2, 3, 9]))
def test_the_order_of_annotators_does_not_matter(masks):
    assert np.array_equal(majority(masks, LABELS), majority(masks[::-1], LABELS))


def _draw(root: Path, *votes: np.ndarray) -> Path:
    (root / "images").mkdir(parents=True)
    (root / "images/a.png").write_bytes(encode(photo(2, 3), "PNG"))
    for number, mask in enumerate(votes):
        folder = root / f"masks/by{number}"
        folder.mkdir(parents=True)
        (folder / "a.png").write_bytes(encode(mask, "PNG"))
    return root


VOTES = [np.array(ids, np.uint8) for ids in ([[0, 1, 9], [9, 3, 0]], [[0, 2, 9], [9, 3, 1]])]
LAST = np.array([[1, 2, 9], [2, 0, 2]], np.uint8)
CHOSEN = [[0, 2, 9], [2, 3, 9]]


def _rows(root: Path, annotators: str | None, layout: Layout, paths: SourcePaths) -> list[dict]:
    plan = PairPlan(layout, paths, 0, {"train": 1.0}, lambda _: 10, annotators=annotators)
    folder = root / f"run-{len(list(root.iterdir()))}"
    folder.mkdir()
    plan(folder)
    return [
        row for p in sorted((folder / "plan").iterdir()) for row in pq.read_table(p).to_pylist()
    ]


def _by_pattern(root: Path, annotators: str | None) -> list[dict]:
    places = (str(root / name) for name in ("images", "masks"))
    return _rows(root, annotators, Paired(), SourcePaths(*places, mask_pattern=r"by\d/(.+)"))


def _by_manifest(root: Path, annotators: str | None, *masks: str) -> list[dict]:
    lines = ["image,mask", *(f"images/a.png,masks/{mask}/a.png" for mask in masks)]
    (root / "list.csv").write_text("\n".join(lines))
    return _rows(root, annotators, Manifest(), SourcePaths(str(root / "list.csv")))


def _ids(row: dict) -> list:
    return read_mask(row, (2, 3), LABELS, DecodeLimits()).tolist()


@pytest.mark.parametrize("is_listed", [True, False], ids=["manifest", "pattern"])
def test_several_masks_are_read_as_asked_for(tmp_path, is_listed):
    root = _draw(tmp_path, *VOTES, LAST)

    def plan(annotators: str | None) -> list[dict]:
        if is_listed:
            return _by_manifest(root, annotators, "by2", "by0", "by1")
        return _by_pattern(root, annotators)

    assert {row["code"] for row in plan(None)} == {"duplicate_key"}
    ((first,), (most,)) = plan("first"), plan("majority")
    assert (first["code"], first["mask_uris"], _ids(first)) == (None, None, VOTES[0].tolist())
    assert (most["code"], _ids(most)) == (None, CHOSEN)
    assert most["mask_uris"] == [str(root / f"masks/by{i}/a.png") for i in range(3)]
    assert first["mask_uri"] == most["mask_uri"] == most["mask_uris"][0]
    in_index = {name: most[name] for name in ("key", "mask_uri", "mask_uris")}
    assert _ids(in_index) == CHOSEN


def test_who_has_one_annotator_pays_for_no_others():
    costly = re.compile(r"QUALIFY|list\(|DISTINCT (?!FROM)")  # twice the time of planning

    assert not costly.search(pairing.plain(None))
    assert costly.search(pairing.plain("first"))
    assert costly.search(pairing.judged("majority"))


@pytest.mark.parametrize("column", ["split", "group"])
@pytest.mark.parametrize("annotators", ["first", "majority"])
def test_rows_of_one_image_that_disagree_are_no_matter_of_the_alphabet(
    tmp_path, annotators, column
):
    root = _draw(tmp_path, *VOTES)
    lines = [f"image,mask,{column}"]
    for name, values in {"a": ("x", "x"), "b": ("train", "val"), "c": ("", "val")}.items():
        (root / f"images/{name}.png").write_bytes(encode(photo(2, 3), "PNG"))
        for number, value in enumerate(values):
            lines.append(f"images/{name}.png,masks/by{number}/a.png,{value}")
    listed = SourcePaths(str(root / "list.csv"))

    (root / "list.csv").write_text("\n".join(lines))
    with pytest.raises(
        UsageError, match=rf"--annotators {annotators}: .*found 2 .*b\.png"
    ) as caught:
        _rows(root, annotators, Manifest(), listed)
    assert "\n" not in str(caught.value)
    assert len(_rows(root, None, Manifest(), listed)) == 6  # refused one by one

    (root / "list.csv").write_text("\n".join(lines[:3]))
    assert [row["key"] for row in _rows(root, annotators, Manifest(), listed)] == ["images/a"]


def test_one_mask_is_no_vote(tmp_path):
    (row,) = _by_pattern(_draw(tmp_path, LAST), "majority")

    assert (row["code"], row["mask_uris"], _ids(row)) == (None, None, LAST.tolist())


def test_a_mask_that_is_listed_twice_does_not_vote_twice(tmp_path):
    (row,) = _by_manifest(_draw(tmp_path, *VOTES), "majority", "by0", "by1", "by1")

    assert row["code"] == "duplicate_key"
    assert row["message"].startswith("masks with one key")


def test_different_images_of_one_key_stay_duplicates(tmp_path):
    root = _draw(tmp_path, *VOTES)
    (root / "images/a.jpg").write_bytes(encode(photo(2, 3), "JPEG"))

    rows = _by_pattern(root, "majority")

    assert [row["code"] for row in rows] == ["duplicate_key"] * 2


@pytest.mark.parametrize("changed", [0, 1, 2])
def test_a_change_of_any_mask_is_noticed(tmp_path, changed):
    root = _draw(tmp_path, *VOTES, LAST)
    (row,) = _by_pattern(root, "majority")
    os.utime(root / f"masks/by{changed}/a.png", ns=(1, 1))

    with pytest.raises(RejectError, match=f"by{changed}/a.png.*changed since") as caught:
        _ids(row)
    assert caught.value.code == RejectCode.SOURCE_CHANGED


def test_one_mask_of_another_size_rejects_the_image(tmp_path):
    (row,) = _by_pattern(_draw(tmp_path, *VOTES, LAST[:, :2]), "majority")

    with pytest.raises(RejectError, match=r"by2/a\.png.*image 2x3 and mask 2x2") as caught:
        _ids(row)
    assert caught.value.code == RejectCode.SIZE_MISMATCH
