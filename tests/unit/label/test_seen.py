"""Each pixel's confidence, at the model's resolution, where it is asked for."""

import numpy as np
import pytest

from segflow.data.resize import resize_mask
from segflow.label.predictor import Predictor
from segflow.train.bundle import Bundle
from tests.bundles import write_bundle
from tests.drawn import LABELS, scene


@pytest.mark.parametrize(
    ("policy", "seen"),
    [
        ("stretch", (16, 24)),
        ("letterbox", (13, 24)),
        ("crop", (16, 30)),
        ("tile", (40, 75)),
    ],
)
def test_it_covers_the_image_and_nothing_else(policy, seen, tmp_path):
    bundle = Bundle.load(write_bundle(tmp_path / "m", LABELS, (16, 24), policy))
    predictor = Predictor(bundle, 2, keep_confidences=True)
    image, truth = scene(1, (40, 75))
    prepared = [predictor.prepare(image, "it")] * 3
    assert [one.seen for one in Predictor(bundle, 2).predictions(prepared)] == [None] * 3

    for one in predictor.predictions(prepared):
        assert one.seen is not None
        best, confidence = one.seen
        assert best.shape == confidence.shape == seen
        assert confidence.mean(dtype=float) == pytest.approx(one.confidence)
        placement = prepared[0].placement
        small = resize_mask(truth, placement, LABELS.ignore_id)[placement.box]
        assert (best == small)[small != LABELS.ignore_id].mean() > 0.95
        assert np.isfinite(confidence).all()
