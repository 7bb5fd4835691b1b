"""Plans of label runs: what is new, changed or gone since the runs before."""

import errno
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from segflow import hashing, storage
from segflow.data.config import DecodeLimits
from segflow.errors import RejectBudgetError, RejectCode, UsageError
from segflow.jobs.run import Run
from segflow.label.planning import committed_records
from segflow.verify import verify
from tests.unit.label.batches import Labels, draw


def _planned(labels: Labels, **changes: object) -> set[str] | None:
    """Names of the images that a new run has labelled; None if there was nothing to do."""
    record = labels.label(**changes)
    return None if record is None else set(labels.planned(record))


def test_a_row_says_where_the_image_lies_and_what_it_was_when_it_was_listed(labels):
    path = draw(labels.images / "sub/a b%20c.png")

    (row,) = labels.planned(labels.label()).values()

    assert row == {
        "key": "sub/a b%20c",
        "image_uri": str(path),
        "image_bytes": path.stat().st_size,
        "image_mtime_ns": path.stat().st_mtime_ns,
        "image_part": None,
        "group": None,
        "ground_resolution": None,
        "code": None,
        "message": None,
    }


def test_all_images_are_planned_at_first_and_none_the_second_time(labels):
    draw(labels.images / "a.png")
    draw(labels.images / "b.png")

    assert _planned(labels) == {"a.png", "b.png"}
    assert _planned(labels) is None
    assert len(committed_records(labels.output)) == 1


def test_only_what_is_new_is_planned(labels):
    draw(labels.images / "a.png")
    labels.label()
    draw(labels.images / "b.png")

    assert _planned(labels) == {"b.png"}
    assert _planned(labels) is None


@pytest.mark.parametrize("change", ["size", "time"])
def test_what_has_changed_is_planned(labels, change):
    draw(labels.images / "a.png")
    path = draw(labels.images / "b.png")
    labels.label()
    if change == "size":
        mtime_ns = path.stat().st_mtime_ns
        draw(path, size=(40, 50))
        os.utime(path, ns=(mtime_ns, mtime_ns))
    else:
        os.utime(path, ns=(5, 5))

    assert _planned(labels) == {"b.png"}


def test_a_change_that_is_taken_back_is_a_change(labels):
    path = draw(labels.images / "a.png")
    first = path.read_bytes(), path.stat().st_mtime_ns
    labels.label()
    draw(path, size=(40, 50))
    labels.label()
    path.write_bytes(first[0])
    os.utime(path, ns=(first[1], first[1]))

    assert _planned(labels) == {"a.png"}
    assert labels.current("height") == [("a.png", 2)]


def test_what_was_rejected_is_not_tried_again_until_it_changes(labels):
    draw(labels.images / "a.png")
    (labels.images / "broken.png").write_text("no picture")
    record = labels.label()
    assert record["inputs"]["by_code"] == {"unreadable": 1}

    assert _planned(labels) is None
    draw(labels.images / "broken.png")
    assert _planned(labels) == {"broken.png"}


def test_what_was_too_large_is_tried_again_under_other_caps(labels):
    draw(labels.images / "a.png")
    draw(labels.images / "large.png", size=(40, 50))
    (labels.images / "broken.png").write_text("no picture")
    record = labels.label(limits=DecodeLimits(max_pixels=1000))
    assert record["inputs"]["by_code"] == {"too_large": 1, "unreadable": 1}
    assert labels.label(limits=DecodeLimits(max_pixels=1000)) is None

    record = labels.label(limits=DecodeLimits(max_pixels=3000))

    assert set(labels.planned(record)) == {"large.png"}
    assert labels.current("height") == [("a.png", 2), ("large.png", 40)]
    assert labels.label(limits=DecodeLimits(max_pixels=3000)) is None


def test_a_folder_of_any_name_has_a_history(labels):
    odd = Labels(labels.images, labels.output.with_name("[2026] {a} it's*"))
    draw(odd.images / "a.png")
    (odd.images / "broken.png").write_text("no picture")
    odd.label()

    assert _planned(odd) is None
    assert _planned(odd, limits=DecodeLimits(max_pixels=3000)) is None


def test_what_listing_refuses_is_planned_with_its_code_and_not_again(labels):
    draw(labels.images / "a.png")
    (labels.images / "link.png").symlink_to(draw(labels.images.parent / "outside.png"))

    record = labels.label()

    assert labels.planned(record)["link.png"]["code"] == RejectCode.OUTSIDE_ROOT
    assert record["inputs"]["by_code"] == {"outside_root": 1}
    assert _planned(labels) is None


