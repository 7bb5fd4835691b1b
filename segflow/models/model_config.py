"""What a model file's config names, and how many weights it asks for: read, never built.

Loading a Keras file makes whatever its `config.json` names, with weights of whatever size, before
the stored weights are looked at. So what may be named is on a list here, and the weights that it
asks for are counted with Keras's own formulas, from the shapes that Keras writes beside each layer
and builds it with.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from segflow.models.plain_names import ACTIVATIONS, CLASSES

_KINDS = ("1D", "2D", "3D")
_POOLS = (
    *("AdaptiveAveragePooling", "AdaptiveMaxPooling", "AveragePooling", "MaxPooling"),
    *("GlobalAveragePooling", "GlobalMaxPooling"),
)
_SHAPING = ("Cropping", "SpatialDropout", "UpSampling", "ZeroPadding")

# Layers of `keras.layers` that have no weights, read no file and hold no code.
_WEIGHTLESS = frozenset(
    (
        *("Activation", "ActivityRegularization", "Add", "AlphaDropout", "Average", "CenterCrop"),
        *("Concatenate", "Dot", "Dropout", "ELU", "Flatten", "GaussianDropout", "GaussianNoise"),
        *("Identity", "InputLayer", "LeakyReLU", "Masking", "Maximum", "Minimum", "Multiply"),
        *("Permute", "ReLU", "RepeatVector", "Rescaling", "Reshape", "Resizing", "Softmax"),
        *("Subtract", "TimeDistributed", "UnitNormalization"),
        *("RandomBrightness", "RandomContrast", "RandomCrop", "RandomFlip", "RandomHue"),
        *("RandomRotation", "RandomSaturation", "RandomShear", "RandomTranslation", "RandomZoom"),
        *(f"{pool}{kind}" for pool in _POOLS for kind in _KINDS),
        *(f"{name}{kind}" for name in _SHAPING for kind in _KINDS),
    )
)

# Where Keras looks for the functions that a config names.
_FUNCTION_MODULES = frozenset(("builtins", "keras.activations", "keras.ops"))

# Layers that keep shapes, which another layer may have in place of an activation function.
_ACTIVATION_LAYERS = frozenset(("ELU", "LeakyReLU", "PReLU", "ReLU", "Softmax"))

_MODELS = frozenset(("keras.Functional", "keras.Model", "keras.Sequential"))
_MODELS |= {"keras.src.models.functional.Functional"}

# What Keras writes for values that JSON has no form for.
_TENSOR = "__keras_tensor__"
_VALUES = frozenset((_TENSOR, "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__"))

_EXPECTED = "expected layers of Keras alone: build the model of them and save it again"


class UnsafeModelError(Exception):
    """A model file that must not be loaded; the message says what was found and expected."""


@dataclass(frozen=True)
class _Layer:
    """The config of a layer with weights, and the shapes that Keras builds it with."""

    name: str
    config: Mapping[str, Any]
    built: Mapping[str, Any]

    def number(self, key: str, default: int | None = None) -> int:
        return self._positive(self.config.get(key, default), key)

    def numbers(self, key: str) -> list[int]:
        found = self.config.get(key)
        if not isinstance(found, list):
            raise self._unsound(key, found)
        return [self._positive(value, key) for value in found]

    def side(self, axis: Any, shape: str = "input_shape") -> int:
        """Length of one side of an input."""
        sides = self.sides(shape)
        if not isinstance(axis, int) or not -len(sides) <= axis < len(sides):
            raise self._unsound("axis", axis)
        return self._positive(sides[axis], shape)

    def sides(self, shape: str = "input_shape") -> list[Any]:
        found = self.built.get(shape)
        if not isinstance(found, list):
            raise self._unsound(shape, found)
        return found

    def axes(self) -> int:
        """Product of the sides that `axis` names, one or several."""
        named = self.config.get("axis", -1)
        return prod(self.side(axis) for axis in (named if isinstance(named, list) else [named]))

    def channels(self) -> int:
        order = self.config.get("data_format")
        if order not in ("channels_last", "channels_first"):
            raise self._unsound("data_format", order)
        return self.side(-1 if order == "channels_last" else 1)

    def _positive(self, value: Any, key: str) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self._unsound(key, value)
        return value

    def _unsound(self, key: str, value: Any) -> UnsafeModelError:
        return UnsafeModelError(
            f"its layer {_short(self.name)} has {key} {_short(value)}, which is not as Keras "
            "writes it; save the model again"
        )


def _convolution(layer: _Layer) -> int:
    window = prod(layer.numbers("kernel_size")) * (layer.channels() // layer.number("groups", 1))
    return (window + 1) * layer.number("filters")


def _depthwise(layer: _Layer) -> int:
    window = prod(layer.numbers("kernel_size"))
    return (window + 1) * layer.channels() * layer.number("depth_multiplier")


def _separable(layer: _Layer) -> int:
    between = layer.channels() * layer.number("depth_multiplier")
    return prod(layer.numbers("kernel_size")) * between + (between + 1) * layer.number("filters")


def _dense(layer: _Layer) -> int:
    return (layer.side(-1) + 1) * layer.number("units")


def _slopes(layer: _Layer) -> int:
    """Of `PReLU`: one for each place, but for axes along which it is shared."""
    sides, shared = layer.sides()[1:], layer.config.get("shared_axes") or []
    kept = [i for i in range(len(sides)) if i + 1 not in shared]
    return prod(layer.side(i + 1) for i in kept)


def _attention(layer: _Layer) -> int:
    heads, key_size = layer.number("num_heads"), layer.number("key_dim")
    value_size = layer.number("value_dim", key_size)
    shapes = layer.built.get("shapes_dict")
    layer = _Layer(layer.name, layer.config, shapes if isinstance(shapes, dict) else {})
    query, value = layer.side(-1, "query_shape"), layer.side(-1, "value_shape")
    key = layer.side(-1, "key_shape") if "key_shape" in layer.built else value
    out = layer.config.get("output_shape")
    size = query if out is None else prod(layer.numbers("output_shape"))
    gate = query + 1 if layer.config.get("use_gate") else 0
    inward = key_size * (query + key + 2) + value_size * (value + 1 + gate)
    return heads * inward + (heads * value_size + 1) * size


# Upper bounds of the numbers of weights.
_WEIGHTS: Mapping[str, Callable[[_Layer], int]] = {
    **{f"Conv{kind}": _convolution for kind in _KINDS},
    **{f"Conv{kind}Transpose": _convolution for kind in _KINDS},
    **{f"DepthwiseConv{kind}": _depthwise for kind in _KINDS[:2]},
    **{f"SeparableConv{kind}": _separable for kind in _KINDS[:2]},
    "Dense": _dense,
    "Embedding": lambda layer: layer.number("input_dim") * layer.number("output_dim"),
    "MultiHeadAttention": _attention,
    "BatchNormalization": lambda layer: (7 if layer.config.get("renorm") else 4) * layer.axes(),
    "GroupNormalization": lambda layer: 2 * layer.axes(),
    "LayerNormalization": lambda layer: 2 * layer.axes(),
    "RMSNormalization": lambda layer: layer.axes(),
    "Normalization": lambda layer: 3 * layer.axes(),
    "PReLU": _slopes,
    "LayerScale": lambda layer: layer.number("projection_dim"),
}


def asked_weights(config: Any) -> int:
    """How many weights a model's config asks for, at most.

    Args:
        config: `config.json`, parsed.

    Raises:
        UnsafeModelError: It names what is not Keras's own, what holds code or reads files, or what
            is not as Keras writes it; or a layer would compute something while it is loaded.
    """
    total, waiting = 0, [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, dict):
            total += _weights(value) if "class_name" in value else 0
            _require_symbolic(value.get("inbound_nodes"))
            _require_shapes_kept(value)
            waiting.extend(value.values())
    return total


def _weights(entry: Mapping[str, Any]) -> int:
    """Of one object, without those inside it; whether it may be made at all."""
    name, module, config = entry["class_name"], entry.get("module"), entry.get("config")
    if name in ("Lambda", "__lambda__"):
        raise UnsafeModelError(f"it holds a Lambda layer, which is code; {_EXPECTED}")
    if isinstance(name, str) and name in _VALUES:
        return 0
    called = config if name == "function" else name
    if entry.get("registered_name") not in (None, name, called):
        raise UnsafeModelError(
            f"it names the custom object {_short(entry['registered_name'])}; {_EXPECTED}"
        )
    address = f"{module}.{called}"
    if name == "function":
        plain = module in _FUNCTION_MODULES and called in ACTIVATIONS
    else:
        plain = name in CLASSES.get(str(module), ()) or address in (*_MODELS, "keras.DTypePolicy")
    if plain:
        return 0
    if module == "keras.layers" and name in _WEIGHTLESS:
        return 0
    if module not in ("keras.layers", "keras.src.applications.convnext") or name not in _WEIGHTS:
        raise UnsafeModelError(
            f"it names {_short(address)}, which is not among the layers that segflow loads; "
            f"{_EXPECTED}"
        )
    return _weights_of_layer(name, config, entry.get("build_config"))


def _weights_of_layer(name: str, config: Any, built: Any) -> int:
    config = config if isinstance(config, dict) else {}
    if config.get("lora_rank"):
        raise UnsafeModelError(f"its layer {name} has LoRA weights; merge them and save it again")
    title = f"{name} {config.get('name', '')}".strip()
    return _WEIGHTS[name](_Layer(title, config, built if isinstance(built, dict) else {}))


def _require_symbolic(nodes: Any) -> None:
    """Refuses calls of layers with nothing but constants: Keras would make them while loading."""
    for node in nodes if isinstance(nodes, list) else ():
        if isinstance(node, dict) and not _has_tensor([node.get("args"), node.get("kwargs")]):
            raise UnsafeModelError(
                "it calls a layer with constants alone, which would run while it is loaded; "
                f"{_EXPECTED}"
            )


def _require_shapes_kept(entry: Mapping[str, Any]) -> None:
    """Refuses what could grow a picture inside another layer, where its outputs are not counted."""
    for key, part in entry.items():
        if not isinstance(part, dict) or "class_name" not in part:
            continue
        name, address = part["class_name"], f"{part.get('module')}.{part['class_name']}"
        is_layer = part.get("module") == "keras.layers" and key != "layer"  # of TimeDistributed
        if address in _MODELS or (is_layer and name not in _ACTIVATION_LAYERS):
            raise UnsafeModelError(
                f"it has {_short(address)} as {_short(key)} of another layer, whose outputs nobody "
                f"could count; {_EXPECTED}"
            )


def _has_tensor(arguments: Any) -> bool:
    waiting = [arguments]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, dict):
            if value.get("class_name") == _TENSOR:
                return True
            waiting.extend(() if "class_name" in value else value.values())
    return False


def _short(value: Any) -> str:
    """A value of the file in a message: on one line, and not long."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
