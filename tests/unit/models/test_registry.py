"""Building architectures by name."""

import importlib
import inspect

import pytest

from segflow.errors import UsageError
from segflow.models.registry import ARCHITECTURES, build_model, find_architecture


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UsageError, match=r"'unett'.*unet"):
        find_architecture("unett")


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_builder_exists_and_takes_its_parameters(name):
    entry = ARCHITECTURES[name]
    module, function = entry.builder.split(":")
    taken = inspect.signature(getattr(importlib.import_module(module), function)).parameters
    assert set(taken) == {"image_size", "num_classes", *entry.parameters}
    assert entry.paper and entry.description


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_gives_logits_at_image_size(name):
    model = build_model(name, (20, 36), 3, {})
    assert model.input_shape == (None, 20, 36, 3)
    assert model.output_shape == (None, 20, 36, 3)
