"""Bundles that were made to do harm: every command refuses them, before anything runs."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import segflow
from segflow import storage
from segflow.errors import UsageError
from tests import hostile
from tests.bundles import write_bundle
from tests.drawn import LABELS, Pairs
from tests.programs import run_here
from tests.unit.train.datasets import write_dataset


class Place:
    """A sound bundle that an attack may change, pictures, and a dataset."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data = folder, folder / "data"
        self.model, self.other = folder / "model", folder / "other"
        self.dataset = folder / "dataset"

    def draw(self) -> "Place":
        """Writes all of it."""
        write_bundle(self.model, LABELS, (16, 24))
        write_bundle(self.other, LABELS, (8, 12))
        write_dataset(self.dataset, {"train": [4], "val": [2]}, LABELS)
        Pairs(self.data)
        return self

    def commands(self) -> list[tuple[object, ...]]:
        """Every command that takes a bundle."""
        model, images = f"--model={self.model}", f"--images={self.data / 'images'}"
        output = f"--output={self.folder / 'out'}"
        return [
            ("label", model, images, output),
            ("evaluate", model, images, f"--masks={self.data / 'masks'}", output),
            ("ensemble", model, f"--model={self.other}", output),
            ("train", f"--dataset={self.dataset}", f"--from-bundle={self.model}", output),
        ]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("sound")).draw()


@pytest.fixture
def place(sound: Place, tmp_path: Path) -> Place:
    shutil.copytree(sound.folder, tmp_path, dirs_exist_ok=True)
    return Place(tmp_path)


def _forged(change: str) -> Callable[[Place], None]:
    def attack(place: Place) -> None:
        file = place.model / "model.keras"
        hostile.forge(file, file, hostile.CONFIGS[change][0])
        hostile.sign(place.model)

    return attack


def _packed(place: Place) -> None:
    file = place.model / "model.keras"
    hostile.forge(file, file, members=hostile.ARCHIVES["path outside"][0])
    hostile.sign(place.model)


def _altered(place: Place) -> None:
    file = place.model / "model.keras"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def _elsewhere(place: Place) -> None:
    """The record names a model file that lies outside the bundle."""
    shutil.move(place.model / "model.keras", place.folder / "outside.keras")
    record = storage.read_json(place.model / "bundle.json")
    record["model"]["file"] = "../outside.keras"
    storage.put(place.model / "bundle.json", storage.to_json(record))


_ATTACKS = {
    "lambda layer": (_forged("lambda"), "it holds a Lambda layer, which is code"),
    "function to import": (_forged("function to import"), "it names 'os.system'"),
    "custom object": (_forged("custom object"), "the custom object 'mine>Mine'"),
    "gigantic layer": (_forged("gigantic layer"), "its layers ask for 4,000,000,000 weights"),
    "odd member": (_packed, "it holds '../../evil.py'"),
    "altered file": (_altered, "its SHA-256 is not the recorded one"),
    "path outside": (_elsewhere, "'../outside.keras'"),
}


@pytest.mark.parametrize("attack", _ATTACKS)
def test_every_command_refuses_it_in_a_line(attack, place, capfd, monkeypatch):
    change, words = _ATTACKS[attack]
    change(place)

    def load(*_: object, **__: object) -> None:
        raise AssertionError("Keras was asked to load it")

    if "keras" in sys.modules:
        monkeypatch.setattr(sys.modules["keras"].models, "load_model", load)
    for command in place.commands():
        ran = run_here(capfd, *command)
        assert ran.code == 2, command
        assert words in ran.line
        assert not (place.folder / "out").exists()
    ran = run_here(capfd, "verify", place.model)
    assert ran.code == 1
    assert words in ran.out + "".join(ran.errors)
    with pytest.raises(UsageError, match="model"):
        segflow.load_bundle(place.model)


def test_a_report_opens_no_model_file(place, capfd, monkeypatch):
    """It shows what the record says; of a file elsewhere it shows nothing."""
    (place.model / "model.keras").unlink()
    record = storage.read_json(place.model / "bundle.json")
    record["architecture"]["weights"] = 12
    storage.put(place.model / "bundle.json", storage.to_json(record))
    assert run_here(capfd, "report", place.model).code == 0
    record["model"]["file"] = "/etc/passwd"
    storage.put(place.model / "bundle.json", storage.to_json(record))

    ran = run_here(capfd, "report", place.model)

    assert ran.code == 2
    assert "its record lists '/etc/passwd', which lies outside the folder" in ran.line


def test_a_function_that_a_record_names_is_not_imported(place, capfd, monkeypatch):
    """The name of an architecture is that of code, where it is `module:function`."""
    (place.folder / "canary.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(place.folder)
    record = storage.read_json(place.model / "bundle.json")
    record["architecture"]["name"] = "canary:build"
    storage.put(place.model / "bundle.json", storage.to_json(record))

    ran = run_here(capfd, *place.commands()[-1])

    assert ran.code == 2
    assert "is of canary:build, whose code would be run here; give --architecture" in ran.line
    assert "canary" not in sys.modules
    assert not (place.folder / "out").exists()


def test_a_user_file_is_looked_at_before_keras_opens_it(place, capfd):
    file = hostile.forge(
        place.model / "model.keras", place.folder / "m.keras", hostile.CONFIGS["lambda"][0]
    )
    ran = run_here(
        capfd,
        *("bundle", f"--model-file={file}", f"--label-map={place.data / 'labels.json'}"),
        *("--image-size=16x24", f"--output={place.folder / 'out'}"),
    )
    assert ran.code == 2
    assert "it holds a Lambda layer, which is code" in ran.line
    assert not (place.folder / "out").exists()
