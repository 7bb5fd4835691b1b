"""Test-time augmentation in a predictor, computed here once more without Keras."""

from pathlib import Path

import keras
import numpy as np
import pytest
from scipy import stats

from segflow.label.predictor import load_bundle
from segflow.label.sliding import Slider, whole_logits
from segflow.label_map import LabelClass, LabelMap
from segflow.models.ensemble import build_ensemble
from tests.bundles import write_bundle
from tests.unit.models import averages

SIZE = (12, 16)
LABELS = LabelMap(tuple(LabelClass(i, name) for i, name in enumerate("abc")))


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return averages.tiny_model(3, SIZE)


def _flipped_log(model: keras.Model, pictures: np.ndarray) -> np.ndarray:
    """Logarithms of the mean over picture and mirror image."""
    pictures = pictures.astype(np.float32)
    mirrored = averages.ask(model, pictures[:, :, ::-1])[:, :, ::-1]
    return np.log((averages.ask(model, pictures) + mirrored) / 2)


def test_the_answer_is_that_of_the_mean_over_both_views(model, tmp_path: Path):
    bundle = write_bundle(tmp_path / "model", LABELS, SIZE, model=model)
    picture = averages.noise(SIZE, 1).astype(np.uint8)

    (found,) = load_bundle(bundle, tta="flip").segment([picture[0]])

    expected = np.exp(_flipped_log(model, picture))[0]
    assert np.array_equal(found.mask, expected.argmax(-1))
    assert found.confidence == pytest.approx(expected.max(-1).mean(), abs=1e-5)
    entropy = stats.entropy(expected, axis=-1, base=3)
    assert found.entropy == pytest.approx(entropy.mean(), abs=1e-5)
    doubt = np.rint(entropy * 15) * 17
    assert np.abs(found.uncertainty - doubt).max() <= 17
    assert (found.uncertainty == doubt).mean() > 0.98
    assert not np.array_equal(found.mask, load_bundle(bundle).predict(picture[0]))


def test_an_ensemble_is_as_unsure_as_the_mean_of_its_members(tmp_path: Path):
    members, weights = [averages.tiny_model(seed, SIZE) for seed in (3, 4)], (0.25, 0.75)
    model = build_ensemble(members, weights, SIZE)
    bundle = write_bundle(tmp_path / "model", LABELS, SIZE, model=model)
    picture = averages.noise(SIZE, 1)

    (found,) = load_bundle(bundle).segment([picture[0].astype(np.uint8)])

    parts = [w * averages.ask(m, picture)[0] for m, w in zip(members, weights, strict=True)]
    expected = sum(parts)
    entropy = stats.entropy(expected, axis=-1, base=3)
    assert found.entropy == pytest.approx(entropy.mean(), abs=1e-5)
    uncertain = (expected.max(-1) < 0.75).mean()
    assert found.uncertain_fraction == pytest.approx(uncertain, abs=1.5 / entropy.size)


def test_each_window_of_a_large_picture_is_averaged_over_its_views(model, tmp_path: Path):
    bundle = write_bundle(tmp_path / "model", LABELS, SIZE, "tile", model)
    picture = averages.noise((30, 45), 1)[0].astype(np.uint8)

    found = load_bundle(bundle, tta="flip").predict(picture)

    slider = Slider(SIZE, 0.25, 4, lambda windows: _flipped_log(model, windows))
    logits = whole_logits(slider(lambda top, count: picture[top : top + count], (30, 45)), (30, 45))
    assert np.array_equal(found, logits.argmax(-1))


def test_other_views_are_refused(model, tmp_path: Path):
    bundle = write_bundle(tmp_path / "model", LABELS, SIZE, model=model)

    with pytest.raises(ValueError, match="tta must be none, flip, flip_scale, received 'rotate'"):
        load_bundle(bundle, tta="rotate")
