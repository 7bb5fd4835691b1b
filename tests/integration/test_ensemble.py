"""`segflow ensemble` as a user runs it: two trained models of unequal sizes become one bundle."""

import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

from pipelines import main
from segflow import storage
from segflow.train.bundle import Bundle
from tests import drawn
from tests.programs import IN_MEMORY, run_here
from tests.unit.models import averages

TINY = ("--filters=4", "--depth=2", "--epochs=8", "--batch-size=4", "--learning-rate=0.02")
SIZES = ("16x24", "24x36")


class Made:
    """Pairs, a dataset and a model of each size, and ensembles: `fitted` weights, and `given`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pairs = drawn.Pairs(folder / "drawn", 24)
        self.datasets = [folder / f"data-{size}" for size in SIZES]
        self.models = [folder / f"model-{size}" for size in SIZES]
        for size, dataset, model in zip(SIZES, self.datasets, self.models, strict=True):
            flags = self.pairs.flags(dataset, image_size=size, splits="train=0.5,val=0.5")
            assert main.main(["ingest", *flags, IN_MEMORY]) == 0
            assert main.main(["train", f"--dataset={dataset}", f"--output={model}", *TINY]) == 0
        self.fitted, self.given = folder / "fitted", folder / "given"
        dataset = f"--dataset={self.datasets[0]}"
        self.fitting = [*self.flags(self.fitted), "--member-weights=fitted", dataset]
        assert main.main(["ensemble", *self.fitting]) == 0
        how = ("--member-weights=3,1", "--image-size=20x30")
        assert main.main(["ensemble", *self.flags(self.given), *how]) == 0

    def flags(self, output: Path) -> list[str]:
        """What `segflow ensemble` needs at least."""
        return [*(f"--model={model}" for model in self.models), f"--output={output}"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("ensemble"))


def _record(folder: Path) -> dict:
    return storage.read_json(folder / "bundle.json")


def test_it_says_the_weighted_mean_of_what_its_calibrated_members_say(made):
    """Of three files of Keras, loaded with nothing of segflow."""
    ensemble = keras.models.load_model(made.given / "model.keras")
    members = [keras.models.load_model(model / "model.keras") for model in made.models]
    pixels = averages.noise((20, 30))

    found = averages.softmax(np.asarray(ensemble(pixels), np.float64))

    temperatures = [_record(model)["calibration"]["temperature"] for model in made.models]
    assert all(abs(temperature - 1) > 0.01 for temperature in temperatures)
    small, large = map(averages.ask, members, [pixels, pixels], temperatures)
    # Single precision, in which pictures are resized, tells more behind the layers of a U-Net.
    np.testing.assert_allclose(found, 0.75 * small + 0.25 * large, atol=1e-4)


def test_members_and_ensemble_are_scored_side_by_side(made):
    record = _record(made.fitted)
    members = record["members"]

    assert [Path(member["path"]) for member in members] == made.models
    assert sum(member["weight"] for member in members) == pytest.approx(1)
    assert [m["fingerprint"] for m in members] == [Bundle.load(m).fingerprint for m in made.models]
    # The first was trained on this very dataset, and scored then.
    assert members[0]["metrics"]["mean_iou"] == _record(made.models[0])["metrics"]["mean_iou"]
    assert record["metrics"]["split"] == members[1]["metrics"]["split"] == "val"
    assert record["image_size"] == [24, 36]
    fit = record["ensemble"]["fit"]
    assert 0 < fit["loss"] <= fit["loss_with_equal_weights"] + 1e-6
    pixels = sum(c["pixels"] for c in record["metrics"]["per_class"].values())
    assert fit["pixels"] == pixels  # all of so few


def test_evaluate_finds_the_same_scores(made, tmp_path, capfd):
    flags = (f"--model={made.fitted}", f"--dataset={made.datasets[0]}", "--split=val")
    ran = run_here(capfd, "evaluate", *flags, f"--output={tmp_path / 'scores'}")

    assert ran.code == 0, ran.errors
    found = storage.read_json(tmp_path / "scores/metrics.json")
    # But for rounding to whole numbers when pictures are resized.
    expected = _record(made.fitted)["metrics"]
    assert found["pixel_accuracy"] == pytest.approx(expected["pixel_accuracy"], abs=0.005)


def test_evaluate_averages_over_views_and_says_so(made, tmp_path, capfd):
    flags = (f"--model={made.models[0]}", f"--dataset={made.datasets[0]}")
    flags = (*flags, f"--output={tmp_path / 'scores'}")
    assert run_here(capfd, "evaluate", *flags, "--tta=flip_scale").code == 0

    found = storage.read_json(tmp_path / "scores/metrics.json")
    assert found["config"]["tta"] == "flip_scale"
    assert found["confusion_matrix"] != _record(made.models[0])["confusion_matrix"]
    plain = run_here(capfd, "evaluate", *flags)
    assert plain.code == 2
    assert "tta is flip_scale there and none here" in plain.line


def test_train_leaves_an_ensemble_alone(made, capfd):
    flags = (f"--dataset={made.datasets[0]}", f"--output={made.given}")
    ran = run_here(capfd, "train", *flags)

    assert ran.code == 2
    assert "given holds an ensemble; choose another folder" in ran.line


def test_an_ensemble_that_is_finished_is_left_as_it_is(made, tmp_path, capfd):
    before = (made.fitted / "bundle.json").read_bytes()

    assert run_here(capfd, "ensemble", *made.fitting).code == 0
    assert (made.fitted / "bundle.json").read_bytes() == before

    other = run_here(capfd, "ensemble", *made.flags(made.fitted))
    assert other.code == 2
    assert "--member-weights is fitted there and equal here; choose another folder" in other.line

    trained = run_here(capfd, "ensemble", *made.flags(made.models[0]))
    assert trained.code == 2
    assert "holds another model" in trained.line


def test_one_of_members_at_other_temperatures_is_another(made, tmp_path, capfd):
    """As made by a version that did not calibrate members."""
    output = shutil.copytree(made.given, tmp_path / "ensemble")
    record = _record(output)
    for member in record["members"]:
        del member["temperature"]
    storage.put(output / "bundle.json", storage.to_json(record))

    how = ("--member-weights=3,1", "--image-size=20x30")
    ran = run_here(capfd, "ensemble", *made.flags(output), *how)

    assert ran.code == 2
    assert "temperatures is [1, 1] there and [" in ran.line


def test_one_that_was_interrupted_is_begun_anew(made, tmp_path, capfd):
    output = tmp_path / "ensemble"
    (output / "_ensemble").mkdir(parents=True)
    (output / "model.keras").write_bytes(b"half")

    assert run_here(capfd, "ensemble", *made.flags(output)).code == 0

    assert run_here(capfd, "verify", output).code == 0
    assert not (output / "_ensemble").exists()


def test_without_a_dataset_it_has_no_scores_and_works_all_the_same(made, tmp_path, capfd):
    record = _record(made.given)
    assert record["metrics"] is record["confusion_matrix"] is record["dataset"] is None
    assert [member["weight"] for member in record["members"]] == [0.75, 0.25]
    fitted = [_record(model)["calibration"]["temperature"] for model in made.models]
    assert [member["temperature"] for member in record["members"]] == fitted
    assert record["calibration"] is None
    assert record["image_size"] == [20, 30]
    assert run_here(capfd, "verify", made.given).code == 0
    page = run_here(capfd, "report", *made.models, made.given, f"--output={tmp_path / 'all.html'}")
    assert page.out == f"report: {tmp_path / 'all.html'}\n"


def test_an_altered_model_is_refused(made, tmp_path, capfd):
    output = shutil.copytree(made.fitted, tmp_path / "ensemble")
    data = bytearray((output / "model.keras").read_bytes())
    data[len(data) // 2] ^= 1
    (output / "model.keras").write_bytes(data)

    label = ("label", f"--model={output}", f"--images={made.pairs.images}")
    for command in (("verify", output), (*label, f"--output={tmp_path / 'labels'}")):
        ran = run_here(capfd, *command)
        assert ran.code
        assert "altered" in " ".join([ran.out, *ran.errors])


def test_labels_made_with_other_views_are_not_mixed(made, tmp_path, capfd):
    flags = (f"--model={made.fitted}", f"--images={made.pairs.images}")
    output = tmp_path / "labels"
    assert run_here(capfd, "label", *flags, f"--output={output}", "--tta=flip").code == 0
    assert run_here(capfd, "verify", output).code == 0

    plain = run_here(capfd, "label", *flags, f"--output={output}")
    assert plain.code == 2
    assert "--tta none: this model has labelled into" in plain.line
    assert "with flip" in plain.line
    words = (*flags, f"--output={output}", "--tta=flip", "--uncertain-below=0.5")
    other = run_here(capfd, "label", *words)
    assert other.code == 2
    assert "--uncertain-below 0.5: this model has labelled into" in other.line

    again = run_here(capfd, "label", *flags, f"--output={output}", "--tta=flip")
    assert "nothing new to label" in again.out
    other = run_here(capfd, "label", f"--model={made.models[0]}", *flags[1:], f"--output={output}")
    assert other.code == 0
    (first, second) = sorted(output.glob("runs/*.json"))
    assert [storage.read_json(run)["config"]["tta"] for run in (first, second)] == ["flip", "none"]
