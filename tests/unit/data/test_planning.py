"""Plans of pairs: what pairs, what is refused and why, splits that data added later leave alone."""

import os
import re
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from segflow.data.layouts import SourcePaths
from segflow.data.layouts.camvid import CamVid
from segflow.data.layouts.paired import Paired
from segflow.data.planned import sample_rows
from segflow.data.planning import PairPlan
from segflow.data.splits import choose_split
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


def _splits_of(folder: Path, planned: Planned) -> dict[str, str]:
    """The split of each key: shards are row groups, in the order of the splits."""
    shards = (split for split, n in planned.summary.groups.items() for _ in range(n))
    with pq.ParquetFile(folder / "plan/part-00000.parquet") as file:
        keys = [file.read_row_group(i)["key"].to_pylist() for i in range(file.num_row_groups)]
    return {k: split for split, found in zip(shards, keys, strict=True) for k in found}


def _pairs(root: Path, *stems: str) -> Path:
    return _touch(root, *(f"{d}/{s}.png" for s in stems for d in ("images", "masks")))


def test_a_row_holds_both_addresses_with_sizes_and_times(tmp_path):
    _, (row,) = _plan(_pairs(tmp_path, "a"))

    assert row == {
        "key": "a",
        "group": None,
        "image_uri": str(tmp_path / "images/a.png"),
        "image_bytes": len("images/a.png"),
        "image_mtime_ns": 1,
        "mask_uri": str(tmp_path / "masks/a.png"),
        "mask_bytes": len("masks/a.png"),
        "mask_mtime_ns": 1,
        "image_part": None,
        "mask_part": None,
        "ground_resolution": None,
        "annotation": None,
        "mask_uris": None,
        "masks_bytes": None,
        "masks_mtime_ns": None,
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


def test_groups_stay_in_one_split_whatever_is_added(tmp_path):
    pattern = re.compile(r"^(\w)_")
    _pairs(tmp_path, *(f"{group}_{i}" for group in "abcdefgh" for i in range(3)))
    planned, _ = _plan(tmp_path, "before", group_pattern=pattern)
    before = _splits_of(tmp_path / "before", planned)
    _pairs(tmp_path, *(f"{group}_{i}" for group in "defghijklmnopqrstuvw" for i in range(3, 6)))
    planned, rows = _plan(tmp_path, "after", group_pattern=pattern)
    after = _splits_of(tmp_path / "after", planned)

    assert all(row["group"] == row["key"][0] for row in rows)
    assert len({(key[0], split) for key, split in after.items()}) == len("abcdefghijklmnopqrstuvw")
    assert before.items() < after.items()
    assert len(set(after.values())) > 1


def test_a_pattern_overrides_the_layouts_own_groups(tmp_path):
    _touch(tmp_path, *(f"train{kind}/0016E5_{i}.png" for kind in ("", "annot") for i in "12"))
    camvid = {"layout": CamVid(), "paths": SourcePaths(str(tmp_path))}

    own = [row["group"] for row in _plan(tmp_path, "own", **camvid)[1]]
    alone = _plan(tmp_path, "alone", **camvid, group_pattern=re.compile("(.+)"))[1]

    assert own == ["0016E5", "0016E5"]
    assert {row["group"] for row in alone} == {"train/0016E5_1", "train/0016E5_2"}


def test_a_key_without_a_group_is_an_error_that_names_it(tmp_path):
    _pairs(tmp_path, "a_1", "stray")

    with pytest.raises(UsageError, match=r"no group in the key 'stray'.*\|\(\.\+\)"):
        _plan(tmp_path, group_pattern=re.compile(r"^(\w)_"))


def test_what_must_not_be_read_needs_no_group(tmp_path):
    _touch(_pairs(tmp_path, "a_1"), "secret.png")
    (tmp_path / "images/link.png").symlink_to("../secret.png")

    _, rows = _plan(tmp_path, group_pattern=re.compile(r"^(\w)_"))

    assert {row["key"]: row["group"] for row in rows} == {"a_1": "a", "link": None}


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
