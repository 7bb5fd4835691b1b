"""Model files and bundles that were made to do harm."""

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from segflow import hashing, storage
from segflow.train.bundle import fingerprint_of

CONFIG, WEIGHTS = "config.json", "model.weights.h5"

# A Functional model's config, and its layers by class.
Change = Callable[[dict[str, Any], dict[str, dict[str, Any]]], None]


def forge(
    source: Path,
    target: Path,
    change: Change | None = None,
    members: Mapping[str, bytes | None] | None = None,
    compression: int = zipfile.ZIP_STORED,
) -> Path:
    """Writes a model file like another, but for some changes.

    Args:
        source: A sound one, of a functional model.
        target: May be the same.
        change: Changes the parsed config.
        members: Contents of files in the archive by name; None leaves one out.
        compression: Of the archive.
    """
    with zipfile.ZipFile(source) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    if change is not None:
        config = json.loads(contents[CONFIG])
        change(config, {layer["class_name"]: layer for layer in config["config"]["layers"]})
        contents[CONFIG] = json.dumps(config).encode()
    with zipfile.ZipFile(target, "w", compression) as archive:
        for name, data in {**contents, **(members or {})}.items():
            if data is not None:
                archive.writestr(name, data)
    return target


def sign(folder: Path, **changes: Any) -> Path:
    """Has a bundle's record fit its model file, as whoever forged that would."""
    record = {**storage.read_json(folder / "bundle.json"), **changes}
    model = folder / "model.keras"
    record["model"] = {
        **record["model"],
        "bytes": model.stat().st_size,
        "sha256": hashing.sha256_file(model),
    }
    record["fingerprint"] = fingerprint_of(record)
    storage.put(folder / "bundle.json", storage.to_json(record))
    return folder


def weights(write: Callable[[h5py.File], object]) -> bytes:
    """An HDF5 file."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        write(file)
    return buffer.getvalue()


def replace_layer(**entry: Any) -> Change:
    """Has the layer that scales pixels be something else."""
    return lambda _, layers: layers["Rescaling"].update(entry)


def set_in(layer: str, part: str, key: str, value: Any) -> Change:
    """Sets a value in a layer's `config` or `build_config`."""
    return lambda _, layers: layers[layer][part].update({key: value})


def _without_tensors(_: Any, layers: dict[str, dict[str, Any]]) -> None:
    array = {"class_name": "__numpy__", "config": {"value": [[1.0]], "dtype": "float32"}}
    layers["Rescaling"]["inbound_nodes"] = [{"args": [array], "kwargs": {}}]


def _nested(_: Any, layers: dict[str, dict[str, Any]]) -> None:
    """A Lambda layer inside a layer."""
    inner = {"module": "keras.layers", "class_name": "Lambda", "config": {"function": "x"}}
    layers["Rescaling"] |= {"class_name": "TimeDistributed", "config": {"layer": inner}}


def _inside_activation(inner: dict[str, Any]) -> Change:
    return replace_layer(class_name="Activation", config={"name": "x", "activation": inner})


def _grown(layer: str, config: dict[str, Any]) -> dict[str, Any]:
    return {"module": "keras.layers", "class_name": layer, "config": config}


