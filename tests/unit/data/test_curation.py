"""Plans after a look at all pairs: copies dropped or refused, stratified splits, groups whole."""

import dataclasses
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from segflow.data.config import SplitsConfig
from segflow.data.curation import Curation
from segflow.data.layouts import SourceFile, SourcePaths
from segflow.data.listing import Listed
from segflow.data.planned import plan_rows
from segflow.data.planning import PairPlan
from segflow.errors import UsageError

SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}


@dataclasses.dataclass(frozen=True)
class Stand:
    """A layout of images that exist in name alone: key to (split, group, file, look, pixels)."""

    images: Mapping[str, Mapping]
    name: str = "stand"

    def sources(self, paths):
        for key, image in self.images.items():
            for role in ("image", "mask"):
                file = Listed(f"/{role}/{key}", key, 1, 1)
                yield SourceFile(role, file, key, image.get("split"), group=image.get("group"))

    def survey(self, rows, console):
        """What `Survey` says of them; the unreadable have no facts."""
        for row in rows:
            image = self.images[row["key"]]
            if image.get("readable", True):
                yield {
                    **{name: row[name] for name in ("key", "split", "group", "image_uri")},
                    "image_sha256": image.get("file", row["key"]),
                    "image_phash": image.get("look"),
                    "class_pixels": image.get("pixels", [1, 1]),
                }


def _plan(folder: Path, images: Mapping[str, Mapping], **config: object):
    """The planned rows by key with their splits, and what was noted."""
    layout = Stand(images)
    console = Console(quiet=True)
    judge = Curation(SplitsConfig(**config), SHARES, 0, layout.survey, console)
    plan = PairPlan(layout, SourcePaths("images"), 0, SHARES, lambda _: 7, judge=judge)
    folder.mkdir()
    planned = plan(folder)
    rows = {row["key"]: row for row in plan_rows(folder, planned.summary)}
    assert rows.keys() == images.keys()
    assert [path.name for path in folder.iterdir()] == ["plan"]
    return rows, planned


def test_copies_are_dropped_but_for_the_one_that_training_is_judged_by(tmp_path):
    images = {
        "a": {"split": "train", "file": "x"},
        "b": {"split": "val", "file": "x"},
        "c": {"split": "train", "file": "y"},
        "d": {"split": "train", "file": "y"},
        "e": {"split": "train"},
    }

    rows, planned = _plan(tmp_path / "run", images, duplicates="drop")

    assert {key: row["code"] for key, row in rows.items()} == {
        "a": "duplicate_image",
        "b": None,
        "c": None,
        "d": "duplicate_image",
        "e": None,
    }
    assert rows["a"]["message"] == "image: the same file as that of b"
    assert {key: row["split"] for key, row in rows.items()} == {
        key: image["split"] for key, image in images.items()
    }
    assert planned.summary.rows == 5


def test_near_copies_are_dropped_where_a_distance_is_given(tmp_path):
    images = {
        key: {"split": "train", "look": look}
        for key, look in (("a", "0" * 16), ("b", "0" * 15 + "3"), ("c", "f" * 16))
    }

    exact, _ = _plan(tmp_path / "exact", images, duplicates="drop")
    near, _ = _plan(tmp_path / "near", images, duplicates="drop", near_duplicates=2)

    assert {row["code"] for row in exact.values()} == {None}
    assert [key for key, row in near.items() if row["code"]] == ["b"]
    assert near["b"]["message"] == "image: looks like that of a (2 of 64 bits differ)"


def test_a_copy_is_not_dropped_for_one_that_cannot_be_read(tmp_path):
    images = {
        "a": {"split": "test", "file": "x", "readable": False},
        "b": {"split": "train", "file": "x"},
    }

    rows, _ = _plan(tmp_path / "run", images, duplicates="drop")

    assert {row["code"] for row in rows.values()} == {None}  # of `a`, ingest says why


def test_copies_are_refused_where_they_are_not_to_be(tmp_path):
    images = {
        "a": {"split": "train", "file": "x"},
        "b": {"split": "train", "file": "x"},
        "c": {"split": "train", "file": "y"},
        "d": {"split": "val", "file": "y"},
    }

    with pytest.raises(
        UsageError, match=r"4 images in 2 sets .* 1 set in more .*d \(val\) and c \(train\)"
    ):
        _plan(tmp_path / "run", images, duplicates="fail")
    _plan(tmp_path / "kept", images, duplicates="keep")


IMAGES = st.dictionaries(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=3),
    st.fixed_dictionaries(
        {
            "group": st.sampled_from([None, "p", "q", "key a", "it's"]),
            "pixels": st.lists(st.integers(0, 99), min_size=3, max_size=3),
        }
    ),
    min_size=1,
    max_size=30,
)


@settings(max_examples=8, deadline=None)
@given(images=IMAGES)
def test_stratified_splits_keep_groups_whole(tmp_path_factory, images):
    folder = tmp_path_factory.mktemp("plan")

    rows, _ = _plan(folder / "one", images, stratify=True)
    again, _ = _plan(folder / "two", dict(reversed(images.items())), stratify=True)

    splits = defaultdict(set)
    for row in rows.values():
        splits[row["group"] or ("alone", row["key"])].add(row["split"])
    assert all(len(found) == 1 for found in splits.values())
    assert {key: row["split"] for key, row in again.items()} == {
        key: row["split"] for key, row in rows.items()
    }


@settings(max_examples=8, deadline=None)
@given(images=IMAGES, added=IMAGES)
def test_splits_by_hash_keep_groups_whole_and_stay_when_data_is_added(
    tmp_path_factory, images, added
):
    folder = tmp_path_factory.mktemp("plan")

    before, _ = _plan(folder / "before", images)
    after, _ = _plan(folder / "after", {**added, **images})

    splits = defaultdict(set)
    for row in after.values():
        splits[row["group"] or ("alone", row["key"])].add(row["split"])
    assert all(len(found) == 1 for found in splits.values())
    assert all(after[key]["split"] == row["split"] for key, row in before.items())


def test_stratified_splits_hold_their_shares_of_every_class(tmp_path):
    rng = np.random.default_rng(0)
    pixels = (rng.dirichlet([4, 1, 0.2], 200) * 10_000).astype(int)
    images = {f"k{i}": {"pixels": row.tolist()} for i, row in enumerate(pixels)}

    rows, _ = _plan(tmp_path / "run", images, stratify=True)

    share = pixels / pixels.sum(axis=1, keepdims=True)
    totals = share.sum(axis=0)
    for name, wanted in SHARES.items():
        held = sum(share[i] for i in range(200) if rows[f"k{i}"]["split"] == name)
        np.testing.assert_allclose(held / totals, wanted, atol=0.03)


def test_the_sources_are_the_same_with_and_without_a_look(tmp_path):
    images = {str(i): {"file": str(i // 2)} for i in range(20)}

    _, dropped = _plan(tmp_path / "one", images, duplicates="drop", stratify=True)
    _, kept = _plan(tmp_path / "two", images)

    assert dropped.notes["sources_sha256"] == kept.notes["sources_sha256"]
