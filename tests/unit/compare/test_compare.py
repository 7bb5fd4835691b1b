"""What changed between two runs, against NumPy on the masks that were drawn."""

import dataclasses
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from rich.console import Console

from pipelines.compare import main
from segflow.compare import command
from segflow.compare.command import compare
from segflow.compare.config import CompareConfig
from segflow.errors import UsageError
from segflow.label import labelling
from segflow.label_map import LabelClass, LabelMap
from segflow.lock import lock
from tests.unit.label.batches import LABELS, FakePredictor, Labels, predicted

QUIET = Console(file=io.StringIO())


class Other(FakePredictor):
    """Answers with the class after the one that the red channel says, in the left half."""

    def predictions(self, prepared):
        for image in prepared:
            yield predicted(_shifted(image[..., 0]))


def _shifted(ids):
    ids = ids.copy()
    ids[:, : ids.shape[1] // 2] = (ids[:, : ids.shape[1] // 2] + 1) % 3
    return ids


@pytest.fixture
def images(labels: Labels) -> dict[str, np.ndarray]:
    random = np.random.default_rng(3)
    drawn = {}
    for number in range(5):
        ids = random.integers(0, 3, (4 + number, 7), dtype=np.uint8)
        drawn[f"{number}.png"] = ids
        _save(labels.images / f"{number}.png", ids)
    return drawn


def _save(path: Path, ids: np.ndarray) -> None:
    Image.fromarray(np.stack([ids, ids * 0, ids * 0], axis=-1)).save(path)


def _other(labels: Labels, monkeypatch: pytest.MonkeyPatch, name: str = "other") -> Labels:
    """The same images labelled by another model, into another folder."""
    monkeypatch.setattr(
        labelling.LabelJob,
        "open",
        lambda job: labelling.LabelWork(job.config, Other(job.model_fingerprint)),
    )
    other = dataclasses.replace(labels, output=labels.output.with_name(name))
    other.label("model b")
    return other


def _compare(before: object, after: object, **options: Any) -> Mapping[str, Any]:
    return compare(CompareConfig(str(before), str(after), **options), QUIET)


def _expected(drawn: Mapping[str, np.ndarray]) -> np.ndarray:
    counts = np.zeros((3, 3), int)
    for ids in drawn.values():
        np.add.at(counts, (ids.ravel(), _shifted(ids).ravel()), 1)
    return counts


@pytest.mark.parametrize("mask_format", ["png", "rle"])
def test_the_table_is_what_numpy_counts(labels, images, monkeypatch, tmp_path, mask_format):
    labels.label(mask_format=mask_format)
    other = _other(labels, monkeypatch)

    record = _compare(labels.output, other.output, output=str(tmp_path / "changes"))

    expected = _expected(images)
    assert record["transitions"] == expected.tolist()
    assert record["changed_pixels"] == expected.sum() - np.trace(expected)
    assert record["changed_fraction"] == record["changed_pixels"] / expected.sum()
    assert record["images"] == {
        **{"compared": 5, "image_changed": 0, "only_before": 0, "only_after": 0},
        "changed": 5,
    }
    table = pq.read_table(tmp_path / "changes" / "changes.parquet").to_pylist()
    for row in table:
        ids = images[Path(row["image_uri"]).name]
        one = _expected({"": ids})
        assert row["transitions"] == one.ravel().tolist()
        assert (row["height"], row["width"]) == ids.shape
        assert row["changed_fraction"] == row["changed_pixels"] / ids.size
    assert len(table) == 5
    assert sorted(p.name for p in (tmp_path / "changes").iterdir()) == [
        "changes.json",
        "changes.parquet",
    ]


def test_labels_do_not_differ_from_themselves(labels, images):
    labels.label()
    record = _compare(labels.output, labels.output)
    assert record["changed_pixels"] == 0
    assert record["images"]["changed"] == 0
    assert record["pixels"] == sum(ids.size for ids in images.values())


def test_only_images_of_the_same_bytes_are_compared(labels, images, monkeypatch):
    labels.label()
    _save(labels.images / "0.png", images["1.png"])  # another picture by the same name
    (labels.images / "2.png").unlink()
    _save(labels.images / "new.png", images["3.png"])
    other = _other(labels, monkeypatch)

    record = _compare(labels.output, other.output)

    assert record["images"] == {
        **{"compared": 3, "image_changed": 1, "only_before": 1, "only_after": 1},
        "changed": 3,
    }
    kept = {name: images[name] for name in ("1.png", "3.png", "4.png")}
    assert record["transitions"] == _expected(kept).tolist()


def test_a_folder_means_what_holds_now_and_a_run_what_it_wrote(labels, images, monkeypatch):
    first = labels.label()
    _save(labels.images / "0.png", images["1.png"])
    second = labels.label()
    monkeypatch.setattr(labelling.LabelJob, "open", lambda job: _fails())

    whole = _compare(labels.output, labels.output)
    runs = [labels.output / f"runs/{run['run']}.json" for run in (first, second)]

    assert whole["images"]["compared"] == 5
    assert _compare(runs[0], runs[0])["images"]["compared"] == 5
    assert _compare(runs[1], runs[1])["images"]["compared"] == 1
    against = _compare(runs[0], labels.output)["images"]
    assert (against["compared"], against["image_changed"]) == (4, 1)
    with pytest.raises(UsageError, match=r"no image is in both .*: 1 have other bytes, 4 are in"):
        _compare(*runs)


def _fails() -> None:
    raise AssertionError("nothing is labelled by comparing")


def test_the_newest_model_of_a_folder_counts(labels, images, monkeypatch):
    first = labels.label()
    other = _other(labels, monkeypatch, labels.output.name)  # into the same folder
    record = _compare(labels.output / f"runs/{first['run']}.json", other.output)
    assert record["transitions"] == _expected(images).tolist()
    assert [record["config"][side]["model"] for side in ("before", "after")] == [
        "model a",
        "model b",
    ]


def test_the_exit_code_is_a_gate(labels, images, monkeypatch, capsys):
    labels.label()
    other = _other(labels, monkeypatch)
    share = _compare(labels.output, other.output)["changed_fraction"]
    sides = [str(labels.output), str(other.output)]

    assert main([*sides, f"--max-change={share}"]) == 0
    assert "sky" in capsys.readouterr().out
    assert main([*sides, f"--max-change={share * 0.999}"]) == 1
    assert "changed, more than --max-change" in capsys.readouterr().err
    assert main([*sides, "--max-change=2"]) == 2


def test_lost_images_do_not_pass_the_gate(labels, images, monkeypatch, capsys):
    labels.label()
    (labels.images / "0.png").unlink()
    _save(labels.images / "1.png", images["2.png"])
    _save(labels.images / "new.png", images["2.png"])
    other = _other(labels, monkeypatch)
    sides = [str(labels.output), str(other.output)]

    assert main(sides) == 1
    message = "40.0000% of the images cannot be compared, more than --max-missing 0 (0.0000%)"
    assert message in capsys.readouterr().err
    assert main([*sides, "--max-missing=0.4"]) == 0
    assert main([*sides, "--max-missing=0.39", "--max-change=0"]) == 1
    message = capsys.readouterr().err
    assert "--max-change" in message
    assert "--max-missing" in message


def test_a_second_comparison_finds_it_complete_or_is_refused(
    labels, images, monkeypatch, tmp_path, capfd
):
    labels.label()
    other = _other(labels, monkeypatch)
    out = tmp_path / "changes"
    words = [str(labels.output), str(other.output), f"--output={out}"]
    assert main(words) == 0
    first = capfd.readouterr().out
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*")}

    assert main(words) == 0
    again = capfd.readouterr()
    assert again.out == first
    assert "complete already, nothing left to do" in again.err
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == before
    assert main([*words, "--max-change=0"]) == 1
    assert main([words[1], words[0], words[2]]) == 2
    assert "of other settings: after.labels is" in capfd.readouterr().err


def test_a_comparison_that_is_broken_off_can_be_run_again(labels, images, monkeypatch, tmp_path):
    labels.label()
    other = _other(labels, monkeypatch)
    out = tmp_path / "changes"

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    for module, name in ((command, "counts"), (command.storage, "put")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, fail)
            with pytest.raises(KeyboardInterrupt):
                _compare(labels.output, other.output, output=str(out))
    _compare(labels.output, other.output, output=str(out))
    assert sorted(p.name for p in out.iterdir()) == ["changes.json", "changes.parquet"]
    with lock(tmp_path / "busy", "_compare"), pytest.raises(UsageError, match="is at work there"):
        _compare(labels.output, other.output, output=str(tmp_path / "busy"))


def test_what_cannot_be_compared_is_said(labels, images, monkeypatch, tmp_path):
    labels.label()
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="expected the output folder"):
        _compare(labels.output, tmp_path / "empty")
    bare = dataclasses.replace(labels, output=tmp_path / "bare")
    bare.label(mask_format="none")
    with pytest.raises(UsageError, match="--mask-format none, so there are no masks to compare"):
        _compare(labels.output, bare.output)
    with pytest.raises(UsageError, match="holds no finished output of this command"):
        _compare(labels.output, labels.output, output=str(labels.images))


def test_other_classes_cannot_be_compared(labels, images, monkeypatch):
    labels.label()
    other = _other(labels, monkeypatch)
    monkeypatch.setattr(
        "segflow.label.selection.Selection.label_map",
        property(
            lambda side: (
                LABELS if side.address.endswith("other") else LabelMap((LabelClass(0, "sky"),))
            )
        ),
    )
    with pytest.raises(UsageError, match="differ in their classes: sky and sky, road"):
        _compare(labels.output, other.output)