def test_with_another_model_everything_is_planned(labels):
    draw(labels.images / "a.png")
    labels.label(model="model a")

    assert _planned(labels, model="model b") == {"a.png"}
    assert _planned(labels, model="model b") is None
    assert _planned(labels, model="model a") is None


def test_what_is_gone_is_a_run_without_shards(labels):
    draw(labels.images / "a.png")
    path = draw(labels.images / "b.png")
    labels.label()
    path.unlink()

    record = labels.label()

    assert labels.gone(record) == [str(path)]
    assert record["inputs"]["listed"] == 0
    assert [file["path"].split("/")[0] for file in record["files"]] == ["gone"]
    assert labels.label() is None


def test_what_is_gone_is_said_once_and_by_the_run_that_also_finds_what_is_new(labels):
    draw(labels.images / "a.png")
    path = draw(labels.images / "b.png")
    labels.label()
    path.unlink()
    draw(labels.images / "c.png")

    second = labels.label()
    draw(labels.images / "d.png")
    third = labels.label()

    assert labels.gone(second) == [str(path)]
    assert set(labels.planned(second)) == {"c.png"}
    assert third["gone"] == 0


def test_what_is_gone_is_published_with_the_run_and_not_before(labels):
    draw(labels.images / "a.png")
    path = draw(labels.images / "b.png")
    labels.label()
    path.unlink()
    (labels.images / "broken.png").write_text("no picture")

    with pytest.raises(RejectBudgetError):
        labels.label(max_reject_fraction=0.0)
    assert not (labels.output / "gone").exists()
    assert [row[0] for row in labels.current("height")] == ["a.png", "b.png"]

    record = labels.label(max_reject_fraction=1.0)
    assert labels.gone(record) == [str(path)]
    assert [row[0] for row in labels.current("height")] == ["a.png"]
    assert verify(labels.output) == ("labels", [])


def test_a_run_ships_to_workers_without_the_addresses_that_are_gone(labels):
    draw(labels.images / "a.png")
    paths = [draw(labels.images / f"{number:03d}.png") for number in range(100)]
    labels.label(shard_size=200)
    for path in paths:
        path.unlink()
    record = labels.label(shard_size=200)

    run = Run.load(labels.output / "_runs" / record["run"])

    assert record["gone"] == 100
    assert len(pickle.dumps(run)) < 3000


def test_what_comes_back_is_planned_though_it_is_as_it_was(labels):
    draw(labels.images / "a.png")
    path = draw(labels.images / "b.png")
    labels.label()
    path.rename(labels.images.parent / "kept")
    labels.label()
    (labels.images.parent / "kept").rename(path)

    assert _planned(labels) == {"b.png"}
    assert [row[0] for row in labels.current("height")] == ["a.png", "b.png"]
    assert labels.label() is None
    path.unlink()
    assert labels.gone(labels.label()) == [str(path)]


def test_images_of_another_source_are_not_gone(labels):
    draw(labels.images / "one/a.png")
    draw(labels.images / "two/b.png")
    labels.label(images=str(labels.images / "one"))

    record = labels.label(images=str(labels.images / "two"))

    assert record["gone"] == 0
    assert set(labels.planned(record)) == {"two/b.png"}


def test_images_that_another_source_has_dealt_with_are_not_planned_again(labels):
    draw(labels.images / "one/a.png")
    labels.label(images=str(labels.images / "one"))

    assert _planned(labels, images=f"{labels.images}/**/*.png") is None


def test_the_same_folder_from_elsewhere_is_the_same_source(labels, monkeypatch):
    path = draw(labels.images / "a.png")
    labels.label()
    monkeypatch.chdir(labels.images.parent)

    assert _planned(labels, images="images") is None
    path.unlink()
    draw(labels.images / "b.png")
    assert labels.gone(labels.label(images="images/")) == [str(path)]


def test_what_an_uncommitted_run_has_planned_counts_for_nothing(labels):
    draw(labels.images / "a.png")
    record = labels.label()
    (labels.output / f"runs/{record['run']}.json").unlink()

    assert _planned(labels) == {"a.png"}


def test_no_images_are_an_error_and_not_all_gone(labels):
    path = draw(labels.images / "a.png")
    labels.label()
    path.unlink()

    with pytest.raises(UsageError, match=r"--images .*: no images found"):
        labels.label()


def test_records_are_read_oldest_first(labels):
    for name in ("a", "b", "c"):
        draw(labels.images / f"{name}.png")
        labels.label()
    (labels.output / "runs/notes.txt").touch()

    runs = [record["run"] for record in committed_records(labels.output)]

    assert runs == sorted(runs)
    assert len(runs) == 3
    assert committed_records(labels.output / "nothing") == []


