"""Plans of pairs: what pairs, what is refused and why, splits that data added later leave alone."""

import os
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segflow.data.layouts import SourcePaths
from segflow.data.layouts.camvid import CamVid
from segflow.data.layouts.paired import Paired
from segflow.data.planning import PairPlan, choose_split, sample_rows
from segflow.errors import UsageError
from segflow.jobs.launch import Planned

SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}


def _touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x" * len(name))
        os.utime(root / name, ns=(1, 1))
    return root


def _plan(root: Path, run: str = "run", **changes: object) -> tuple[Planned, list[dict]]:
    """Plans ROOT/images and ROOT/masks; returns the plan and its rows in order."""
    arguments = {
        "layout": Paired(),
        "paths": SourcePaths(str(root / "images"), str(root / "masks")),
        "seed": 0,
        "shares": SHARES,
        "rows_per_shard": lambda _: 10,
    }
    folder = root / run
    folder.mkdir()
    planned = PairPlan(**{**arguments, **changes})(folder)
    rows = [
        row for p in sorted((folder / "plan").iterdir()) for row in pq.read_table(p).to_pylist()
    ]
    assert len(rows) == planned.summary.rows
    return planned, rows


def _pairs(root: Path, *stems: str) -> Path:
    return _touch(root, *(f"{d}/{s}.png" for s in stems for d in ("images", "masks")))


def test_a_row_holds_both_addresses_with_sizes_and_times(tmp_path):
    _, (row,) = _plan(_pairs(tmp_path, "a"))

    assert row == {
        "key": "a",
        "image_uri": str(tmp_path / "images/a.png"),
        "image_bytes": len("images/a.png"),
        "image_mtime_ns": 1,
        "mask_uri": str(tmp_path / "masks/a.png"),
        "mask_bytes": len("masks/a.png"),
        "mask_mtime_ns": 1,
        "image_part": None,
        "mask_part": None,
        "annotation": None,
        "code": None,
        "message": None,
    }


def test_what_does_not_pair_is_listed_with_its_reason(tmp_path):
    _pairs(tmp_path, "good", "twice", "mask-twice")
    _touch(tmp_path, "images/lonely.png", "masks/orphan.png", "images/twice.jpg")
    _touch(tmp_path, "masks/mask-twice.gif", "secret.png")
    (tmp_path / "images/link.png").symlink_to("../secret.png")
    _touch(tmp_path, "masks/link.png", "images/masked.png")
    (tmp_path / "masks/masked.png").symlink_to("../secret.png")

    planned, rows = _plan(tmp_path)

    assert planned.summary.rows == len(rows) == 8
    assert Counter((row["key"], row["code"]) for row in rows) == {
        ("good", None): 1,
        ("lonely", "missing_mask"): 1,
        ("orphan", "missing_image"): 1,
        ("twice", "duplicate_key"): 2,
        ("mask-twice", "duplicate_key"): 1,
        ("link", "outside_root"): 1,
        ("masked", "outside_root"): 1,
    }
    messages = {row["key"]: row["message"] for row in rows}
    assert messages["good"] is None
    assert "lonely" in messages["lonely"]
    assert "orphan" in messages["orphan"]
    assert "twice.jpg, " in messages["twice"]
    assert "mask-twice.gif, " in messages["mask-twice"]


def test_addresses_are_null_where_there_is_no_file(tmp_path):
    _touch(_pairs(tmp_path, "a"), "images/b.png", "masks/c.png")

    _, rows = _plan(tmp_path)

    files = {row["key"]: (row["image_uri"], row["mask_uri"]) for row in rows}
    assert files["b"] == (str(tmp_path / "images/b.png"), None)
    assert files["c"] == (None, str(tmp_path / "masks/c.png"))


@pytest.mark.parametrize("name", ["it's", "a b", "a%20b", "<script>", "größe-日本", 'q"$1;--'])
def test_odd_names_pair_like_others(tmp_path, name):
    _, (row,) = _plan(_pairs(tmp_path / "o'brien's [set]", name))

    assert row["key"] == name
    assert row["code"] is None
    assert Path(row["image_uri"]).exists()


def test_nothing_that_pairs_is_an_error_that_names_the_closest(tmp_path):
    _touch(tmp_path, "images/street_01.jpg", "masks/river_01_mask.png", "masks/street_01_mask.png")

    with pytest.raises(UsageError, match="closest pair is 'street_01' and 'street_01_mask'"):
        _plan(tmp_path)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["images/note.txt", "masks/a.png"], "--images .*: no images found"),
        (["images/a.png", "masks/note.txt"], "--masks .*: no masks found"),
    ],
)
def test_an_empty_side_is_an_error_that_names_its_flag(tmp_path, names, message):
    with pytest.raises(UsageError, match=message):
        _plan(_touch(tmp_path, *names))


