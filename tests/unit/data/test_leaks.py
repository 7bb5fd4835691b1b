"""Copies and groups, compared with plain loops over all pairs."""

import itertools
from collections import defaultdict

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segflow.data import leaks
from segflow.data.phash import perceptual_hash

SPLITS = ("train", "val", "test")
COLUMNS = ("key", "split", "group", "image_uri", "image_sha256", "image_phash")


def _open(rows: list[dict]) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    filled = [{name: row.get(name) for name in COLUMNS} for row in rows]
    schema = pa.schema(dict.fromkeys(COLUMNS, pa.string()))
    connection.register("given", pa.Table.from_pylist(filled, schema=schema))
    connection.execute("CREATE TABLE sources AS FROM given")
    return connection


def _copies(rows: list[dict], distance: int | None) -> list[list[str]]:
    """Keys of each set, the one to keep first."""
    connection = _open(rows)
    leaks.find_copies(connection, SPLITS, distance)
    found = connection.execute("SELECT set, key FROM copies ORDER BY set, rank").fetchall()
    sets = defaultdict(list)
    for name, key in found:
        sets[name].append(key)
    return sorted(sets.values())


def _leading(rows: list[dict], distance: int) -> list[list[str]]:
    """The same for near copies, by comparing everything with everything."""

    def preference(row):
        return -SPLITS.index(row["split"]), row["key"]

    leaders: dict[int, list[dict]] = {}
    first = {}
    for row in sorted(rows, key=preference):
        value = int(row["image_phash"], 16)
        if value not in first:
            near = [x for x in leaders if (x ^ value).bit_count() <= distance]
            first[value] = min(near, key=lambda x: (x ^ value).bit_count(), default=value)
            leaders.setdefault(first[value], [])
        leaders[first[value]].append(row)
    sets = []
    for value, members in leaders.items():
        own = [row["key"] for row in members if int(row["image_phash"], 16) == value]
        others = [row["key"] for row in members if int(row["image_phash"], 16) != value]
        sets.append(own + others)
    return sorted(s for s in sets if len(s) > 1)


def test_exact_copies_are_one_file_wherever_it_lies():
    rows = [
        {"key": "a", "split": "train", "image_sha256": "1"},
        {"key": "b", "split": "train", "image_sha256": "2"},
        {"key": "c", "split": "test", "image_sha256": "1"},
        {"key": "d", "split": "val", "image_sha256": "1"},
        {"key": "e", "split": "train", "image_sha256": "2"},
    ]

    assert _copies(rows, None) == [["b", "e"], ["c", "d", "a"]]
    connection = _open(rows)
    leaks.find_copies(connection, SPLITS, None)
    assert leaks.count_copies(connection) == {"sets": 2, "images": 5, "across_splits": 1}


@pytest.mark.parametrize("distance", [0, 1, 3, 7, 12])
def test_near_copies_are_those_that_a_comparison_of_all_finds(distance):
    rng = np.random.default_rng(distance)
    hashes = [int(h) for h in rng.integers(0, 2**64, 60, dtype=np.uint64)]
    for _ in range(120):
        flips = rng.choice(64, rng.integers(0, 2 * distance + 3), replace=False)
        hashes.append(hashes[rng.integers(len(hashes))] ^ sum(1 << int(bit) for bit in flips))
    rows = [
        {
            "key": f"{i:03d}",
            "split": SPLITS[int(rng.integers(3))],
            "image_sha256": str(i),
            "image_phash": f"{value:016x}",
        }
        for i, value in enumerate(hashes)
    ]

    found = _copies(rows, distance)

    assert [[s[0], sorted(s)] for s in found] == [
        [s[0], sorted(s)] for s in _leading(rows, distance)
    ]
    assert found


def test_a_chain_of_small_steps_is_no_set():
    rows = [
        {"key": str(i), "split": "train", "image_sha256": str(i), "image_phash": f"{2**i - 1:016x}"}
        for i in range(9)
    ]

    assert _copies(rows, 2) == [["0", "1", "2"], ["3", "4", "5"], ["6", "7", "8"]]


def test_near_copies_are_told_from_exact_ones():
    rows = [
        {"key": "a", "split": "train", "image_sha256": "1", "image_phash": f"{5:016x}"},
        {"key": "b", "split": "train", "image_sha256": "1", "image_phash": f"{5:016x}"},
        {"key": "c", "split": "train", "image_sha256": "2", "image_phash": "f" * 16},
        {"key": "d", "split": "val", "image_sha256": "3", "image_phash": "f" * 15 + "e"},
    ]

    found = leaks.summarize(_open(rows), SPLITS, 1)["duplicates"]

    assert found["exact"] == {"sets": 1, "images": 2, "across_splits": 0}
    assert found["near"] == {"distance": 1, "sets": 1, "images": 2, "across_splits": 1}


GROUPED = st.lists(st.tuples(st.sampled_from([None, "p", "q", "r's"]), st.sampled_from(SPLITS)))


@given(GROUPED)
def test_straddling_groups_are_those_in_several_splits(members):
    images = defaultdict(lambda: defaultdict(int))
    for group, split in members:
        if group is not None:
            images[group][split] += 1
    rows = [{"key": str(i), "group": g, "split": s} for i, (g, s) in enumerate(members)]

    found = leaks.straddling_groups(_open(rows))

    straddling = {group: dict(splits) for group, splits in images.items() if len(splits) > 1}
    assert found["groups"] == len(images)
    assert found["straddling"] == len(straddling)
    assert {row["group"]: row["images"] for row in found["largest"]} == straddling


def test_the_perceptual_hash_knows_a_picture_that_was_scaled_and_brightened():
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 200, (6, 8, 3), np.uint8)
    picture = coarse.repeat(20, axis=0).repeat(20, axis=1)
    others = [rng.integers(0, 200, (6, 8, 3), np.uint8).repeat(20, 0).repeat(20, 1)]

    def distance(a, b):
        hashes = [int(perceptual_hash(image), 16) for image in (a, b)]
        return (hashes[0] ^ hashes[1]).bit_count()

    copies = [picture[::2, ::2], picture + np.uint8(40)]
    assert max(distance(picture, copy) for copy in copies) <= 4
    assert min(distance(a, b) for a, b in itertools.product([picture, *copies], others)) > 12
