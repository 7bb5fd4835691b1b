"""Ensembles and views inside the label job: a plain average of the members' probabilities."""

from pathlib import Path

import keras
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from segflow.data.mask_formats import decode
from segflow.ensemble.command import ensemble
from segflow.ensemble.config import EnsembleConfig
from segflow.jobs import runner
from segflow.label.command import label
from segflow.label.config import LabelConfig
from segflow.label_map import LabelClass, LabelMap
from tests.bundles import write_bundle
from tests.unit.label.batches import work_off
from tests.unit.models import averages

SIZE = (12, 16)
LABELS = LabelMap(tuple(LabelClass(i, name) for i, name in enumerate("abc")))
WEIGHTS = (0.75, 0.25)


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[keras.Model]]:
    """A bundle of an ensemble, and its members as Keras alone opens them."""
    folder = tmp_path_factory.mktemp("models")
    for seed in (1, 2):
        model = averages.tiny_model(seed, SIZE)
        write_bundle(folder / str(seed), LABELS, SIZE, model=model)
    paths = tuple(str(folder / str(seed)) for seed in (1, 2))
    output = folder / "ensemble"
    ensemble(EnsembleConfig(model=paths, output=str(output), member_weights="3,1"))
    return output, [keras.models.load_model(Path(path, "model.keras")) for path in paths]


def _average(models: list[keras.Model], picture: np.ndarray, *, scales: bool) -> np.ndarray:
    """Mean probabilities of members and of all views, float64 [12, 16, 3]."""
    seen = np.asarray(Image.fromarray(picture).resize(SIZE[::-1], Image.Resampling.BILINEAR))
    pixels = seen[None].astype(np.float32)
    total = np.zeros((*SIZE, 3))
    for model, weight in zip(models, WEIGHTS, strict=True):
        views = averages.views(model, pixels, scales=scales)
        total += weight * np.mean(views, axis=0, dtype=np.float64)[0]
    return total


@pytest.mark.parametrize("tta", ["flip", "flip_scale"])
def test_masks_and_confidences_are_those_of_a_plain_average(tta, members, tmp_path, monkeypatch):
    bundle, models = members
    monkeypatch.setattr(runner, "work_off", work_off)
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(5)
    pictures = {}
    for name, size in {"same": SIZE, "larger": (31, 45), "odd": (12, 40)}.items():
        path = tmp_path / "images" / f"{name}.png"
        pictures[str(path)] = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pictures[str(path)]).save(path)

    label(
        LabelConfig(
            model=str(bundle),
            images=str(tmp_path / "images"),
            output=str(tmp_path / "o"),
            tta=tta,
        )
    )

    rows = pq.read_table(tmp_path / "o/images").to_pylist()
    areas = pq.read_table(tmp_path / "o/areas").to_pylist()
    assert {row["image_uri"] for row in rows} == set(pictures)
    for row in rows:
        picture = pictures[row["image_uri"]]
        share = _average(models, picture, scales=tta == "flip_scale")
        best = share.max(-1)
        assert row["mean_confidence"] == pytest.approx(best.mean(), abs=1e-5)
        enlarged = averages.resize(np.log(share)[None], picture.shape[:2])[0]
        runner_up, first = np.sort(enlarged, axis=-1)[..., -2:].transpose(2, 0, 1)
        mask, clear = decode(row["mask"], "png"), first - runner_up > 1e-4
        assert clear.mean() > 0.99
        assert np.array_equal(mask[clear], enlarged.argmax(-1)[clear])
        for area in (a for a in areas if a["image_uri"] == row["image_uri"]):
            of_class = share.argmax(-1) == area["class_id"]
            assert area["pixels"] == (mask == area["class_id"]).sum()
            expected = best[of_class].mean() if of_class.any() else None
            assert area["mean_confidence"] == (
                None if expected is None else pytest.approx(expected, abs=1e-5)
            )
