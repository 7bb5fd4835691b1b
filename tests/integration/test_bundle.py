"""`segflow bundle` as a user runs it: a Keras file becomes a bundle that every command takes."""

from pathlib import Path

import keras
import numpy as np
import pyarrow.parquet as pq
import pytest
from keras import layers
from PIL import Image

from segflow import storage
from segflow.data.mask_formats import decode
from tests import drawn
from tests.bundles import write_bundle
from tests.programs import run_here
from tests.unit.models import averages

SIZE = drawn.SIZE


class Made:
    """Pairs at the model's size, a user's file that gives probabilities, and its bundle."""

    def __init__(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.pairs = drawn.Pairs(folder / "data")
        self.file, self.bundle = folder / "mine.keras", folder / "bundle"
        self.model = _model()
        self.model.save(self.file)
        self.ran = run_here(capfd, "bundle", *self.flags())

    def flags(self, **changes: object) -> list[str]:
        """What `segflow bundle` needs."""
        needed = {
            "model-file": self.file,
            "label-map": self.pairs.label_map,
            "image-size": f"{SIZE[0]}x{SIZE[1]}",
            "pixel-range": "0,1",
            "output": self.bundle,
        }
        return [f"--{name}={value}" for name, value in {**needed, **changes}.items()]


def _model() -> keras.Model:
    """Takes pixels of 0 to 1; compiled with a loss of the user's own, as such files are."""
    pixels = keras.Input((None, None, 3))
    initializer = keras.initializers.RandomNormal(stddev=2.0, seed=3)
    x = layers.Conv2D(3, 3, padding="same", kernel_initializer=initializer)(pixels)
    model = keras.Model(pixels, layers.Softmax()(x))

    def own_loss(truth, said):
        return keras.ops.mean(truth - said)

    model.compile("adam", own_loss)
    return model


@pytest.fixture
def made(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Made:
    made = Made(tmp_path, capfd)
    assert made.ran.code == 0, made.ran.errors
    return made


def test_the_bundle_labels_as_the_file_says(made, tmp_path, capfd):
    record = storage.read_json(made.bundle / "bundle.json")
    assert record["metrics"] is record["confusion_matrix"] is record["dataset"] is None
    assert record["source"]["path"] == str(made.file)
    assert record["source"]["found"] == "probabilities"
    assert "the file gives probabilities" in made.ran.out

    flags = (f"--model={made.bundle}", f"--images={made.pairs.images}")
    ran = run_here(capfd, "label", *flags, f"--output={tmp_path / 'labels'}")
    assert ran.code == 0, ran.errors
    for row in pq.read_table(tmp_path / "labels/images").to_pylist():
        with Image.open(row["image_uri"]) as image:
            pixels = np.asarray(image, np.float32)[None] / 255
        share = np.asarray(made.model(pixels))[0]
        assert np.array_equal(decode(row["mask"], "png"), share.argmax(-1))
        assert row["mean_confidence"] == pytest.approx(share.max(-1).mean(), abs=1e-5)


def test_every_command_takes_it(made, tmp_path, capfd):
    other = write_bundle(tmp_path / "other", drawn.LABELS, SIZE)
    commands = [
        ("verify", made.bundle),
        ("explain", made.bundle),
        ("report", made.bundle),
        ("report", made.bundle, other, f"--output={tmp_path / 'both.html'}"),
        ("ensemble", f"--model={made.bundle}", f"--model={other}", f"--output={tmp_path / 'two'}"),
        (
            *("evaluate", f"--model={made.bundle}", f"--images={made.pairs.images}"),
            *(f"--masks={made.pairs.masks}", f"--output={tmp_path / 'scores'}"),
        ),
    ]
    for command in commands:
        ran = run_here(capfd, *command)
        assert (ran.code, ran.errors) == (0, []), command
        assert command[0] != "explain" or str(made.file) in ran.out

    assert "Made of a Keras file" in (made.bundle / "report.html").read_text()
    ensemble = keras.models.load_model(tmp_path / "two/model.keras")
    plain = keras.models.load_model(other / "model.keras")
    pixels = averages.noise(SIZE)
    expected = (np.asarray(made.model(pixels / 255)) + averages.ask(plain, pixels)) / 2
    found = averages.softmax(np.asarray(ensemble(pixels), np.float64))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_finished_bundle_is_left_as_it_is_and_another_is_refused(made, capfd, tmp_path):
    before = (made.bundle / "bundle.json").stat().st_mtime_ns
    assert run_here(capfd, "bundle", *made.flags()).code == 0
    assert (made.bundle / "bundle.json").stat().st_mtime_ns == before

    other = run_here(capfd, "bundle", *made.flags(resize="letterbox"))
    assert other.code == 2
    assert "holds another bundle: its resize is not the one asked for" in other.line
    trained = write_bundle(tmp_path / "trained", drawn.LABELS, SIZE)
    assert "holds another bundle" in run_here(capfd, "bundle", *made.flags(output=trained)).line


def test_what_cannot_become_a_bundle_leaves_nothing_behind(made, tmp_path, capfd):
    (tmp_path / "text.keras").write_text("no model")
    for changes, words in (
        ({"model-file": tmp_path / "none.keras"}, "no such .keras file; expected what model.save"),
        ({"model-file": tmp_path / "text.keras"}, "not a .keras file as Keras 3 writes it"),
        ({"gives": "logits", "image-size": "0x4"}, "--image-size must be HEIGHTxWIDTH"),
        ({"label-map": _four_classes(tmp_path)}, "gives (None, 16, 24, 3), expected (None, 16, 24"),
        ({"output": made.pairs.images}, "holds 'pair-0.png', which is not of this bundle"),
    ):
        ran = run_here(capfd, "bundle", *made.flags(**{"output": tmp_path / "no", **changes}))
        assert ran.code == 2
        assert words in ran.line
        assert not (tmp_path / "no").exists()


def _four_classes(folder: Path) -> Path:
    classes = [{"id": i, "name": str(i)} for i in range(4)]
    storage.put(folder / "four.json", storage.to_json({"classes": classes}))
    return folder / "four.json"


def test_an_interrupted_one_is_begun_anew(made, tmp_path, capfd):
    output = tmp_path / "again"
    (output / "_bundle").mkdir(parents=True)
    (output / "model.keras").write_bytes(b"half")

    assert run_here(capfd, "bundle", *made.flags(output=output)).code == 0

    assert run_here(capfd, "verify", output).code == 0
    assert not (output / "_bundle").exists()


def test_training_does_not_go_on_from_it(made, tmp_path, capfd):
    dataset = tmp_path / "dataset"
    assert (
        run_here(capfd, "ingest", *made.pairs.flags(dataset, splits="train=0.5,val=0.5")).code == 0
    )

    ran = run_here(
        capfd,
        *("train", f"--dataset={dataset}", f"--from-bundle={made.bundle}"),
        f"--output={tmp_path / 'trained'}",
    )
    assert ran.code == 2
    assert "was made of a Keras file by 'segflow bundle'" in ran.line
    onto = run_here(capfd, "train", f"--dataset={dataset}", f"--output={made.bundle}")
    assert onto.code == 2
    assert "holds the bundle of a Keras file; choose another folder" in onto.line
