"""When windows slide."""

import pytest

from segflow.errors import UsageError
from segflow.label.windows import AUTO, SLIDING, Windows

TRAINED = ("stretch", "letterbox", "crop", "tile")


@pytest.mark.parametrize("trained", TRAINED)
def test_by_default_pictures_come_as_in_training(trained):
    assert AUTO.policy(trained) == trained
    assert (trained in SLIDING) == (trained in ("crop", "tile"))


@pytest.mark.parametrize("trained", TRAINED)
def test_always_means_at_a_pictures_own_scale(trained):
    assert Windows("always").policy(trained) == "tile"


@pytest.mark.parametrize("trained", ["stretch", "letterbox"])
def test_never_leaves_the_resizing(trained):
    assert Windows("never").policy(trained) == trained


@pytest.mark.parametrize("trained", ["crop", "tile"])
def test_what_sees_whole_pictures_through_windows_only_needs_them(trained):
    with pytest.raises(UsageError, match=f"the model was trained with --resize {trained} and sees"):
        Windows("never").policy(trained)


def test_giants_need_windows():
    assert {when: Windows(when).take_giants for when in ("auto", "always", "never")} == {
        "auto": True,
        "always": True,
        "never": False,
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"when": "often"}, "--windows must be auto, always or never, found often"),
        ({"overlap": -0.1}, "--window-overlap must be 0 to 0.5, found -0.1"),
        ({"overlap": 0.6}, "--window-overlap must be 0 to 0.5, found 0.6"),
        ({"overlap": float("nan")}, "--window-overlap must be 0 to 0.5, found nan"),
    ],
)
def test_other_values_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        Windows(**options)
