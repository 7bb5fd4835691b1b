"""Which backbones there are, and what goes with them; nothing is built."""

import pytest

from segflow.errors import UsageError
from segflow.models.backbones import BACKBONES, NORMALISATIONS, check_backbone, find_backbone


def test_an_unknown_backbone_lists_the_known_ones():
    with pytest.raises(UsageError, match=r"no backbone 'vgg'.*none, mobilenet, .*convnext_tiny"):
        find_backbone("vgg")


@pytest.mark.parametrize(
    ("name", "alpha", "weights", "message"),
    [
        ("none", None, "imagenet", r"--weights imagenet is for a backbone"),
        ("none", 0.5, "none", r"--backbone-alpha is for a backbone"),
        ("resnet50", 0.5, "none", r"resnet50 has one width only; it is for mobilenet,"),
        ("mobilenet", 0.0, "none", r"--backbone-alpha must be positive, found 0.0"),
        ("vgg", None, "none", r"no backbone 'vgg'"),
    ],
)
def test_what_does_not_go_together_is_refused(name, alpha, weights, message):
    with pytest.raises(UsageError, match=message):
        check_backbone(name, alpha, weights)


def test_what_goes_together_is_not():
    check_backbone("none", None, "none")
    check_backbone("resnet50", None, "some/file.h5")
    check_backbone("mobilenet_v2", 0.35, "imagenet")


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_says_where_it_comes_from(name):
    entry = BACKBONES[name]
    assert entry.normalisation in NORMALISATIONS
    assert "https://" in entry.paper
