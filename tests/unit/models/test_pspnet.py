"""PSPNet: means over parts of the image."""

import numpy as np
import pytest

from segflow.models.pspnet import part_means
from segflow.models.registry import build_model


@pytest.mark.parametrize(("size", "bins"), [(12, 1), (12, 3), (60, 6), (5, 5)])
def test_parts_of_equal_size_have_their_plain_means(size, bins):
    values = np.random.default_rng(0).normal(size=size)
    expected = values.reshape(bins, -1).mean(axis=1)
    np.testing.assert_allclose(part_means(size, bins) @ values, expected, atol=1e-6)


def test_parts_that_do_not_divide_the_size_overlap():
    np.testing.assert_allclose(part_means(5, 2), [[1 / 3] * 3 + [0] * 2, [0] * 2 + [1 / 3] * 3])
    np.testing.assert_allclose(part_means(2, 3), [[1, 0], [0.5, 0.5], [0, 1]])


@pytest.mark.parametrize("size", [(16, 16), (48, 112)])
def test_it_works_in_a_graph_also_where_features_are_smaller_than_the_pyramid(size):
    settings = {"backbone": "mobilenet", "backbone_alpha": 0.25, "filters": 4}
    model = build_model("pspnet", size, 2, settings)
    logits = model.predict(np.zeros((1, *size, 3), np.float32), verbose=0)
    assert logits.shape == (1, *size, 2)
