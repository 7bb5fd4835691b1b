"""What a model file may hold: hostile ones are refused without Keras, sound ones pass."""

import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from segflow.errors import UsageError
from segflow.models.loading import load_plain, require_room, require_segmentation
from segflow.models.model_file import require_safe_model
from tests import hostile
from tests.bundles import write_bundle
from tests.drawn import LABELS


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three layers: input, scaling, a convolution of one pixel."""
    folder = write_bundle(tmp_path_factory.mktemp("models") / "model", LABELS, (16, 24))
    return folder / "model.keras"


def _refused(path: Path) -> str:
    with pytest.raises(UsageError) as refusal:
        require_safe_model(path)
    line = str(refusal.value)
    assert line.startswith(f"model {path}: ")
    assert "\n" not in line
    assert len(line) < 600
    return line


@pytest.mark.parametrize("name", hostile.CONFIGS)
def test_a_hostile_config_is_refused(name, sound, tmp_path):
    change, words = hostile.CONFIGS[name]
    hostile.forge(sound, tmp_path / "m.keras", change)
    with pytest.raises(UsageError, match=words):
        require_safe_model(tmp_path / "m.keras")
    _refused(tmp_path / "m.keras")


@pytest.mark.parametrize("name", hostile.ARCHIVES)
def test_a_hostile_archive_is_refused(name, sound, tmp_path):
    members, words = hostile.ARCHIVES[name]
    hostile.forge(sound, tmp_path / "m.keras", members=members)
    with pytest.raises(UsageError, match=words):
        require_safe_model(tmp_path / "m.keras")
    _refused(tmp_path / "m.keras")


def test_a_bomb_is_refused_before_it_is_unpacked(sound, tmp_path):
    path, length = tmp_path / "m.keras", 1 << 26
    members = {hostile.WEIGHTS: bytes(length)}
    hostile.forge(sound, path, members=members, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < length // 100
    assert "unpacks to" in _refused(path)
    assert "expected one that is not compressed" in _refused(path)


def test_a_config_of_any_length_is_not_read(sound, tmp_path):
    """Parsed, it takes many times its length."""
    path = hostile.forge(sound, tmp_path / "m.keras", members={hostile.CONFIG: b"[" * (9 << 20)})
    assert "its config.json has 9,437,184 bytes, expected at most 8,388,608" in _refused(path)


def test_two_files_of_one_name_are_refused(sound, tmp_path):
    path = hostile.forge(sound, tmp_path / "m.keras")
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr(hostile.CONFIG, b"{}")
    assert "it holds 'config.json', 'config.json'" in _refused(path)


@pytest.mark.parametrize("data", [b"", b"PK", b"\x89HDF\r\n\x1a\n" + bytes(100)])
def test_what_is_no_archive_is_refused(data, tmp_path):
    path = tmp_path / "m.keras"
    path.write_bytes(data)
    assert "not a .keras file as Keras 3 writes it (BadZipFile: " in _refused(path)


def test_code_in_a_lambda_layer_is_not_run(tmp_path):
    canary = tmp_path / "canary"
    pixels = keras.Input((4, 4, 3))
    touch = f"__import__('pathlib').Path({str(canary)!r}).touch()"
    model = keras.Model(pixels, layers.Lambda(eval(f"lambda x: ({touch}, x)[1]"))(pixels))
    model.save(tmp_path / "m.keras")
    canary.unlink()

    assert "a Lambda layer" in _refused(tmp_path / "m.keras")
    assert not canary.exists()
    model(np.zeros((1, 4, 4, 3)))
    assert canary.exists()  # it would have


def test_a_class_that_is_registered_here_is_refused_all_the_same(tmp_path):
    @keras.saving.register_keras_serializable("tests")
    class Halved(layers.Layer):
        def call(self, x):
            return x / 2

    pixels = keras.Input((4, 4, 3))
    keras.Model(pixels, Halved()(pixels)).save(tmp_path / "m.keras")

    assert "the custom object 'tests>Halved'" in _refused(tmp_path / "m.keras")


def _many_layers() -> keras.Model:
    """Every layer whose weights are counted, a model in a model, and what users have besides."""
    pixels = keras.Input((8, 8, 3))
    x = layers.RandomFlip()(pixels)
    x = layers.Normalization(mean=[1.0] * 3, variance=[1.0] * 3)(x)
    x = layers.Conv2D(8, 3, groups=1, padding="same", activation=keras.ops.relu)(x)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same")(x)
    x = layers.SeparableConv2D(6, 3, padding="same", depthwise_initializer="he_normal")(x)
    x = layers.Conv2D(4, 3, groups=2, padding="same", kernel_regularizer="l2")(x)
    x = layers.BatchNormalization()(x)
    x = layers.PReLU(shared_axes=[1, 2])(x)
    x = layers.GroupNormalization(2)(x)
    x = layers.LayerNormalization()(x)
    x = layers.RMSNormalization()(x)
    x = layers.SpatialDropout2D(0.1)(x)
    inner = keras.Sequential([keras.Input((8, 8, 4)), layers.Dense(5), layers.PReLU()])
    inner.compile("adam", "mse")
    x = inner(x)
    row = layers.Reshape((64, 5))(x)
    numbers = keras.ops.arange(64)[None] + 0 * keras.ops.cast(row[..., 0], "int32")
    places = layers.Embedding(64, 5)(numbers)
    row = layers.MultiHeadAttention(2, 3)(row + places, row)
    x = layers.TimeDistributed(layers.Dense(4))(layers.Reshape((8, 8, 5))(row))
    x = layers.Conv2DTranspose(4, 2, strides=2)(layers.MaxPooling2D()(x))
    model = keras.Model(pixels, layers.Softmax()(x))
    model.compile(keras.optimizers.AdamW(), "categorical_crossentropy", metrics=["accuracy"])
    return model


def test_what_users_build_of_keras_passes_and_its_weights_are_counted(tmp_path, monkeypatch):
    model = _many_layers()
    model.save(tmp_path / "m.keras")
    require_safe_model(tmp_path / "m.keras")

    # Upper bounds, but no loose ones: without what is allowed beyond them it passes too.
    monkeypatch.setattr("segflow.models.model_file._TIMES_STORED", 1.25)
    monkeypatch.setattr("segflow.models.model_file._SPARE", 0)
    require_safe_model(tmp_path / "m.keras")
    monkeypatch.setattr("segflow.models.model_file._TIMES_STORED", 0.99)
    assert "its layers ask for" in _refused(tmp_path / "m.keras")


def _grown(sides: int | None, *, inside: bool) -> keras.Model:
    pixels = keras.Input((sides, sides, 3))
    large = layers.UpSampling2D(30_000, name="grow")(pixels)
    model = keras.Model(pixels, layers.AveragePooling2D(30_000)(large))
    return keras.Sequential([keras.Input((sides, sides, 3)), model]) if inside else model


@pytest.mark.parametrize("sides", [4, None])
@pytest.mark.parametrize("inside", [False, True])
def test_a_picture_that_would_fill_the_memory_is_refused_before_it_is_drawn(
    sides, inside, tmp_path
):
    _grown(sides, inside=inside).save(tmp_path / "m.keras")
    require_safe_model(tmp_path / "m.keras")

    with pytest.raises(UsageError, match=r"'grow' makes 43,200,000,000 numbers of one picture"):
        require_room(tmp_path, load_plain(tmp_path / "m.keras"), (4, 4))


def test_a_model_of_any_size_inside_one_of_a_fixed_size_is_counted(tmp_path):
    pixels = keras.Input((4, 4, 3))
    keras.Model(pixels, _grown(None, inside=True)(pixels)).save(tmp_path / "m.keras")

    with pytest.raises(UsageError, match=r"'grow' makes 43,200,000,000 numbers of one picture"):
        require_segmentation(tmp_path, load_plain(tmp_path / "m.keras"), (4, 4), 3)


def test_a_size_that_does_not_suit_the_layers_is_told_in_a_line(tmp_path):
    pixels = keras.Input((None, None, 3))
    pair = [layers.UpSampling2D()(layers.MaxPooling2D()(pixels)), pixels]
    model = keras.Model(pixels, layers.Add()(pair))

    with pytest.raises(UsageError, match=r"cannot take pictures of 5x5 \(ValueError: ") as refusal:
        require_room(tmp_path, model, (5, 5))
    assert "\n" not in str(refusal.value)


def test_what_users_build_of_keras_is_counted(tmp_path):
    require_room(tmp_path, _many_layers(), (8, 8))


@pytest.mark.filterwarnings("ignore:Skipping nested container")
def test_weights_of_another_model_are_told_in_a_line(sound, tmp_path):
    other = hostile.weights(lambda file: file.create_dataset("layers/conv2d/vars/0", (9, 9), "f4"))
    hostile.forge(sound, tmp_path / "m.keras", members={hostile.WEIGHTS: other})
    require_safe_model(tmp_path / "m.keras")

    with pytest.raises(UsageError, match=r"Keras cannot load it \(ValueError: ") as refusal:
        load_plain(tmp_path / "m.keras")
    assert "\n" not in str(refusal.value)


def test_looking_loads_neither_keras_nor_tensorflow(sound):
    code = (
        "import sys; from pathlib import Path; from segflow.models import model_file; "
        "model_file.require_safe_model(Path(sys.argv[1])); "
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code, str(sound)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not {"keras", "tensorflow"} & set(done.stdout.split())
    assert h5py.__name__ in done.stdout.split()
