"""What a bundle keeps of an evaluation: the counts of images that the model was not trained on."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segflow import outputs, storage
from segflow.dataset import Dataset
from segflow.errors import UsageError
from segflow.evaluate import reference
from segflow.evaluate.table import IMAGES_SCHEMA
from segflow.references.stored import Reference, record_paths
from segflow.train.bundle import Bundle
from segflow.verify import verify
from tests.bundles import EmptyModel, write_bundle
from tests.unit.train.datasets import LABELS, write_dataset

RUN = "20260101T000000.000000Z-abcdef01"
MATRICES = np.random.default_rng(2).integers(0, 9, (8, 3, 3))


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """Trained on `tmp_path/data`, whose split `train` has the images x and y."""
    folder = write_bundle(tmp_path / "model", LABELS, model=EmptyModel())
    return _trained_on(folder, tmp_path / "data")


def _trained_on(folder: Path, data: Path, train: Sequence[str] = "xy") -> Bundle:
    dataset = Dataset.load(write_dataset(data, {"train": [2], "val": [1]}))
    rows = [{"split": "train", "image_sha256": image} for image in train]
    rows.append({"split": "val", "image_sha256": "a"})
    pq.write_table(pa.Table.from_pylist(rows), data / "index/part-00000.parquet")
    return _changed(folder, dataset={"fingerprint": dataset.fingerprint, "path": str(data)})


def _changed(folder: Path, **changes: Any) -> Bundle:
    record = storage.read_json(folder / "bundle.json")
    storage.put(folder / "bundle.json", storage.to_json(record | changes))
    return Bundle.load(folder)


def _evaluation(folder: Path, letters: str, model: str = "model", **config: Any) -> Path:
    """An evaluation, in parts of three, of images whose hashes are single letters."""
    rows = [
        {"key": f"{i}.png", "image_sha256": image, "confusion_matrix": MATRICES[i].ravel().tolist()}
        for i, image in enumerate(letters)
    ]
    files = []
    for start in range(0, len(rows), 3):
        path = folder / f"images/part-{start:05d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        part = pa.Table.from_pylist(rows[start : start + 3], IMAGES_SCHEMA)
        pq.write_table(part, path)
        files.append({"path": f"images/{path.name}", "rows": len(part)})
    files.append({"path": "rejects/part-00000.parquet", "rows": 1})
    data = {name: config[name] for name in ("dataset", "split", "images") if name in config}
    bundle = storage.read_json(folder.parent / model / "bundle.json")
    metrics = {
        **dict.fromkeys(outputs.EVALUATION.keys),
        "format_version": outputs.EVALUATION.format_version,
        "model": {"fingerprint": bundle["fingerprint"]},
        "run": RUN,
        "started": "2026-01-01T00:00:00Z",
        "data": data,
        "config": {"tta": "flip", "windows": "auto", "window_overlap": 0.25, **config},
        "versions": {"segflow": "0.1.0"},
        "files": files,
    }
    storage.put(folder / "metrics.json", storage.to_json(metrics))
    return folder


def _kept(bundle: Bundle) -> tuple[Mapping[str, Any], np.ndarray[Any, Any]]:
    found = Reference.load(bundle.folder / f"references/{RUN}.json")
    return found.record, np.concatenate(list(found.matrices(3)))


def test_each_images_counts_are_kept_in_order_of_hash(tmp_path: Path, bundle: Bundle) -> None:
    line = reference.keep(_evaluation(tmp_path / "e", "cab", images="/photos"), bundle)

    record, matrices = _kept(bundle)
    assert np.array_equal(matrices, MATRICES[[1, 2, 0]])
    assert line == (
        f"reference: {tmp_path}/model/references/{RUN}.json, 3 images for segflow label to adjust "
        "areas by"
    )
    expected = {
        "model_fingerprint": bundle.fingerprint,
        "run": RUN,
        "evaluation": str(tmp_path / "e"),
        "data": {"images": "/photos"},
        "size": "original",
        "resize": "stretch",
        "tta": "flip",
        "windows": "auto",
        "window_overlap": 0.25,
        "images": 3,
        "pixels": int(MATRICES[:3].sum()),
        "trained_on": 0,
    }
    assert expected.items() <= record.items()


def test_the_bundle_stays_the_model_that_it_was_and_sound(tmp_path: Path, bundle: Bundle) -> None:
    reference.keep(_evaluation(tmp_path / "e", "abc", images="/photos"), bundle)
    assert Bundle.load(bundle.folder).fingerprint == bundle.fingerprint
    assert verify(bundle.folder) == ("model bundle", [])


def test_verify_adds_up_what_a_bundle_keeps(tmp_path: Path, bundle: Bundle) -> None:
    reference.keep(_evaluation(tmp_path / "e", "abc", images="/photos"), bundle)
    path = bundle.folder / f"references/{RUN}.json"
    record = storage.read_json(path)
    lies = {"images": 4, "pixels": 5, "model_fingerprint": "cd" * 32}
    storage.put(path, storage.to_json(record | lies))
    assert verify(bundle.folder)[1] == [
        f"{path}: of another model than this",
        f"{path}: 3 images found, the record says 4; evaluate again",
    ]
    storage.put(path, storage.to_json({**record, "pixels": 5}))
    assert verify(bundle.folder)[1] == [
        f"{path}: pixels: {record['pixels']} found, the record says 5"
    ]
    path.with_suffix(".parquet").write_bytes(b"")
    (problem,) = verify(bundle.folder)[1]
    assert "0 bytes, the record says" in problem


def test_tiles_and_copies_of_an_image_are_one(tmp_path: Path, bundle: Bundle) -> None:
    """Though they lie in several parts: what errs together is one unit."""
    reference.keep(_evaluation(tmp_path / "e", "abacba", images="/photos"), bundle)
    expected = [MATRICES[[0, 2, 5]].sum(0), MATRICES[[1, 4]].sum(0), MATRICES[3]]
    assert np.array_equal(_kept(bundle)[1], expected)


def test_images_that_the_model_was_trained_on_are_left_out(tmp_path: Path, bundle: Bundle) -> None:
    reference.keep(_evaluation(tmp_path / "e", "xayx", images="/photos"), bundle)
    record, matrices = _kept(bundle)
    assert np.array_equal(matrices, MATRICES[[1]])
    assert (record["images"], record["trained_on"]) == (1, 2)


def test_a_training_split_is_no_reference(tmp_path: Path, bundle: Bundle) -> None:
    folder = _evaluation(tmp_path / "e", "xyx", dataset=str(tmp_path / "data"), split="train")
    assert reference.keep(folder, bundle).startswith(
        "reference: none, as the model was trained on every image;"
    )
    assert not (bundle.folder / "references").exists()


def test_images_without_a_pixel_that_counts_are_none(tmp_path: Path, bundle: Bundle) -> None:
    line = reference.keep(_evaluation(tmp_path / "e", "", images="/photos"), bundle)
    assert line.startswith("reference: none, as the model saw no pixel that counts;")


def test_a_dataset_that_was_moved_is_known_by_its_fingerprint(
    tmp_path: Path, bundle: Bundle
) -> None:
    (tmp_path / "data").rename(tmp_path / "moved")
    dataset = {"dataset": str(tmp_path / "moved"), "dataset_fingerprint": "f"}
    reference.keep(_evaluation(tmp_path / "e", "xab", **dataset), bundle)
    record, matrices = _kept(bundle)
    assert (len(matrices), record["trained_on"], record["size"]) == (2, 1, "stored")
    assert record["dataset_fingerprint"] == "f"
    assert "windows" not in record  # they mean nothing to stored examples


def test_without_the_dataset_nobody_knows(tmp_path: Path, bundle: Bundle) -> None:
    (tmp_path / "data/index/part-00000.parquet").unlink()
    reference.keep(_evaluation(tmp_path / "e", "xab", images="/photos"), bundle)
    record, matrices = _kept(bundle)
    assert (len(matrices), record["trained_on"]) == (3, None)


@pytest.mark.parametrize("kind", ["origin", "ensemble"])
def test_what_a_model_was_made_of_counts_too(tmp_path: Path, bundle: Bundle, kind: str) -> None:
    folder = write_bundle(tmp_path / "later", LABELS, model=EmptyModel("later"))
    later = _trained_on(folder, tmp_path / "other data", "z")
    made_of = {"path": str(bundle.folder), "fingerprint": bundle.fingerprint}
    if kind == "origin":
        later = _changed(folder, training={"origin": made_of})
    else:
        later = dataclasses.replace(
            later, record={**later.record, "dataset": None, "members": [made_of]}
        )
    evaluation = _evaluation(tmp_path / "e", "xaz", "later", images="/photos")

    reference.keep(evaluation, later)

    assert _kept(later)[0]["trained_on"] == (2 if kind == "origin" else 1)
    (folder / f"references/{RUN}.json").unlink()
    write_bundle(bundle.folder, LABELS, model=EmptyModel("another"))
    reference.keep(evaluation, later)
    assert _kept(later)[0]["trained_on"] is None  # by now there is another one


def test_once_kept_it_stays(tmp_path: Path, bundle: Bundle) -> None:
    evaluation = _evaluation(tmp_path / "e", "abc", images="/photos")
    reference.keep(evaluation, bundle)
    before = {path: path.read_bytes() for path in bundle.folder.rglob("*") if path.is_file()}
    for part in evaluation.glob("images/*"):
        part.unlink()
    line = reference.keep(evaluation, bundle)
    path = bundle.folder / f"references/{RUN}.json"
    assert line == f"reference: {path}, for segflow label to adjust areas by"
    assert {p: p.read_bytes() for p in bundle.folder.rglob("*") if p.is_file()} == before


def test_a_bundle_that_cannot_be_written_to_costs_a_warning(tmp_path: Path, bundle: Bundle) -> None:
    (bundle.folder / "references").write_bytes(b"in the way: root may write anywhere")
    line = reference.keep(_evaluation(tmp_path / "e", "abc", images="/photos"), bundle)
    assert line.startswith(f"warning: {tmp_path}/model/references cannot be written to (")


def test_an_evaluation_of_before_is_told(tmp_path: Path, bundle: Bundle) -> None:
    folder = _evaluation(tmp_path / "e", "abc", images="/photos")
    path = folder / "images/part-00000.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["image_sha256"]), path)
    assert "of an older segflow; evaluate anew" in reference.keep(folder, bundle)


def test_counts_of_another_model_are_not_kept(tmp_path: Path, bundle: Bundle) -> None:
    """The bundle was trained anew while it was scored."""
    evaluation = _evaluation(tmp_path / "e", "abc", images="/photos")
    another = write_bundle(bundle.folder, LABELS, model=EmptyModel("another"))
    line = reference.keep(evaluation, Bundle.load(another))
    assert line.startswith(f"warning: {another} is by now another model than the one that was")
    assert not (another / "references").exists()


@pytest.mark.parametrize("run", ["../../out", "/out"])
def test_an_evaluation_writes_nothing_outside_the_bundle(
    tmp_path: Path, bundle: Bundle, run: str
) -> None:
    evaluation = _evaluation(tmp_path / "e", "abc", images="/photos")
    metrics = storage.read_json(evaluation / "metrics.json")
    storage.put(evaluation / "metrics.json", storage.to_json(metrics | {"run": run}))
    with pytest.raises(UsageError, match="calls itself the run"):
        reference.keep(evaluation, bundle)


def test_what_was_trained_on_is_looked_up_again_until_it_is_known(
    tmp_path: Path, bundle: Bundle
) -> None:
    evaluation = _evaluation(tmp_path / "e", "xab", images="/photos")
    (tmp_path / "data").rename(tmp_path / "away")
    reference.keep(evaluation, bundle)
    assert _kept(bundle)[0]["trained_on"] is None
    (tmp_path / "away").rename(tmp_path / "data")
    reference.keep(evaluation, bundle)
    record, matrices = _kept(bundle)
    assert (record["trained_on"], record["images"], len(matrices)) == (1, 2, 2)


def test_a_reference_of_nothing_but_what_was_trained_on_goes(
    tmp_path: Path, bundle: Bundle
) -> None:
    evaluation = _evaluation(tmp_path / "e", "xy", images="/photos")
    (tmp_path / "data").rename(tmp_path / "away")
    reference.keep(evaluation, bundle)
    (tmp_path / "away").rename(tmp_path / "data")
    assert "was trained on every image" in reference.keep(evaluation, bundle)
    assert record_paths(bundle.folder) == []


def test_a_split_train_of_which_nobody_knows_is_no_reference(
    tmp_path: Path, bundle: Bundle
) -> None:
    (tmp_path / "data").rename(tmp_path / "away")
    evaluation = _evaluation(tmp_path / "e", "abc", dataset="/elsewhere", split="train")
    assert "models are trained on the split 'train'" in reference.keep(evaluation, bundle)
    assert not (bundle.folder / "references").exists()


def test_a_dataset_that_moved_along_with_its_bundle_is_found(
    tmp_path: Path, bundle: Bundle
) -> None:
    fingerprint = bundle.record["dataset"]["fingerprint"]
    bundle = _changed(bundle.folder, dataset={"fingerprint": fingerprint, "path": "data"})
    reference.keep(_evaluation(tmp_path / "e", "xab", images="/photos"), bundle)
    assert _kept(bundle)[0]["trained_on"] == 1