def test_camvid_keeps_its_splits_in_their_usual_order(tmp_path):
    for split in ("zoo", "test", "val", "train"):
        _touch(tmp_path, f"{split}/1.png", f"{split}annot/1.png")

    planned, rows = _plan(tmp_path, layout=CamVid(), paths=SourcePaths(str(tmp_path)))

    assert planned.summary.groups == {"train": 1, "val": 1, "test": 1, "zoo": 1}
    assert planned.notes["splits"] == ["train", "val", "test", "zoo"]
    assert planned.notes["layout"] == "camvid"
    assert [row["key"] for row in rows] == ["train/1", "val/1", "test/1", "zoo/1"]


def test_shares_override_a_layouts_own_splits(tmp_path):
    _touch(tmp_path, "train/1.png", "trainannot/1.png", "val/1.png", "valannot/1.png")

    planned, _ = _plan(
        tmp_path,
        layout=CamVid(),
        paths=SourcePaths(str(tmp_path)),
        shares={"all": 1.0},
        own_splits=False,
    )

    assert planned.summary.groups == {"all": 1}


def test_rows_are_grouped_by_split_and_cut_into_shards(tmp_path):
    _pairs(tmp_path, *map(str, range(60)))

    planned, rows = _plan(tmp_path, rows_per_shard={"train": 10, "val": 2, "test": 100}.get)

    splits = [choose_split(SHARES, 0, row["key"]) for row in rows]
    assert splits == sorted(splits, key=list(SHARES).index)
    counts = Counter(splits)
    assert planned.summary.groups == {
        "train": -(-counts["train"] // 10),
        "val": -(-counts["val"] // 2),
        "test": 1,
    }


def test_an_empty_split_is_still_named(tmp_path):
    planned, _ = _plan(_pairs(tmp_path, "a"), shares={"train": 1.0, "val": 0.0})

    assert planned.notes["splits"] == ["train", "val"]
    assert planned.summary.groups == {"train": 1}


def test_the_order_is_neither_the_names_nor_the_disks_but_the_seeds(tmp_path):
    _pairs(tmp_path, *map(str, range(30)))

    orders = [
        [row["key"] for row in _plan(tmp_path, f"run{i}", seed=seed, shares={"all": 1.0})[1]]
        for i, seed in enumerate((0, 0, 1))
    ]

    assert orders[0] == orders[1] != orders[2]
    assert orders[0] != sorted(orders[0])


def test_the_hash_of_the_sources_tells_whether_they_are_the_same(tmp_path):
    _pairs(tmp_path / "one", "a", "b")
    _pairs(tmp_path / "two", "a", "b")

    first = _plan(tmp_path / "one")[0].notes["sources_sha256"]

    assert _plan(tmp_path / "one", "again")[0].notes["sources_sha256"] == first
    assert _plan(tmp_path / "two")[0].notes["sources_sha256"] == first  # wherever they lie
    os.utime(tmp_path / "one/masks/a.png", ns=(2, 2))
    assert _plan(tmp_path / "one", "later")[0].notes["sources_sha256"] != first


def test_a_plan_leaves_nothing_but_its_rows_behind(tmp_path):
    _plan(_pairs(tmp_path, "a"))

    assert [str(p.relative_to(tmp_path / "run")) for p in (tmp_path / "run").rglob("*")] == [
        "plan",
        "plan/part-00000.parquet",
    ]


def test_samples_are_the_first_rows_that_qualify(tmp_path):
    _touch(_pairs(tmp_path, *map(str, range(30))), "images/lonely.png")
    _, rows = _plan(tmp_path)
    good = [row for row in rows if row["code"] is None]

    assert sample_rows(tmp_path / "run/plan", 7, lambda row: row["code"] is None) == good[:7]
    assert sample_rows(tmp_path / "run/plan", 99, lambda row: row["code"] is None) == good


@given(st.sets(st.text(min_size=1), max_size=40), st.sets(st.text(min_size=1)), st.integers())
def test_adding_data_moves_no_key_to_another_split(keys, added, seed):
    before = {key: choose_split(SHARES, seed, key) for key in keys}
    after = {key: choose_split(SHARES, seed, key) for key in keys | added}

    assert all(after[key] == split for key, split in before.items())


def test_another_seed_splits_otherwise():
    splits = [[choose_split(SHARES, seed, str(i)) for i in range(100)] for seed in (0, 0, 1)]

    assert splits[0] == splits[1] != splits[2]


@pytest.mark.parametrize("seed", [0, 1])
def test_shares_are_about_as_asked_for(seed):
    counts = Counter(choose_split(SHARES, seed, f"street/{i:05d}") for i in range(4000))

    assert {name: round(n / 4000, 1) for name, n in counts.items()} == SHARES


def test_a_share_of_nothing_gets_nothing():
    shares = {"train": 0.0, "val": 1.0}

    assert {choose_split(shares, 0, str(i)) for i in range(200)} == {"val"}


def test_shares_that_add_up_to_one_but_for_rounding_leave_no_gap():
    assert choose_split({"train": 0.0, "val": 1e-18}, 0, "a") == "val"
