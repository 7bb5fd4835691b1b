"""Weights from another bundle, and a backbone that stays as it is at first."""

import dataclasses
import io
from itertools import pairwise

import keras
import numpy as np
import pytest
from rich.console import Console

from segflow.dataset import Dataset
from segflow.errors import UsageError
from segflow.label_map import LabelClass, LabelMap
from segflow.models import registry
from segflow.train.bundle import Bundle
from segflow.train.callbacks import EpochRecorder
from segflow.train.config import TrainConfig
from segflow.train.fitting import compiled
from segflow.train.input import training_batches
from segflow.train.origin import Origin
from segflow.train.trainer import train
from segflow.train.transfer import FreezeBackbone
from tests.unit.train import backboned
from tests.unit.train.datasets import small_config, write_dataset

TWO = LabelMap((LabelClass(0, "ground"), LabelClass(1, "thing")))
BACKBONE = ("backbone_conv", "backbone_norm")


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setattr(registry, "ARCHITECTURES", registry.ARCHITECTURES)  # puts it back
    backboned.register()


@pytest.fixture(scope="module")
def two_classes(tmp_path_factory):
    """Pictures of another size, and other classes."""
    folder = tmp_path_factory.mktemp("datasets") / "two"
    return write_dataset(
        folder,
        {"train": [8], "val": [4]},
        TWO,
        size=(24, 32),
        change=lambda image, mask: (image, np.where(mask == 2, 1, mask)),
    )


def _train(dataset, output, **settings) -> tuple[Bundle, str]:
    text = io.StringIO()
    if "architecture" not in settings:
        settings |= {"architecture": "tiny", "depth": None}
    config = small_config(dataset, output, **{"epochs": 2, **settings})
    return Bundle.load(train(config, Console(file=text, width=300))), text.getvalue()


def _weights(bundle: Bundle) -> dict[str, list[np.ndarray]]:
    return {layer.name: layer.get_weights() for layer in bundle.load_model().layers}


