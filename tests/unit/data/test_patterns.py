"""Patterns that users give, and what is said where nothing pairs."""

import pytest

from segflow.data.patterns import no_pairs, parse_mask_pattern
from segflow.errors import UsageError


@pytest.mark.parametrize(
    ("text", "message"),
    [("(", "no regular expression"), (".+_mask", r"parentheses .* as in '\(\.\+\)_mask'")],
)
def test_a_pattern_that_cannot_be_meant_is_refused(text, message):
    with pytest.raises(UsageError, match=f"--mask-pattern .*{message}"):
        parse_mask_pattern(text)


@pytest.mark.parametrize(
    ("mask", "pattern"),
    [("a_mask", "(.+)_mask"), ("gt.a", r"gt\.(.+)"), ("x", "(.+)_mask")],
)
def test_a_pattern_is_proposed_that_pairs_the_closest(mask, pattern):
    message = no_pairs(["a"], ["far_away", mask] if mask != "x" else [mask])

    assert f"the closest pair is 'a' and '{mask}'; give --mask-pattern '{pattern}', or" in message


def test_of_many_images_three_are_shown():
    images = [f"img{i}" for i in range(9)]

    message = no_pairs(images, [f"{image}_mask" for image in images])

    assert "'img0' and 'img0_mask'; 'img1' and 'img1_mask'; 'img2' and 'img2_mask'; giv" in message
