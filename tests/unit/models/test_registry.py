"""Building architectures by name."""

import importlib
import inspect

import pytest

from segflow.errors import UsageError
from segflow.models.registry import (
    ARCHITECTURES,
    check_freezable,
    find_architecture,
    in_words,
    model_parameters,
    normalisation,
)

FOREIGN = "package.module:function"


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UsageError, match=r"'unett'.*unet.*package.module:function"):
        find_architecture("unett")


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_builder_exists_and_takes_its_parameters(name):
    entry = ARCHITECTURES[name]
    module, function = entry.builder.split(":")
    taken = inspect.signature(getattr(importlib.import_module(module), function)).parameters
    assert set(taken) == {"image_size", "num_classes", *entry.parameters}
    assert all(p.default is inspect.Parameter.empty for p in taken.values())
    assert "https://" in entry.paper
    assert entry.description


def test_parameters_are_completed():
    assert model_parameters("segnet", {"filters": 8, "depth": None, "backbone": None}) == {
        "filters": 8,
        "depth": 5,
    }
    plain = model_parameters("unet", {})
    assert (plain["depth"], plain["backbone"]) == (4, "none")
    assert model_parameters("unet", {"backbone": "resnet50"})["depth"] == 5
    assert model_parameters("unet", {"backbone": "resnet50", "depth": 4})["depth"] == 4


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("unet", {"output_stride": 8}, r"--output-stride is not for --architecture unet, .*depth"),
        ("segnet", {"backbone": "resnet50"}, r"--backbone is not for .* takes --filters, --depth$"),
        (FOREIGN, {"filters": 3}, r"takes no such flags"),
        ("deeplab_v3", {"output_stride": 4}, r"--output-stride must be 8 or 16, found 4"),
        ("unet", {"upsampling": "cubic"}, r"must be transposed or bilinear, found cubic"),
        ("fpn", {"backbone": "none"}, r"fpn needs a backbone, such as --backbone mobilenet_v2"),
        ("fpn", {"backbone": "vgg"}, r"no backbone 'vgg'"),
        ("unet", {"weights": "imagenet"}, r"--weights imagenet is for a backbone"),
    ],
)
def test_what_an_architecture_does_not_take_is_refused(name, given, message):
    with pytest.raises(UsageError, match=message):
        model_parameters(name, given)


def test_the_normalisation_is_the_backbones_where_there_is_one():
    assert normalisation("unet", {}) == "x / 127.5 - 1"
    assert normalisation("unet", {"backbone": "resnet50"}).startswith("BGR, x - (103.939")
    assert normalisation("deeplab_v3", {}) == "x / 127.5 - 1"
    assert normalisation("segformer", {}).startswith("(x / 255 - (0.485")
    assert normalisation(FOREIGN, {}) == "the model's own"


def test_the_backbone_is_named_though_the_architecture_chose_it():
    chosen = in_words("lraspp", model_parameters("lraspp", {}))
    assert chosen == "lraspp on mobilenet_v3_large (weights: none)"
    assert in_words("unet", model_parameters("unet", {})) == "unet"
    assert in_words("package.module:function", {}) == "package.module:function"


def test_what_has_no_backbone_is_told_before_it_is_built():
    with pytest.raises(UsageError, match="'unet' has no backbone to freeze"):
        check_freezable("unet", model_parameters("unet", {}))
    check_freezable("unet", model_parameters("unet", {"backbone": "mobilenet"}))
    check_freezable("lraspp", model_parameters("lraspp", {}))
    for name in ("segnet", FOREIGN):  # known once they are built
        check_freezable(name, model_parameters(name, {}))