# What a config may not say, and the words with which it is refused.
CONFIGS: dict[str, tuple[Change, str]] = {
    "lambda": (
        replace_layer(
            class_name="Lambda",
            config={"function": {"class_name": "__lambda__", "config": {"value": "4wAAAA=="}}},
        ),
        "a Lambda layer, which is code; expected layers of Keras alone",
    ),
    "lambda inside": (_nested, "a Lambda layer, which is code"),
    "function to import": (
        replace_layer(module="os", class_name="function", config="system", registered_name=None),
        "it names 'os.system', which is not among the layers that segflow loads",
    ),
    "class to import": (
        replace_layer(module="keras_hub.models", class_name="Backbone"),
        "it names 'keras_hub.models.Backbone'",
    ),
    "custom object": (
        replace_layer(module="mine.layers", class_name="Mine", registered_name="mine>Mine"),
        "the custom object 'mine>Mine'",
    ),
    "registered name": (
        replace_layer(registered_name="mine>Rescaling"),
        "the custom object 'mine>Rescaling'",
    ),
    "no module": (replace_layer(module=None), "it names 'None.Rescaling'"),
    "download": (
        replace_layer(module="keras.utils", class_name="function", config="get_file"),
        "it names 'keras.utils.get_file'",
    ),
    "file editor": (
        replace_layer(module="keras.saving", class_name="KerasFileEditor"),
        "it names 'keras.saving.KerasFileEditor'",
    ),
    "saved model": (
        replace_layer(class_name="TFSMLayer", config={"filepath": "/tmp/evil"}),
        "it names 'keras.layers.TFSMLayer'",
    ),
    "vocabulary": (
        replace_layer(class_name="StringLookup", config={"vocabulary": "/etc/passwd"}),
        "it names 'keras.layers.StringLookup'",
    ),
    "gigantic layer": (
        set_in("Conv2D", "config", "filters", 10**9),
        r"its layers ask for 4,000,000,000 weights and it holds \d+,",
    ),
    "gigantic shape": (
        set_in("Conv2D", "build_config", "input_shape", [None, 16, 24, 10**9]),
        r"its layers ask for 3,000,000,003 weights and it holds \d+,",
    ),
    "unknown shape": (
        set_in("Conv2D", "build_config", "input_shape", None),
        "its layer 'Conv2D logits' has input_shape None, which is not as Keras writes it",
    ),
    "negative filters": (
        set_in("Conv2D", "config", "filters", -(10**9)),
        "has filters -1000000000, which is not as Keras writes it",
    ),
    "gigantic metric": (
        _inside_activation(
            {
                "module": "keras.metrics",
                "class_name": "MeanIoU",
                "config": {"num_classes": 10**6, "name": "m"},
                "registered_name": None,
            }
        ),
        "it names 'keras.metrics.MeanIoU', which is not among the layers that segflow loads",
    ),
    "metric as a function": (
        _inside_activation({"module": "builtins", "class_name": "function", "config": "MeanIoU"}),
        "it names 'builtins.MeanIoU'",
    ),
    "metric in a model inside": (
        replace_layer(
            module="keras",
            class_name="Sequential",
            config={"layers": []},
            compile_config={
                "metrics": [{"module": "keras.metrics", "class_name": "MeanIoU", "config": {}}]
            },
        ),
        "it names 'keras.metrics.MeanIoU'",
    ),
    "operation that calls": (
        replace_layer(module="keras.src.ops.core", class_name="Map", config={}),
        "it names 'keras.src.ops.core.Map'",
    ),
    "operation that fills": (
        replace_layer(module="keras.src.ops.numpy", class_name="Full", config={}),
        "it names 'keras.src.ops.numpy.Full'",
    ),
    "growth as an activation": (
        _inside_activation(_grown("UpSampling2D", {"size": 10**4})),
        "it has 'keras.layers.UpSampling2D' as 'activation' of another layer",
    ),
    "model inside a layer": (
        replace_layer(
            class_name="TimeDistributed",
            config={
                "layer": {"module": "keras", "class_name": "Sequential", "config": {"layers": []}}
            },
        ),
        "it has 'keras.Sequential' as 'layer' of another layer",
    ),
    "hidden weights": (set_in("Conv2D", "config", "lora_rank", 10**9), "has LoRA weights"),
    "constants alone": (_without_tensors, "calls a layer with constants alone"),
}

# What an archive may not hold.
ARCHIVES: dict[str, tuple[dict[str, bytes | None], str]] = {
    "path outside": ({"../../evil.py": b"x"}, "it holds '../../evil.py', 'config.json'"),
    "assets": ({"assets/vocabulary.txt": b"x"}, "it holds 'assets/vocabulary.txt'"),
    "pickled weights": ({WEIGHTS: None, "model.weights.npz": b"x"}, "'model.weights.npz'"),
    "no config": ({CONFIG: None}, "it holds 'metadata.json', 'model.weights.h5'; expected"),
    "no JSON": ({CONFIG: b"{"}, "not a .keras file as Keras 3 writes it .JSONDecodeError"),
    "a list": ({CONFIG: b"[]"}, "not a .keras file as Keras 3 writes it .TypeError"),
    "deep": ({CONFIG: b"[" * 100_000}, "not a .keras file as Keras 3 writes it .RecursionError"),
    "no weights": ({WEIGHTS: b"x"}, "not a .keras file as Keras 3 writes it .OSError"),
    "linked weights": (
        {WEIGHTS: weights(lambda file: file.update({"a": h5py.ExternalLink("/etc/passwd", "b")}))},
        "its weights 'a' are a link elsewhere",
    ),
    "named weights": (
        {WEIGHTS: weights(lambda file: file.update({"a": h5py.SoftLink("/b")}))},
        "its weights 'a' are a link elsewhere",
    ),
    "weights in another file": (
        {
            WEIGHTS: weights(
                lambda file: file.create_dataset(
                    "a", (4,), np.uint8, external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)]
                )
            )
        },
        "its weights claim 4 bytes",
    ),
    "swelling weights": (
        {
            WEIGHTS: weights(
                lambda file: file.create_dataset("a", (10**6, 10**6), np.float32, chunks=(64, 64))
            )
        },
        "its weights claim 4,000,000,000,000 bytes, of which",
    ),
}
