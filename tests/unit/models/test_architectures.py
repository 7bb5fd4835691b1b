"""What holds for every architecture: any size, a file for Keras alone, and that it learns."""

import importlib.util
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from segflow.models.model_config import asked_weights
from segflow.models.model_file import require_safe_model
from segflow.models.registry import ARCHITECTURES, build_model
from tests.unit.models import loading
from tests.unit.models.drawn import mean_iou, pixels, settle, shapes

_LIGHT = {"backbone": "mobilenet_v2", "backbone_alpha": 0.35}
_VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "unet": ("unet", {"filters": 8, "depth": 3}),
    "unet_mobilenet": ("unet", {"backbone": "mobilenet", "backbone_alpha": 0.25, "filters": 8}),
    "segnet": ("segnet", {"filters": 16, "depth": 3}),
    "deeplab_v3": ("deeplab_v3", {**_LIGHT, "filters": 32, "output_stride": 8}),
    "deeplab_v3_plus": ("deeplab_v3_plus", {**_LIGHT, "filters": 32}),
    "fpn": ("fpn", {**_LIGHT, "filters": 32}),
    "pspnet": ("pspnet", {**_LIGHT, "filters": 32, "output_stride": 8}),
    "lraspp": ("lraspp", {"backbone": "mobilenet_v3_small", "filters": 32}),
    "segformer": ("segformer", {"filters": 16}),
}
# Backend, variants, tolerance. JAX takes a minute or two to compile all of them. PyTorch is for
# who has it: segflow does not bring it, also to develop with.
_LOADED = [
    ("tensorflow", tuple(_VARIANTS), 1e-5),
    ("jax", ("segnet", "unet"), 1e-3),
    pytest.param("jax", tuple(_VARIANTS), 1e-3, marks=pytest.mark.slow),
]
if importlib.util.find_spec("torch"):
    _LOADED.append(("torch", tuple(_VARIANTS), 1e-3))
# With these JAX compiles in half the time; what it computes is the same.
_XLA_FLAGS = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
_SLOW_TO_LEARN = _VARIANTS.keys() - {"unet", "segnet", "deeplab_v3_plus"}


def test_no_architecture_is_left_out():
    assert {name for name, _ in _VARIANTS.values()} == set(ARCHITECTURES)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every variant as a file of Keras, at an odd size, and what it returns."""
    folder = tmp_path_factory.mktemp("saved")
    image = pixels((45, 67), batch=2)
    for variant, (name, parameters) in _VARIANTS.items():
        keras.utils.set_random_seed(0)
        model = build_model(name, (45, 67), 5, parameters)
        settle(model, pixels((45, 67), batch=4, seed=1))
        logits = model(image).numpy()
        assert logits.shape == (2, 45, 67, 5), variant
        assert np.array_equal(logits, model(image, training=False)), variant  # the default
        assert logits.dtype == np.float32
        assert np.isfinite(logits).all()
        assert logits.std() > 1e-3, variant  # or all would agree with all
        head = model.get_layer("classify")
        assert (type(head), head.kernel_size) == (keras.layers.Conv2D, (1, 1))
        assert model.get_layer("logits").output is model.output
        model.save(folder / f"{variant}.keras")
        np.savez(folder / f"{variant}.npz", pixels=image, logits=logits)
    return folder


@pytest.mark.parametrize("variant", _VARIANTS)
def test_its_file_is_safe_to_load_and_asks_for_as_many_weights_as_it_has(variant, saved):
    file = saved / f"{variant}.keras"
    require_safe_model(file)
    with zipfile.ZipFile(file) as archive:
        asked = asked_weights(json.loads(archive.read("config.json")))
        sizes: list[int] = []
        with h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as weights:
            weights.visititems(lambda _, item: sizes.append(getattr(item, "size", 0)))
    stored = sum(sizes)
    assert stored <= asked <= 1.1 * stored


# Backends add up in other orders; TensorFlow's own sums depend on how threads share the work.
@pytest.mark.parametrize(("backend", "variants", "tolerance"), _LOADED)
def test_a_bare_load_model_gives_equal_logits_under(backend, variants, tolerance, saved):
    done = subprocess.run(
        [sys.executable, str(Path(loading.__file__)), str(saved), str(tolerance), *variants],
        env={**os.environ, "KERAS_BACKEND": backend, "XLA_FLAGS": _XLA_FLAGS},
        cwd=saved,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == f"backend {backend}, {len(variants)} models\n"


@pytest.mark.parametrize("variant", ["segnet", "unet_mobilenet", "pspnet", "segformer"])
def test_an_image_may_be_smaller_than_the_stride(variant):
    name, parameters = _VARIANTS[variant]
    logits = build_model(name, (5, 37), 3, parameters)(pixels((5, 37))).numpy()
    assert logits.shape == (1, 5, 37, 3)
    assert np.isfinite(logits).all()


@pytest.mark.parametrize("variant", ["unet", "segnet", "unet_mobilenet", "segformer"])
def test_the_head_computes_in_32_bits(variant):
    name, parameters = _VARIANTS[variant]
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build_model(name, (33, 64), 7, parameters)
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.get_layer("classify").compute_dtype == "float32"
    assert model.get_layer("classify").input.dtype == "bfloat16"
    assert model.output.dtype == "float32"
    assert model.output_shape == (None, 33, 64, 7)


@pytest.mark.parametrize(
    "variant",
    [pytest.param(v, marks=[pytest.mark.slow] if v in _SLOW_TO_LEARN else []) for v in _VARIANTS],
)
def test_it_overfits_four_images(variant):
    name, parameters = _VARIANTS[variant]
    keras.utils.set_random_seed(1)
    images, truth = shapes((64, 64), 4)
    model = build_model(name, (64, 64), 3, parameters)
    steps = 150
    rate = keras.optimizers.schedules.CosineDecay(0.004, steps, alpha=0.05)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, jit_compile=False)
    model.fit(images, truth, epochs=steps, batch_size=4, verbose=0)
    predicted = model(images, training=False).numpy().argmax(-1)
    assert mean_iou(truth, predicted, 3) > 0.98
