"""`current.sql`, run by DuckDB over committed runs: what holds now."""

from pathlib import Path

import duckdb
import pytest

from segflow.label.current import current_sql
from tests.unit.label.batches import Labels, draw


def _runs(labels: Labels) -> dict[str, int]:
    """For each current image the run that it is of, counted from 0."""
    order = sorted(path.stem for path in (labels.output / "runs").iterdir())
    return {name: order.index(run) for name, run in labels.current("run")}


def _break(path: Path) -> None:
    path.write_text("no picture")


def test_one_run(labels):
    draw(labels.images / "a.png", red=1, size=(2, 3))
    draw(labels.images / "b.png", red=2, size=(4, 5))
    labels.label()

    assert labels.current("height, width, model_fingerprint") == [
        ("a.png", 2, 3, "model a"),
        ("b.png", 4, 5, "model a"),
    ]
    assert labels.current("class_id, class_name, pixels", "current_areas") == [
        ("a.png", 0, "sky", 1),
        ("a.png", 1, "road", 5),
        ("b.png", 0, "sky", 1),
        ("b.png", 2, "it's", 19),
    ]


def test_of_an_image_that_changed_only_the_newest_row_counts(labels):
    draw(labels.images / "a.png", red=1)
    path = draw(labels.images / "b.png", red=1)
    labels.label()
    draw(path, red=2, size=(4, 5))
    labels.label()

    assert _runs(labels) == {"a.png": 0, "b.png": 1}
    assert list(labels.current("class_id, pixels", "current_areas")) == [
        ("a.png", 0, 1),
        ("a.png", 1, 5),
        ("b.png", 0, 1),
        ("b.png", 2, 19),
    ]


def test_what_is_gone_is_left_out_until_it_comes_back(labels):
    draw(labels.images / "a.png")
    path = draw(labels.images / "b.png")
    labels.label()
    path.rename(labels.images.parent / "kept")
    labels.label()
    assert _runs(labels) == {"a.png": 0}

    (labels.images.parent / "kept").rename(path)
    labels.label()
    assert _runs(labels) == {"a.png": 0, "b.png": 2}


def test_what_was_rejected_later_is_left_out_until_it_is_mended(labels):
    draw(labels.images / "a.png")
    path = draw(labels.images / "b.png")
    labels.label()
    _break(path)
    labels.label()
    assert _runs(labels) == {"a.png": 0}
    assert {row[0] for row in labels.current("pixels", "current_areas")} == {"a.png"}

    draw(path)
    labels.label()
    assert _runs(labels) == {"a.png": 0, "b.png": 2}


def test_what_was_rejected_first_appears_once_it_is_labelled(labels):
    draw(labels.images / "a.png")
    path = labels.images / "b.png"
    _break(path)
    labels.label()
    assert _runs(labels) == {"a.png": 0}

    draw(path)
    labels.label()
    assert _runs(labels) == {"a.png": 0, "b.png": 1}


def test_the_newest_model_counts_alone(labels):
    draw(labels.images / "a.png")
    draw(labels.images / "b.png")
    labels.label(model="model a")
    (labels.images / "b.png").unlink()
    labels.label(model="model b")

    assert labels.current("model_fingerprint") == [("a.png", "model b")]


def test_a_run_that_is_not_committed_counts_for_nothing(labels):
    path = draw(labels.images / "a.png")
    labels.label()
    draw(path, size=(4, 5))
    second = labels.label()
    (labels.output / f"runs/{second['run']}.json").unlink()

    assert labels.current("height") == [("a.png", 2)]


def test_where_all_was_rejected_the_views_are_empty(labels):
    for name in ("a.png", "b.png"):
        _break(labels.images / name)
    labels.label()

    assert labels.current("height") == []
    assert labels.current("pixels", "current_areas") == []


@pytest.mark.parametrize(
    "name", ["it's", "[2026] {a}", "a*b?", 'q"u o', "%20", "größe-日本", "run=1"]
)
def test_the_folder_may_have_any_name(labels, name):
    draw(labels.images / "a.png")
    odd = Labels(labels.images, labels.images.parent / name / "labels")
    odd.label()

    assert [row[0] for row in odd.current("height")] == ["a.png"]
    assert len(odd.current("pixels", "current_areas")) == 2


def test_a_folder_beside_one_that_its_name_would_match_as_a_pattern_is_not_read(labels):
    draw(labels.images / "a.png")
    decoy = Labels(labels.images, labels.images.parent / "labels1")
    decoy.label(model="decoy")
    odd = Labels(labels.images, labels.images.parent / "labels[1]")
    odd.label(model="model a")

    assert odd.current("model_fingerprint") == [("a.png", "model a")]


def test_images_of_any_name_are_told_apart(labels):
    names = ["it's.png", "a b.png", "a%20b.png", "<script>.png", "größe-日本.png"]
    for name in names:
        draw(labels.images / name)
    labels.label()

    assert [row[0] for row in labels.current("height")] == sorted(names)


def test_rejects_that_appear_after_the_views_were_written_are_seen_by_the_next(labels):
    """The views name no table of rejects while there is none: a query over none would fail."""
    path = draw(labels.images / "a.png")
    draw(labels.images / "b.png")
    labels.label()
    before = (labels.output / "current.sql").read_text()
    _break(path)
    labels.label()

    assert "rejects/" not in before
    assert "rejects/" in (labels.output / "current.sql").read_text()
    assert _runs(labels) == {"b.png": 0}


def test_the_views_may_be_made_again_in_one_session(labels):
    draw(labels.images / "a.png")
    labels.label()
    sql = current_sql(labels.output)

    with duckdb.connect() as connection:
        connection.execute(sql)
        connection.execute(sql)
        assert connection.execute("SELECT count(*) FROM current_images").fetchall() == [(1,)]


def test_run_is_a_column_of_text_in_every_reader(labels):
    """Hive-style folders: DuckDB alone would take an all-digit name for a number or a time."""
    draw(labels.images / "a.png")
    record = labels.label()

    assert labels.current("run, typeof(run)") == [("a.png", record["run"], "VARCHAR")]
