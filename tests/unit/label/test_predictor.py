"""A bundle at work: masks at the images' own size, confidences at the model's."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import pytest
from scipy import stats

from segflow import storage
from segflow.data.resize import place_whole, resize_image
from segflow.errors import JobError, UsageError
from segflow.label.predictor import Predictor, load_bundle
from segflow.label_map import LabelClass, LabelMap
from tests.bundles import write_bundle

SIZE = (12, 16)
COLORS = {"red": (255, 0, 0), "green": (0, 255, 0), "grey": (128, 128, 128)}
LABELS = LabelMap(tuple(LabelClass(i, name, rgb) for i, (name, rgb) in enumerate(COLORS.items())))


@pytest.fixture(scope="module", params=["stretch", "letterbox", "crop", "tile"])
def predictor(request, tmp_path_factory) -> Predictor:
    """Each pixel is of the class whose colour is nearest; grey is what a letterbox pads with."""
    folder = tmp_path_factory.mktemp("bundle") / "model"
    return load_bundle(write_bundle(folder, LABELS, SIZE, request.param), batch_size=3)


def _image(height: int, width: int, share: float = 0.5) -> np.ndarray:
    """Red on the left, green on the right."""
    image = np.zeros((height, width, 3), np.uint8)
    edge = round(width * share)
    image[:, :edge, 0], image[:, edge:, 1] = 255, 255
    return image


def _probabilities(predictor: Predictor, image: np.ndarray) -> np.ndarray:
    """Class probabilities where the model sees the image, padding left out, [h, w, 3]."""
    placement = place_whole(image.shape[:2], SIZE, predictor.bundle.resize)
    seen = resize_image(image, placement)[placement.box] / 127.5 - 1
    colors = LABELS.palette() / 127.5 - 1
    logits = 2 * seen @ colors.T - (colors**2).sum(1)
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


@pytest.mark.parametrize("size", [(12, 16), (24, 32), (40, 20), (5, 90), (1, 1), (301, 7)])
def test_masks_have_the_size_of_their_image(predictor, size):
    (prediction,) = predictor.segment([_image(*size)])

    assert prediction.mask.shape == size
    assert prediction.mask.dtype == np.uint8


def test_left_is_red_and_right_is_green(predictor):
    mask = predictor.predict(_image(60, 80))

    assert (mask[:, :37] == 0).all()
    assert (mask[:, 43:] == 1).all()


def test_at_the_models_size_each_pixel_is_the_models(predictor):
    noise = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)

    mask = predictor.predict(noise)

    assert np.array_equal(mask, _probabilities(predictor, noise).argmax(-1))


def test_logits_and_not_classes_are_enlarged(predictor):
    """So an edge is smooth: of an image in two halves and a bit, the bit shows in the mask."""
    masks = [predictor.predict(_image(120, 160, share)) for share in (0.5, 0.52)]

    assert (masks[0] != masks[1]).any()


@pytest.mark.parametrize("size", [(12, 16), (10, 40), (40, 10)])
def test_confidences_are_means_over_what_the_model_sees_of_the_image(predictor, size):
    image = _image(*size, share=0.3)
    probabilities = _probabilities(predictor, image)
    best = probabilities.argmax(-1)

    (prediction,) = predictor.segment([image])

    assert prediction.confidence == pytest.approx(probabilities.max(-1).mean(), abs=1e-6)
    for class_id in (0, 1):
        expected = probabilities.max(-1)[best == class_id].mean()
        assert prediction.class_confidence[class_id] == pytest.approx(expected, abs=1e-6)
    # Grey is what letterboxes and tiles are padded with; only an enlarged edge may look like it.
    assert np.isnan(prediction.class_confidence[2]) == (not (best == 2).any())


@pytest.mark.parametrize("size", [(12, 16), (10, 40), (40, 10), (90, 70)])
def test_entropies_are_of_what_the_model_sees_of_the_image(predictor, size):
    red, grey = np.array([255, 0, 0]), np.array([128, 128, 128])
    shares = np.linspace(np.zeros(size[0]), np.ones(size[0]), size[1], axis=1)[..., None]
    image = (red * shares + grey * (1 - shares)).astype(np.uint8)
    probabilities = _probabilities(predictor, image)
    entropy = stats.entropy(probabilities, axis=-1, base=3)

    (prediction,) = predictor.segment([image])

    assert prediction.entropy == pytest.approx(entropy.mean(), abs=1e-5)
    uncertain = (probabilities.max(-1) < 0.75).mean()
    assert prediction.uncertain_fraction == pytest.approx(uncertain, abs=1.5 / entropy.size)
    assert uncertain > 0.2
    if max(entropy.shape) <= 64:  # a cell for each pixel
        found = prediction.uncertainty / 255
        assert found.shape == entropy.shape
        assert np.abs(found - entropy).max() < 0.5 / 15 + 1e-5


def test_a_class_that_is_ruled_out_leaves_the_others_their_entropy(tmp_path):
    pixels = keras.Input((*SIZE, 3))
    logits = keras.ops.stack([pixels[..., 0] * 0, pixels[..., 1] * 0, pixels[..., 2] * 0 - np.inf])
    model = keras.Model(pixels, keras.ops.moveaxis(logits, 0, -1))
    predictor = load_bundle(write_bundle(tmp_path / "m", LABELS, SIZE, model=model))

    (prediction,) = predictor.segment([_image(*SIZE)])

    assert prediction.confidence == pytest.approx(0.5)
    assert prediction.entropy == pytest.approx(np.log(2) / np.log(3), abs=1e-6)


def test_neither_batch_nor_place_in_it_changes_a_prediction(predictor):
    images = [_image(20 + i, 30 - i, share=i / 7) for i in range(7)]

    together = predictor.segment(images)

    for image, prediction in zip(images, together, strict=True):
        (alone,) = predictor.segment([image])
        assert np.array_equal(alone.mask, prediction.mask)
        assert alone.confidence == prediction.confidence


def test_several_threads_may_share_a_predictor(predictor):
    images = [_image(20 + i, 30) for i in range(12)]
    expected = [predictor.predict(image) for image in images]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(predictor.predict, images))

    assert all(map(np.array_equal, found, expected))


def test_one_image_gives_an_array_and_several_a_list(predictor):
    images = [_image(4, 6), _image(4, 6)]

    assert predictor.predict(images[0]).shape == (4, 6)
    assert [mask.shape for mask in predictor.predict(images)] == [(4, 6)] * 2
    assert [mask.shape for mask in predictor.predict(np.stack(images))] == [(4, 6)] * 2
    assert predictor.predict([]) == []


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 6), np.uint8),
        np.zeros((4, 6, 4), np.uint8),
        np.zeros((4, 6, 3), np.float32),
        np.zeros((4, 6, 3), np.uint16),
    ],
)
def test_what_is_no_rgb_image_is_refused_with_what_it_is(predictor, image):
    with pytest.raises(ValueError, match=rf"uint8 \[height, width, 3\]; found {image.dtype}"):
        predictor.segment([image])


def test_many_classes_make_16_bit_masks(tmp_path):
    colors = [(i % 7 * 40, i // 7 % 7 * 40, i // 49 * 40) for i in range(300)]
    labels = LabelMap(tuple(LabelClass(i, str(i), rgb) for i, rgb in enumerate(colors)), 65535)
    predictor = load_bundle(write_bundle(tmp_path / "model", labels, (2, 2)), batch_size=1)

    mask = predictor.predict(np.full((2, 2, 3), colors[299], np.uint8))

    assert mask.dtype == np.uint16
    assert (mask == 299).all()


def test_tiles_are_segmented_at_native_scale_whatever_the_size(tmp_path):
    """Noise would not survive any resizing."""
    predictor = load_bundle(write_bundle(tmp_path / "model", LABELS, SIZE, "tile"), batch_size=3)
    rng = np.random.default_rng(0)

    for size in [(12, 16), (13, 16), (50, 71), (100, 3), (3, 100), (5, 5)]:
        noise = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        assert np.array_equal(predictor.predict(noise), _probabilities(predictor, noise).argmax(-1))


def test_crops_are_segmented_beyond_what_training_saw(tmp_path):
    predictor = load_bundle(write_bundle(tmp_path / "model", LABELS, SIZE, "crop"), batch_size=3)
    image = _image(24, 320, share=0.1)

    mask = predictor.predict(image)

    assert (mask[:, :31] == 0).all()
    assert (mask[:, 33:] == 1).all()


def test_no_bundle_is_a_users_mistake(tmp_path: Path):
    with pytest.raises(UsageError, match="holds no bundle"):
        load_bundle(tmp_path)


def test_confidences_are_the_models_own_whatever_the_bundles_temperature(tmp_path):
    folder, image = write_bundle(tmp_path / "model", LABELS, SIZE), _image(30, 40, share=0.3)
    (before,) = load_bundle(folder).segment([image])
    record = storage.read_json(folder / "bundle.json")
    record["calibration"] = {"temperature": 4.0}
    storage.put(folder / "bundle.json", storage.to_json(record))

    predictor = load_bundle(folder)
    (after,) = predictor.segment([image])

    assert predictor.bundle.temperature == 4
    assert after.confidence == before.confidence
    assert np.array_equal(after.class_confidence, before.class_confidence, equal_nan=True)


@pytest.mark.parametrize("resize", ["stretch", "tile"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_not_finite_are_named_with_their_image(tmp_path, resize, value):
    """Where the picture is white; elsewhere all is well."""
    pixels = keras.Input((*SIZE, 3))
    white = keras.ops.all(keras.ops.equal(pixels, 255), axis=-1, keepdims=True)
    model = keras.Model(pixels, keras.ops.where(white, value, pixels))
    predictor = load_bundle(write_bundle(tmp_path / "m", LABELS, SIZE, resize, model))
    images = [_image(30, 40), _image(30, 40)]
    images[1][12:20, 12:20] = 255

    with pytest.raises(JobError, match=f"model {tmp_path}/m: its logits for image 2 are not "):
        predictor.segment(images)
    assert np.isfinite(predictor.segment(images[:1])[0].confidence)
