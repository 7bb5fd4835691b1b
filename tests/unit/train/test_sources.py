"""What a training starts from may be gone, moved or changed by the time it goes on."""

import io
import json

import keras
import numpy as np
import pytest
from rich.console import Console

from segflow.errors import UsageError
from segflow.models import registry
from segflow.train import checkpoint
from segflow.train.bundle import Bundle
from segflow.train.callbacks import EpochRecorder
from segflow.train.trainer import train
from tests.unit.train import backboned
from tests.unit.train.datasets import small_config


def build(*, image_size, num_classes, weights) -> keras.Model:
    """A tiny model whose backbone is read from a file, as one of keras.applications would be."""
    model = backboned.build(image_size=image_size, num_classes=num_classes, filters=4)
    if weights != "none":
        try:
            kernel = np.load(weights)
        except OSError as error:
            raise UsageError(f"--weights {weights}: {error}") from error
        model.get_layer("backbone_conv").kernel.assign(kernel)
    return model


@pytest.fixture(autouse=True)
def pretrained(monkeypatch):
    entry = registry.Architecture(
        "pretrained", "tests.unit.train.test_sources:build", "", "", {"weights": "none"}
    )
    known = {**registry.ARCHITECTURES, "pretrained": entry}
    monkeypatch.setattr(registry, "ARCHITECTURES", known)


@pytest.fixture
def weights(tmp_path):
    kernel = np.random.default_rng(0).normal(size=(3, 3, 3, 4)).astype(np.float32)
    np.save(tmp_path / "weights.npy", kernel)
    return tmp_path / "weights.npy"


@pytest.fixture
def config(dataset_folder, tmp_path, weights):
    (tmp_path / "classes.json").write_text(json.dumps({"ground": 1, "disc": 2, "bar": 3}))
    return small_config(
        dataset_folder,
        tmp_path / "model",
        architecture="pretrained",
        filters=None,
        depth=None,
        weights=str(weights),
        class_weights=str(tmp_path / "classes.json"),
        epochs=2,
        resume=True,
    )


def _said(config) -> str:
    text = io.StringIO()
    train(config, Console(file=text, width=300))
    return text.getvalue()


def test_pretrained_weights_are_needed_at_the_start_alone(config, weights, monkeypatch):
    """They go while it trains; it is cut off after an epoch, goes on, and is finished."""
    first = []

    def begin(self, logs=None):
        first.append(self.model.get_layer("backbone_conv").kernel.numpy())
        weights.unlink(missing_ok=True)

    def cut(*args):
        save(*args)
        monkeypatch.setattr(checkpoint, "save", save)
        raise KeyboardInterrupt

    save, kernel = checkpoint.save, np.load(weights)
    monkeypatch.setattr(EpochRecorder, "on_train_begin", begin)
    monkeypatch.setattr(checkpoint, "save", cut)
    with pytest.raises(KeyboardInterrupt):
        _said(config)
    np.testing.assert_array_equal(first[0], kernel)
    assert "going on after epoch 1" in _said(config)
    assert Bundle.load(config.output).record["training"]["epochs_run"] == 2

    assert "nothing left to do" in _said(config)
    (weights.parent / "classes.json").write_text(json.dumps({"ground": 1, "disc": 2, "bar": 4}))
    with pytest.raises(
        UsageError, match=r"class_weights is \[1.0, 2.0, 3.0\] there and \[1.0, 2.0"
    ):
        _said(config)
