"""An ensemble says the mean of what its members say, and is one plain Keras model."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from scipy import ndimage

from segflow.models.ensemble import build_ensemble, build_likelihoods
from segflow.models.probabilities import at_size, at_temperature
from segflow.models.registry import build_model
from tests.unit.models import averages

SIZE = (20, 24)
SIZES = [(20, 24), (10, 12), (30, 36), (13, 31)]
WEIGHTS = (0.4, 0.3, 0.2, 0.1)
TEMPERATURES = (3.0, 1.0, 0.5, 1.7)


@pytest.fixture(scope="module")
def members() -> list[keras.Model]:
    return [averages.tiny_model(seed, size) for seed, size in enumerate(SIZES)]


def _run(model: keras.Model, pixels: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(model(pixels)).astype(np.float64)


def test_its_softmax_is_the_weighted_mean_of_its_members_probabilities(members):
    pixels = averages.noise(SIZE)

    found = averages.softmax(_run(build_ensemble(members, WEIGHTS, SIZE), pixels))

    parts = [averages.ask(member, pixels) for member in members]
    expected = sum(w * part for w, part in zip(WEIGHTS, parts, strict=True))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert all(np.abs(found - part).max() > 0.1 for part in parts)  # no member alone


def _calibrated(members: list[keras.Model]) -> list[keras.Model]:
    return [at_temperature(m, t) for m, t in zip(members, TEMPERATURES, strict=True)]


def test_calibrated_members_are_averaged_at_their_temperatures(members):
    pixels = averages.noise(SIZE)

    found = averages.softmax(_run(build_ensemble(_calibrated(members), WEIGHTS, SIZE), pixels))

    parts = [averages.ask(m, pixels, t) for m, t in zip(members, TEMPERATURES, strict=True)]
    expected = sum(w * part for w, part in zip(WEIGHTS, parts, strict=True))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    uncalibrated = averages.softmax(_run(build_ensemble(members, WEIGHTS, SIZE), pixels))
    assert np.abs(found - uncalibrated).max() > 0.1


def test_a_temperature_of_1_leaves_a_model_as_it_is(members):
    assert at_temperature(members[0], 1.0) is members[0]


@pytest.mark.parametrize("size", [SIZE, (15, 18)])
def test_likelihoods_are_what_each_member_says_of_the_truth(members, size):
    """Pictures are brought to the ensemble's size first, then to each member's."""
    pixels = averages.noise(size)
    truth = np.random.default_rng(1).integers(0, averages.CLASSES, pixels.shape[:3], np.int32)

    found = build_likelihoods(members, SIZE, size)([pixels, truth])

    at_ensembles_size = averages.resize(pixels, SIZE)
    for index, member in enumerate(members):
        said = averages.resize(averages.ask(member, at_ensembles_size), size)
        expected = np.take_along_axis(said, truth[..., None], -1)[..., 0]
        np.testing.assert_allclose(found[..., index], expected, atol=1e-5)


def test_logits_are_finite_where_all_members_rule_a_class_out(members):
    sure = keras.Sequential([keras.Input((*SIZE, 3)), keras.layers.Rescaling(50.0)])
    other = keras.Sequential([keras.Input((*SIZE, 3)), keras.layers.Rescaling(40.0)])

    logits = _run(build_ensemble([sure, other], (0.5, 0.5), SIZE), averages.noise(SIZE))

    assert np.isfinite(logits).all()
    assert averages.softmax(logits).min() < 1e-20


def test_it_is_saved_as_one_model_that_bare_keras_loads(tmp_path: Path):
    """Also of calibrated members of one architecture, whose layers have equal names."""
    members = [build_model("unet", size, 3, {"filters": 2, "depth": 1}) for size in SIZES[:2]]
    ensemble = build_ensemble([at_temperature(m, 1.5) for m in members], (0.5, 0.5), SIZE)
    others = [at_temperature(ensemble, 0.8), averages.tiny_model(0, SIZES[2])]
    nested = build_ensemble(others, (0.9, 0.1), SIZE)
    pixels = averages.noise(SIZE)
    nested.save(tmp_path / "model.keras")
    np.save(tmp_path / "pixels.npy", pixels)
    program = (
        "import keras, numpy as np\n"
        "model = keras.models.load_model('model.keras')\n"
        "np.save('logits.npy', model(np.load('pixels.npy')))\n"
    )

    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, capture_output=True)

    # Called without saying so, batch normalisation does not train.
    assert np.array_equal(np.load(tmp_path / "logits.npy"), nested(pixels, training=False))
    assert nested.output_names == ["logits"]
    assert nested.output.dtype == "float32"


def _bilinear(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Between the four nearest pixel centres; beyond the outer ones, their values."""
    height, width = picture.shape[:2]
    rows = np.clip((np.arange(size[0]) + 0.5) * height / size[0] - 0.5, 0, height - 1)
    columns = np.clip((np.arange(size[1]) + 0.5) * width / size[1] - 0.5, 0, width - 1)
    at = np.meshgrid(rows, columns, indexing="ij")
    planes = np.moveaxis(picture, -1, 0)
    return np.stack([ndimage.map_coordinates(p, at, order=1) for p in planes], axis=-1)


@pytest.mark.parametrize("size", [(10, 12), (7, 30), (40, 48), SIZE])
def test_a_model_at_another_size_has_its_logits_resized(members, size):
    pixels = averages.noise(size)

    found = _run(at_size(members[0], size), pixels)

    logits = _run(members[0], averages.resize(pixels, SIZE).astype(np.float32))
    expected = np.stack([_bilinear(one, size) for one in logits])
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert at_size(members[0], SIZE) is members[0]