def _equal(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.fixture(scope="module")
def origin(dataset_folder, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "ARCHITECTURES", registry.ARCHITECTURES)
        backboned.register()
        return _train(dataset_folder, tmp_path_factory.mktemp("models") / "origin")[0]


def test_a_frozen_backbone_stays_as_it_is_and_moves_afterwards(
    dataset_folder, origin, tmp_path, monkeypatch
):
    """Its batch-norm statistics too, of which the training has others."""
    seen = []

    def noting(self, epoch, logs=None):
        layers = [self.model.get_layer(name).get_weights() for name in BACKBONE]
        seen.append([array for arrays in layers for array in arrays])
        return original(self, epoch, logs)

    original = EpochRecorder.on_epoch_end
    monkeypatch.setattr(EpochRecorder, "on_epoch_end", noting)
    bundle, _ = _train(
        dataset_folder,
        tmp_path / "model",
        from_bundle=str(origin.folder),
        epochs=3,
        freeze_backbone_epochs=2,
    )
    first = [array for name in BACKBONE for array in _weights(origin)[name]]
    assert _equal(seen[0], first)
    assert _equal(seen[1], first)
    assert not any(np.array_equal(a, b) for a, b in zip(seen[2], first, strict=True))
    assert not _equal(_weights(bundle)["decoder_conv"], _weights(origin)["decoder_conv"])


def test_the_first_step_of_a_thawed_backbone_is_a_whole_one_at_its_own_rate(dataset_folder):
    """Three batches an epoch, two for an update: the third frozen batch is left over."""
    dataset, rate = Dataset.load(dataset_folder), 1e-4
    config = small_config(
        dataset_folder,
        "out",
        architecture="tiny",
        depth=None,
        epochs=2,
        accumulation=2,
        freeze_backbone_epochs=1,
        fine_tune_learning_rate=rate,
        schedule="constant",
    )
    model, _ = compiled(config, dataset, None, None)
    kernels = []

    class Noting(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            names = ("backbone_conv", "decoder_conv")
            kernels.append([self.model.get_layer(name).get_weights()[0] for name in names])

    model.fit(
        training_batches(dataset, config, 0),
        epochs=2,
        steps_per_epoch=3,
        callbacks=[Noting(), FreezeBackbone(1)],
        shuffle=False,
        verbose=0,
    )
    moved = np.array([[np.ptp(b - a) for a, b in zip(*p, strict=True)] for p in pairwise(kernels)])
    np.testing.assert_array_equal(moved > 0, [[0, 1], [0, 0], [0, 0], [1, 1], [0, 0]])
    assert moved[3, 0] == pytest.approx(2 * rate, rel=0.01)  # Adam begins with the rate, up or down


def test_a_backbone_can_be_frozen_to_the_end(dataset_folder, origin, tmp_path):
    bundle, _ = _train(
        dataset_folder,
        tmp_path / "model",
        from_bundle=str(origin.folder),
        freeze_backbone_epochs=2,
        moving_average=0.5,
    )
    for name in BACKBONE:
        assert _equal(_weights(bundle)[name], _weights(origin)[name])
    assert bundle.load_model().get_layer("backbone_conv").trainable


def test_a_model_without_backbone_has_nothing_to_freeze(dataset_folder, tmp_path):
    with pytest.raises(UsageError, match="'unet' has no backbone to freeze"):
        _train(dataset_folder, tmp_path / "m", architecture="unet", freeze_backbone_epochs=1)
    assert not (tmp_path / "m").exists()


def test_other_classes_and_sizes_get_a_new_head_and_all_else(two_classes, origin, tmp_path):
    bundle, said = _train(
        two_classes,
        tmp_path / "model",
        from_bundle=str(origin.folder),
        learning_rate=1e-12,
        optimizer="sgd",
        epochs=1,
    )
    assert "its head of 3 classes is replaced by a new one of these 2" in said
    assert bundle.record["training"]["origin"] == {
        "fingerprint": origin.fingerprint,
        "path": str(origin.folder),
        "head": "replaced",
    }
    before, after = _weights(origin), _weights(bundle)
    for name in ("backbone_conv", "decoder_conv"):
        assert _equal(after[name], before[name])
    assert after["classify"][0].shape[-1] == 2


def test_the_same_classes_keep_their_head(dataset_folder, origin, tmp_path):
    bundle, said = _train(
        dataset_folder,
        tmp_path / "model",
        from_bundle=str(origin.folder),
        learning_rate=1e-12,
        optimizer="sgd",
        epochs=1,
    )
    assert f"going on from the bundle {origin.folder}\n" in said
    assert bundle.record["training"]["origin"]["head"] == "kept"
    assert _equal(_weights(bundle)["classify"], _weights(origin)["classify"])


def test_as_many_classes_of_other_names_are_others(origin, tmp_path):
    names = LabelMap((LabelClass(0, "bar"), LabelClass(1, "disc"), LabelClass(2, "ground")))
    dataset = write_dataset(tmp_path / "d", {"train": [4], "val": [2]}, names)
    bundle, _ = _train(dataset, tmp_path / "m", from_bundle=str(origin.folder), epochs=1)
    assert bundle.record["training"]["origin"]["head"] == "replaced"


def test_another_architecture_is_refused_before_any_work(dataset_folder, origin, tmp_path):
    with pytest.raises(UsageError, match="is a tiny, --architecture asks for unet; leave that "):
        _train(dataset_folder, tmp_path / "m", architecture="unet", from_bundle=str(origin.folder))
    assert not (tmp_path / "m").exists()


def test_other_parameters_are_refused_before_any_work(dataset_folder, origin, tmp_path):
    with pytest.raises(UsageError, match=r"layer 'backbone_conv' .* --filters 4; leave"):
        _train(dataset_folder, tmp_path / "m", filters=5, from_bundle=str(origin.folder))
    assert not (tmp_path / "m").exists()


def test_the_architecture_is_the_bundles_where_nothing_else_is_asked_for(dataset_folder, origin):
    dataset = Dataset.load(dataset_folder)
    config = TrainConfig(str(dataset_folder), "m", from_bundle=str(origin.folder))
    completed = Origin.find(config, dataset).complete(config)
    assert (completed.architecture, completed.filters) == ("tiny", 4)
    config = dataclasses.replace(config, filters=5)
    assert Origin.find(config, dataset).complete(config).filters == 5
    assert TrainConfig(str(dataset_folder), "m").architecture == "unet"


def test_the_members_of_an_ensemble_are_gone_on_from_not_itself(
    dataset_folder, origin, monkeypatch
):
    ensemble = dataclasses.replace(origin, record={**origin.record, "members": [{"path": "a"}]})
    monkeypatch.setattr(Bundle, "load", lambda folder: ensemble)
    with pytest.raises(UsageError, match="is an ensemble; name one of its members, such as a"):
        Origin.find(
            TrainConfig(str(dataset_folder), "m", from_bundle="e"), Dataset.load(dataset_folder)
        )


def test_a_bundle_brings_the_weights_of_its_backbone():
    with pytest.raises(UsageError, match=r"--weights imagenet.*--from-bundle brings"):
        TrainConfig("d", "m", from_bundle="b", backbone="mobilenet", weights="imagenet")


def test_a_finished_training_is_known_by_its_origin(dataset_folder, origin, tmp_path):
    settings = {"from_bundle": str(origin.folder), "epochs": 1}
    _train(dataset_folder, tmp_path / "m", **settings)
    assert "nothing left to do" in _train(dataset_folder, tmp_path / "m", **settings)[1]
    with pytest.raises(UsageError, match=r"another training: from_bundle is .* there and None"):
        _train(dataset_folder, tmp_path / "m", epochs=1)
