"""TensorBoard's pictures."""

import keras
import numpy as np
import tensorflow as tf

from segflow.dataset import Dataset
from segflow.label_map import LabelClass, LabelMap
from segflow.train.input import stored_examples
from segflow.train.panels import Panels, panel
from tests.unit.train.datasets import LABELS

COLOURS = LabelMap((LabelClass(0, "a", (10, 20, 30)), LabelClass(1, "b", (200, 100, 0))))


def test_a_panel_is_image_truth_and_prediction_in_the_classes_colours():
    image = np.full((1, 2, 3), 77.6, np.float32)
    found = panel(image, np.array([[0, 255]]), np.array([[1, 0]]), COLOURS)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(
        found,
        [[[77] * 3, [77] * 3, [10, 20, 30], [0, 0, 0], [200, 100, 0], [10, 20, 30]]],
    )


def test_each_validation_writes_the_same_examples(dataset_folder, tmp_path):
    dataset = Dataset.load(dataset_folder)
    height, width = dataset.image_size
    pixels = keras.Input((height, width, 3))
    panels = Panels(dataset, tmp_path)
    panels.set_model(keras.Model(pixels, keras.layers.Conv2D(3, 1)(pixels)))
    for epoch in range(2):
        panels.on_epoch_begin(epoch)
        panels.on_test_end()
    panels.on_train_end()
    (file,) = (tmp_path / "validation").iterdir()
    events = list(tf.compat.v1.train.summary_iterator(str(file)))
    written = [(event.step, value) for event in events for value in event.summary.value]
    examples = list(stored_examples(dataset, "val").take(4).as_numpy_iterator())
    keys = [key.decode() for _, _, key in examples]
    assert [(step, value.tag) for step, value in written] == [
        (epoch, key) for epoch in range(2) for key in keys
    ]
    picture = tf.io.decode_png(written[0][1].tensor.string_val[2]).numpy()
    image, truth, _ = examples[0]
    np.testing.assert_array_equal(picture[:, :width], image)
    known = truth != LABELS.ignore_id
    np.testing.assert_array_equal(
        picture[:, width : 2 * width][known], LABELS.palette()[truth[known]]
    )
