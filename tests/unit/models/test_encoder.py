"""Backbones: the features of the published networks, by stride, dilated without a change."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras.applications import imagenet_utils

from segflow.errors import UsageError
from segflow.models.backbones import BACKBONES, is_backbone_layer
from segflow.models.encoder import encode
from segflow.models.frame import Frame
from tests.requirements import shared_weights
from tests.unit.models.drawn import pixels, settle

SIZE = (64, 96)


def _or_slow(names: Iterable[str], slow: set[str]) -> list[Any]:
    return [pytest.param(n, marks=[pytest.mark.slow] if n in slow else []) for n in names]


# The features that implementations of U-Net take by these names, from stride 2 to 32.
NAMED = {
    "MobileNet": [f"conv_pw_{n}_relu" for n in (1, 3, 5, 11, 13)],
    "MobileNetV2": [*(f"block_{n}_expand_relu" for n in (1, 3, 6, 13)), "out_relu"],
}


def _features(name: str, weights: str, output_stride: int = 32, alpha: float | None = None):
    frame = Frame(SIZE, output_stride)
    encoder = encode(frame, name, alpha, weights, output_stride)
    strides = sorted(encoder.features)
    return strides, keras.Model(encoder.pixels, [encoder.features[s] for s in strides])


def _network(name: str) -> keras.Model:
    """The network as users get it, with weights under which features keep their size."""
    keras.utils.set_random_seed(0)
    build = getattr(keras.applications, BACKBONES[name].function)
    network = build(include_top=False, weights=None, input_shape=(*SIZE, 3))
    settle(network, _as_published(name, pixels(SIZE, batch=4, seed=1)))
    return network


def _as_published(name: str, image: np.ndarray) -> np.ndarray:
    """What keras.applications says is to be done to pixels before the network's call."""
    if BACKBONES[name].normalises_itself:
        return image
    return imagenet_utils.preprocess_input(image.copy(), mode=BACKBONES[name].normalisation)


def _assert_close(found: np.ndarray, expected: np.ndarray) -> None:
    size = np.abs(expected).max()
    assert size > 1e-3  # or everything would be close
    np.testing.assert_allclose(found / size, expected / size, atol=2e-4)


@pytest.mark.parametrize(
    "name", _or_slow(BACKBONES, {"resnet101", "mobilenet_v2", "mobilenet_v3_large"})
)
def test_the_last_features_are_those_of_the_published_network(name, tmp_path):
    network = _network(name)
    network.save_weights(tmp_path / "a.weights.h5")
    strides, model = _features(name, str(tmp_path / "a.weights.h5"))
    image = pixels(SIZE)
    found = [x.numpy() for x in model(image)]
    _assert_close(found[-1], network(_as_published(name, image)).numpy())
    assert strides == ([4, 8, 16, 32] if name == "convnext_tiny" else [2, 4, 8, 16, 32])
    sizes = [x.shape[1:3] for x in found]
    assert sizes == [(SIZE[0] // s, SIZE[1] // s) for s in strides]


# Networks with squeeze-and-excitation are left out: their global means are over other places.
@pytest.mark.parametrize(
    "name",
    _or_slow(
        ["mobilenet", "mobilenet_v2", "resnet50", "convnext_tiny"], {"resnet50", "convnext_tiny"}
    ),
)
def test_dilated_features_are_the_published_ones_and_those_between(name, tmp_path):
    file = str(tmp_path / "a.weights.h5")
    _network(name).save_weights(file)
    image = pixels(SIZE)
    published = _features(name, file)[1](image)[-1].numpy()
    for output_stride in (16, 8):
        strides, model = _features(name, file, output_stride)
        step = 32 // output_stride
        dense = model(image)[-1].numpy()
        assert strides[-1] == output_stride
        assert dense.shape[1:3] == (SIZE[0] // output_stride, SIZE[1] // output_stride)
        _assert_close(dense[:, ::step, ::step], published)
        assert np.abs(dense[:, 1::step, 1::step] - published).max() > 1e-3


@pytest.mark.parametrize(
    ("name", "alpha", "file"),
    [
        ("mobilenet", 1.0, "mobilenet_1.0_224_no_top.weights.h5"),
        ("mobilenet_v2", 0.35, "mobilenet_v2_0.35_224_no_top.weights.h5"),
        ("mobilenet_v2", 1.0, "mobilenet_v2_1.0_224_no_top.weights.h5"),
    ],
)
def test_pretrained_features_at_every_stride_are_those_that_others_take(name, alpha, file):
    weights = str(shared_weights() / file)
    function = BACKBONES[name].function
    network = getattr(keras.applications, function)(
        include_top=False, weights=weights, alpha=alpha, input_shape=(*SIZE, 3)
    )
    image = pixels(SIZE)
    others = keras.Model(network.input, [network.get_layer(n).output for n in NAMED[function]])
    expected = others(image / 127.5 - 1)
    strides, model = _features(name, weights, alpha=alpha)
    assert strides == [2, 4, 8, 16, 32]
    for mine, theirs in zip(model(image), expected, strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs.numpy(), atol=1e-4)


def test_layers_are_known_as_the_backbones_and_nothing_else_is():
    _, model = _features("mobilenet", "none", alpha=0.25)
    others = [layer.name for layer in model.layers if not is_backbone_layer(layer)]
    assert others == ["image", "normalize", "pad"]


def test_weights_that_do_not_fit_are_refused_in_one_line(tmp_path):
    file = str(tmp_path / "a.weights.h5")
    keras.applications.MobileNet(include_top=False, weights=None, alpha=0.25).save_weights(file)
    (tmp_path / "no.weights.h5").write_bytes(b"no HDF5")
    (tmp_path / "weights.pt").write_bytes(b"another format")
    cases = [
        (file, None, "mobilenet"),
        (file, 0.5, "mobilenet of --backbone-alpha 0.5"),
        (file, None, "mobilenet_v2"),
        (str(tmp_path / "no.weights.h5"), None, "mobilenet"),
        (str(tmp_path / "weights.pt"), None, "mobilenet"),
        (str(tmp_path / "missing.weights.h5"), None, "mobilenet"),
    ]
    for weights, alpha, said in cases:
        with pytest.raises(UsageError) as caught:
            encode(Frame(SIZE, 32), said.split()[0], alpha, weights)
        message = str(caught.value)
        assert message.startswith(f"--weights {weights}: ")
        assert f"for {said} without its top" in message
        assert "\n" not in message


def test_a_download_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", _unreachable)
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path))
    with pytest.raises(UsageError) as caught:
        encode(Frame(SIZE, 32), "mobilenet_v2", 0.35, "imagenet")
    message = str(caught.value)
    assert message.startswith("--weights imagenet for mobilenet_v2: URL fetch failure on https://")
    assert "no network here" in message
    assert "\n" not in message


def _unreachable(*_: object) -> None:
    from urllib.error import URLError

    raise URLError("no network here")