def test_images_lie_in_shards_in_an_order_of_their_own(labels):
    """Neighbours in a folder are spread, so that no shard gets all the large ones."""
    for number in range(9):
        draw(labels.images / f"{number}.png")

    names = list(labels.planned(labels.label()))

    assert sorted(names) == [f"{n}.png" for n in range(9)] != names
    record = storage.read_json(next((labels.output / "runs").iterdir()))
    assert len([f for f in record["files"] if f["path"].startswith("images/")]) == 5


def test_the_reject_budget_is_a_share_of_all_that_was_found():
    """One broken file among a night's six must not hold up every night."""
    run = Run("out", "r", "f", "t", {"all": 1}, 6, {}, {}, {"gone": 0, "known": 436})
    assert run.allowed_rejects(0.05, {}) == pytest.approx(22.1)
    first = Run("out", "r", "f", "t", {"all": 1}, 6, {}, {}, {})
    assert first.allowed_rejects(0.05, {}) == pytest.approx(0.3)


def _touch(path: Path) -> None:
    os.utime(path, ns=(5, path.stat().st_mtime_ns + 1))


def test_by_hash_only_other_bytes_are_a_change(labels, monkeypatch):
    same, other, larger, broken = (labels.images / f"{name}.png" for name in ("s", "o", "l", "b"))
    for path in (same, other, larger):
        draw(path, red=1)
    broken.write_text("no picture")
    labels.label()
    for path in (same, broken):
        _touch(path)
    draw(other, red=2)
    assert other.stat().st_size == same.stat().st_size
    draw(larger, size=(40, 50))
    read = _count_reads(labels, monkeypatch)

    # What was rejected has no hash to compare with.
    assert _planned(labels, detect_changes="hash") == {"o.png", "l.png", "b.png"}
    assert read == {str(same), str(other)}
    assert labels.told[-1] == "known bytes: 1 images have another time alone, and are not new"
    assert _planned(labels, detect_changes="time") is None
    assert {row[0] for row in labels.current("height")} == {"s.png", "o.png", "l.png"}


def _count_reads(labels: Labels, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The images whose bytes are hashed from now on."""
    read: set[str] = set()
    _on_hash(labels, monkeypatch, lambda path: read.add(str(path)))
    return read


def _on_hash(labels: Labels, monkeypatch: pytest.MonkeyPatch, do: Callable[[Path], object]) -> None:
    sha256_file = hashing.sha256_file

    def watched(path: str | Path) -> str:
        if Path(path).is_relative_to(labels.images):
            do(Path(path))
        return sha256_file(path)

    monkeypatch.setattr(hashing, "sha256_file", watched)


def test_known_bytes_of_another_time_are_noted_for_runs_that_go_by_time(labels, monkeypatch):
    path = draw(labels.images / "a.png")
    labels.label()
    _touch(path)
    draw(labels.images / "b.png")
    assert _planned(labels, detect_changes="hash") == {"b.png"}
    read = _count_reads(labels, monkeypatch)

    assert _planned(labels) is None
    assert read == set()


def test_by_hash_other_bytes_of_the_same_size_and_time_are_a_change(labels):
    path = draw(labels.images / "a.png", red=1)
    draw(labels.images / "b.png")
    mtime_ns = path.stat().st_mtime_ns
    labels.label()
    draw(path, red=2)
    os.utime(path, ns=(mtime_ns, mtime_ns))

    assert _planned(labels) is None
    assert _planned(labels, detect_changes="hash") == {"a.png"}
    assert _planned(labels, detect_changes="hash") is None


def test_an_image_that_was_gone_is_new_though_its_bytes_are_known(labels):
    draw(labels.images / "a.png")
    path = draw(labels.images / "b.png")
    labels.label()
    path.unlink()
    labels.label(detect_changes="hash")
    draw(path)

    assert _planned(labels, detect_changes="hash") == {"b.png"}
    assert [row[0] for row in labels.current("run")] == ["a.png", "b.png"]


def test_a_file_that_goes_while_it_is_hashed_is_planned_and_rejected(labels, monkeypatch):
    draw(labels.images / "a.png")
    path = draw(labels.images / "b.png")
    labels.label()
    _touch(path)
    _on_hash(labels, monkeypatch, lambda read: read == path and path.unlink())

    record = labels.label(detect_changes="hash")

    assert record["inputs"]["by_code"] == {"source_changed": 1}


def test_a_fault_of_the_storage_is_no_change(labels, monkeypatch):
    path = draw(labels.images / "a.png")
    labels.label()
    _touch(path)

    def fail(_: Path) -> None:
        raise OSError(errno.ETIMEDOUT, "no answer")

    _on_hash(labels, monkeypatch, fail)

    with pytest.raises(OSError, match="no answer"):
        labels.label(detect_changes="hash")
