"""The bundle: what it records, and that an altered one is refused."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import keras
import numpy as np
import pytest

from segflow import scores, storage
from segflow.dataset import Dataset
from segflow.errors import UsageError
from segflow.models.registry import build_model
from segflow.train.bundle import Bundle
from segflow.train.bundle_record import write_record
from tests import hostile


@pytest.fixture(scope="module")
def original(dataset_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles") / "model"
    folder.mkdir()
    build_model("unet", (16, 24), 3, {"filters": 2, "depth": 1}).save(folder / "model.keras")
    dataset = Dataset.load(dataset_folder)
    summary = scores.summarize(np.eye(3, dtype=np.int64), dataset.label_map.names)
    write_record(
        folder,
        dataset,
        architecture={"name": "unet"},
        training={"seed": 0},
        scores={**summary, "split": "val", "examples": 5},
    )
    return folder


@pytest.fixture
def folder(original, tmp_path):
    return shutil.copytree(original, tmp_path / "model")


def _edit(folder, **changes):
    record = storage.read_json(folder / "bundle.json") | changes
    storage.put(folder / "bundle.json", storage.to_json(record))


def test_it_holds_the_contract(folder, dataset_folder):
    dataset = Dataset.load(dataset_folder)
    bundle = Bundle.load(folder)
    assert bundle.label_map == dataset.label_map
    assert bundle.image_size == (16, 24)
    assert bundle.resize == "stretch"
    assert bundle.record["format_version"] == 1
    assert bundle.record["dataset"]["fingerprint"] == dataset.fingerprint
    assert bundle.record["metrics"]["per_class"]["disc"]["iou"] == 1
    assert bundle.record["confusion_matrix"] == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert set(bundle.record["versions"]) == {"segflow", "keras", "tensorflow", "numpy", "python"}


def test_bands_and_value_range_are_the_data_sets(folder, dataset_folder):
    bundle = Bundle.load(folder)
    assert (bundle.bands, bundle.value_range) == (None, (0, 65535))
    dataset = Dataset.load(dataset_folder)
    chosen = {"bands": [4, 3, 2], "value_range": [0, 3000]}
    other = write_record(
        folder,
        replace(dataset, record={**dataset.record, **chosen}),
        architecture={},
        training={},
        scores={"confusion_matrix": [], "mean_iou": None},
    )
    assert (other.bands, other.value_range) == ((4, 3, 2), (0, 3000))
    assert other.fingerprint != bundle.fingerprint


def test_a_bundle_from_before_there_were_bands_has_the_same_fingerprint(folder):
    record = storage.read_json(folder / "bundle.json")
    del record["bands"], record["value_range"]
    storage.put(folder / "bundle.json", storage.to_json(record))
    assert Bundle.load(folder).bands is None


def test_its_model_is_plain_keras_and_uncompiled(folder):
    model = Bundle.load(folder).load_model()
    assert type(model).__module__.startswith("keras.")
    assert not model.compiled
    assert model.output_shape == (None, 16, 24, 3)
    assert all(type(layer).__module__.startswith("keras.") for layer in model.layers)


def test_code_in_a_model_file_is_refused(folder):
    inputs = keras.Input((16, 24, 3))
    unsafe = keras.Model(inputs, keras.layers.Lambda(lambda x: x + 1)(inputs))
    unsafe.save(folder / "model.keras")
    hostile.sign(folder)
    with pytest.raises(UsageError, match="holds a Lambda layer, which is code"):
        Bundle.load(folder)


def test_a_record_that_names_another_model_file_is_refused(folder):
    model = storage.read_json(folder / "bundle.json")["model"]
    _edit(folder, model={**model, "file": "../model.keras"})
    with pytest.raises(UsageError, match=r"it names '../model.keras' as the model file, expected"):
        Bundle.load(folder)


def test_an_altered_model_file_is_refused(folder):
    data = bytearray((folder / "model.keras").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "model.keras").write_bytes(data)
    with pytest.raises(UsageError, match=r"model\.keras.*altered"):
        Bundle.load(folder)


def test_a_cut_model_file_is_refused(folder):
    (folder / "model.keras").write_bytes((folder / "model.keras").read_bytes()[:-1])
    with pytest.raises(UsageError, match=r"model\.keras.*bytes"):
        Bundle.load(folder)


def test_a_missing_model_file_is_refused(folder):
    (folder / "model.keras").unlink()
    with pytest.raises(UsageError, match="missing"):
        Bundle.load(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"image_size": [8, 8]},
        {"resize": "letterbox"},
        {"bands": [3, 2, 1]},
        {"value_range": [0, 1000]},
    ],
)
def test_a_record_edited_by_hand_is_refused(folder, changes):
    _edit(folder, **changes)
    with pytest.raises(UsageError, match="edited by hand"):
        Bundle.load(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 2}, "format version 2"),
        ({"model": {}}, "not a bundle record"),
        ({"image_size": None}, "not a bundle record"),
        ({"label_map": {"classes": []}}, "no classes"),
        ({"resize": "whatever"}, "resize 'whatever', expected one of stretch, letterbox, crop, "),
        ({"resize": ["stretch"]}, "resize .'stretch'., expected one of"),
        ({"image_size": [16.5, 24]}, r"image_size \[16.5, 24\], expected two whole numbers"),
        ({"image_size": [True, 24]}, "expected two whole numbers"),
        ({"image_size": [0, 24]}, "expected two whole numbers of 1 to 99999"),
        ({"image_size": ["16", "24"]}, "expected two whole numbers"),
    ],
)
def test_an_unsound_record_is_refused(folder, changes, message):
    _edit(folder, **changes)
    with pytest.raises(UsageError, match=message):
        Bundle.load(folder)


@pytest.mark.parametrize(
    ("shape", "classes", "dtype", "message"),
    [
        (
            (16, 24, 3),
            5,
            "float32",
            r"gives \(None, 16, 24, 5\), expected .*, as bundle",
        ),
        ((16, 24, 3), 1, "float32", r"gives \(None, 16, 24, 1\), expected"),
        ((8, 24, 3), 3, "float32", r"takes \(None, 8, 24, 3\) and gives"),
        ((None, None, 3), 3, "float32", r"takes \(None, None, None, 3\) and gives"),
        ((16, 24, 3), 3, "float16", "gives float16, expected float32"),
    ],
)
def test_a_model_that_the_record_does_not_describe_is_refused(
    folder, shape, classes, dtype, message
):
    pixels = keras.Input(shape)
    keras.Model(pixels, keras.layers.Conv2D(classes, 1, dtype=dtype)(pixels)).save(
        folder / "model.keras"
    )
    bundle = Bundle.load(hostile.sign(folder))
    with pytest.raises(UsageError, match=message) as refusal:
        bundle.load_model()
    assert "\n" not in str(refusal.value)


def test_what_is_no_bundle_says_how_to_make_one(tmp_path):
    with pytest.raises(UsageError, match=r"holds no bundle\.json; make one with 'segflow train'"):
        Bundle.load(tmp_path)
    with pytest.raises(UsageError, match="does not exist"):
        Bundle.load(tmp_path / "absent")
    (tmp_path / "bundle.json").write_text("{")
    with pytest.raises(UsageError, match="not a bundle record"):
        Bundle.load(tmp_path)


def test_the_fingerprint_depends_on_the_model(folder):
    before = Bundle.load(folder).fingerprint
    build_model("unet", (16, 24), 3, {"filters": 3, "depth": 1}).save(folder / "model.keras")
    record = storage.read_json(folder / "bundle.json")
    assert record["fingerprint"] == before
    dataset = record["dataset"]["path"]
    bundle = write_record(
        folder,
        Dataset.load(dataset),
        architecture={},
        training={},
        scores={"confusion_matrix": [], "mean_iou": None},
    )
    assert bundle.fingerprint != before


def test_reading_a_bundle_loads_neither_keras_nor_tensorflow(folder):
    code = (
        "import sys; from segflow.train.bundle import Bundle; Bundle.load(sys.argv[1]); "
        "import segflow.train.config, segflow.train.trainer, segflow.models.registry, json; "
        "print(json.dumps(sorted({m.partition('.')[0] for m in sys.modules})))"
    )
    command = [sys.executable, "-c", code, str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not {"keras", "tensorflow", "apache_beam"} & set(json.loads(result.stdout))
