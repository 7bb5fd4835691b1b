"""Damaged bundles and datasets: found before any work, told in one line, by every command."""

import json
import shutil
from pathlib import Path

import pytest

from segflow.label_map import LabelClass, LabelMap
from tests.bundles import write_bundle
from tests.drawn import LABELS, Pairs
from tests.programs import IN_MEMORY, run_here, run_program


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return Pairs(tmp_path_factory.mktemp("damaged") / "data", count=12)


@pytest.fixture(scope="module")
def whole_dataset(pairs):
    """12 pairs in shards of two, `train` and `val`."""
    output = pairs.folder / "dataset"
    flags = pairs.flags(output, shard_size=2, splits="train=0.5,val=0.5")
    assert run_program("ingest", *flags, IN_MEMORY).code == 0
    return output


@pytest.fixture(scope="module")
def whole_model(pairs):
    return write_bundle(pairs.folder / "model", LABELS)


@pytest.fixture
def dataset(whole_dataset, tmp_path):
    return shutil.copytree(whole_dataset, tmp_path / "dataset")


@pytest.fixture
def model(whole_model, tmp_path):
    return shutil.copytree(whole_model, tmp_path / "model")


@pytest.fixture
def output(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def refusal(capfd, output):
    """Runs a command that must end with code 2, one line, and nothing written."""

    def run(command: str, *flags: object) -> str:
        ran = run_here(capfd, command, *flags, f"--output={output}")
        assert ran.code == 2
        assert not output.exists()
        return ran.line.removeprefix(f"segflow {command}: ")

    return run


def _alter(path: Path) -> None:
    """Changes one byte; the size stays."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _swap_with_next(path: Path) -> None:
    other = path.with_name(path.name.replace("00000-of", "00001-of"))
    kept = path.read_bytes()
    shutil.copyfile(other, path)
    other.write_bytes(kept)


def _uses_of(model: Path, dataset: Path, pairs: Pairs) -> dict[str, list[str]]:
    """Every command that reads a bundle."""
    return {
        "label": [f"--model={model}", f"--images={pairs.images}"],
        "evaluate": [f"--model={model}", f"--dataset={dataset}"],
    }


@pytest.mark.parametrize("command", ["label", "evaluate"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            _alter,
            "its SHA-256 is not the recorded one, so it was altered or swapped; restore it or make",
        ),
        (_cut, "so it was cut or replaced; restore it or make it anew"),
        (Path.unlink, "missing, though the record lists it; restore it or make it anew"),
    ],
)
def test_a_bundle_whose_model_is_not_the_recorded_one(
    refusal, model, whole_dataset, pairs, command, damage, message
):
    damage(model / "model.keras")
    line = refusal(command, *_uses_of(model, whole_dataset, pairs)[command])
    assert line.startswith(f"{model}/model.keras: ")
    assert message in line


@pytest.mark.parametrize("command", ["label", "evaluate"])
def test_what_is_no_bundle(refusal, whole_dataset, pairs, tmp_path, command):
    for folder, state in ((tmp_path / "nowhere", "does not exist"), (pairs.images, "holds no")):
        line = refusal(command, *_uses_of(folder, whole_dataset, pairs)[command])
        assert line.startswith(f"model {folder}: {state}")
        assert line.endswith("make one with 'segflow train'")


def test_verify_tells_an_altered_bundle(model, capfd):
    assert run_here(capfd, "verify", model).code == 0
    _alter(model / "model.keras")
    ran = run_here(capfd, "verify", model)
    assert (ran.code, ran.line) == (
        1,
        f"segflow verify: {model}: model bundle with 1 problem, listed above",
    )
    assert f"{model}/model.keras: its SHA-256 is not the recorded one" in ran.out


@pytest.mark.parametrize("command", ["train", "evaluate"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (Path.unlink, "missing, though the record lists it; restore it or make it anew"),
        (_cut, "so it was cut or replaced; restore it or make it anew"),
        (_alter, "its SHA-256 is not the recorded one"),
        (_swap_with_next, "val-00000-of-00003.tfrecord: "),
    ],
)
def test_a_damaged_shard_is_found_before_the_first_step(
    refusal, dataset, whole_model, command, damage, message
):
    damage(dataset / "val-00000-of-00003.tfrecord")
    flags = {"train": ["--batch-size=2"], "evaluate": [f"--model={whole_model}"]}
    line = refusal(command, f"--dataset={dataset}", *flags[command])
    assert line.startswith(f"{dataset}/val-00000-of-00003.tfrecord: ")
    assert message in line


def test_verify_tells_every_damaged_shard(dataset, capfd):
    assert run_here(capfd, "verify", dataset).code == 0
    _swap_with_next(dataset / "val-00000-of-00003.tfrecord")
    (dataset / "train-00000-of-00003.tfrecord").unlink()
    ran = run_here(capfd, "verify", dataset)
    assert (ran.code, ran.line) == (
        1,
        f"segflow verify: {dataset}: dataset with 3 problems, listed above",
    )
    for name in ("val-00000-of-00003", "val-00001-of-00003", "train-00000-of-00003"):
        assert f"{dataset}/{name}.tfrecord: " in ran.out


@pytest.fixture(scope="module")
def whole_labels(whole_model, pairs):
    output = pairs.folder / "labels"
    flags = [f"--model={whole_model}", f"--images={pairs.images}", f"--output={output}"]
    assert run_program("label", *flags, IN_MEMORY).code == 0
    return output


def test_verify_tells_damaged_labels(whole_labels, tmp_path, capfd):
    folder = shutil.copytree(whole_labels, tmp_path / "labels")
    assert run_here(capfd, "verify", folder).code == 0
    (areas,) = folder.glob("areas/**/*.parquet")
    _alter(areas)
    ran = run_here(capfd, "verify", folder)
    assert (ran.code, ran.line) == (
        1,
        f"segflow verify: {folder}: labels with 1 problem, listed above",
    )
    assert f"{areas}: its SHA-256 is not the recorded one" in ran.out


@pytest.mark.parametrize("text", ["{", "", "[]", "{}", '{"files": null}'])
@pytest.mark.parametrize("kind", ["dataset", "model", "labels"])
def test_a_record_that_cannot_be_read_is_told_by_verify_and_report(
    whole_dataset, whole_model, whole_labels, tmp_path, capfd, kind, text
):
    whole = {"dataset": whole_dataset, "model": whole_model, "labels": whole_labels}[kind]
    folder = shutil.copytree(whole, tmp_path / kind)
    records = {"dataset": "dataset.json", "model": "bundle.json", "labels": "runs/*.json"}
    (record,) = folder.glob(records[kind])
    record.write_text(text)
    ran = run_here(capfd, "verify", folder)
    assert (ran.code, len(ran.errors), ran.out.startswith(f"{record}: ")) == (1, 1, True)
    ran = run_here(capfd, "report", folder)
    assert (ran.code, ran.line.startswith(f"segflow report: {record}: ")) == (2, True)


@pytest.mark.parametrize("command", ["train", "evaluate"])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a dataset record"),
        ('{"format_version": 99}', "format version 99, this segflow reads 1"),
    ],
)
def test_a_record_that_cannot_be_read(refusal, dataset, whole_model, command, text, message):
    (dataset / "dataset.json").write_text(text)
    flags = {"train": ["--batch-size=2"], "evaluate": [f"--model={whole_model}"]}
    assert message in refusal(command, f"--dataset={dataset}", *flags[command])


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_what_is_no_dataset(refusal, whole_model, pairs, command):
    flags = {"train": ["--batch-size=2"], "evaluate": [f"--model={whole_model}"]}
    line = refusal(command, f"--dataset={pairs.images}", *flags[command])
    assert line.startswith(f"dataset {pairs.images}: holds no dataset.json")
    assert line.endswith("make one with 'segflow ingest'")


def test_a_split_that_is_not_there(refusal, whole_dataset, whole_model):
    line = refusal("evaluate", f"--model={whole_model}", f"--dataset={whole_dataset}", "--split=x")
    assert line == f"dataset {whole_dataset}: no split 'x'; it has train, val"


def test_a_model_of_other_classes(refusal, whole_dataset, tmp_path):
    others = LabelMap((LabelClass(0, "cat"), LabelClass(1, "dog"), LabelClass(2, "cow")))
    model = write_bundle(tmp_path / "other", others)
    line = refusal("evaluate", f"--model={model}", f"--dataset={whole_dataset}")
    assert "differ in their classes: ground, disc, bar and cat, dog, cow" in line


def test_fewer_examples_than_a_batch(refusal, whole_dataset):
    assert "set --batch-size to at most" in refusal(
        "train", f"--dataset={whole_dataset}", "--batch-size=100"
    )


def test_an_evaluation_of_data_that_has_changed_is_not_called_complete(
    dataset, whole_model, output, tmp_path, capfd
):
    model = f"--model={whole_model}"
    flags = [model, f"--dataset={dataset}", f"--output={output}"]
    assert run_here(capfd, "evaluate", *flags).code == 0
    assert run_here(capfd, "evaluate", *flags).code == 0
    record = json.loads((dataset / "dataset.json").read_text())
    (dataset / "dataset.json").write_text(json.dumps(record | {"fingerprint": "0" * 64}))
    ran = run_here(capfd, "evaluate", *flags)
    assert (ran.code, "dataset_fingerprint is" in ran.line) == (2, True)

    pairs = Pairs(tmp_path / "more", count=2)
    raw = [model, f"--images={pairs.images}", f"--masks={pairs.masks}"]
    flags = [*raw, f"--output={tmp_path / 'raw'}"]
    assert run_here(capfd, "evaluate", *flags).code == 0
    assert run_here(capfd, "evaluate", *flags).code == 0
    pairs.add("third")
    ran = run_here(capfd, "evaluate", *flags)
    assert ran.code == 2
    assert "is complete, but its source files have changed since, or others are there" in ran.line
