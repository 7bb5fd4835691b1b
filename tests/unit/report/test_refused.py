"""Thumbnails of rejects: of what may be read, and no more."""

from pathlib import Path

import pytest

from segflow.report.refused import thumbnails
from segflow.report.sections import Reject
from tests.unit.report import folders


def _reject(code: str, *uris: str) -> Reject:
    return Reject(code, len(uris), [{"uri": uri, "message": "m"} for uri in uris])


@pytest.fixture
def picture(tmp_path: Path) -> str:
    path = tmp_path / "a.png"
    path.write_bytes(folders.encode(folders.scene(0)[0]))
    return str(path)


@pytest.mark.parametrize("code", ["missing_mask", "size_mismatch", "unknown_label"])
def test_an_image_that_was_refused_for_its_mask_is_shown(picture: str, code: str) -> None:
    assert thumbnails([_reject(code, picture)]).keys() == {picture}


@pytest.mark.parametrize("code", ["outside_root", "too_large", "source_changed", "missing_image"])
def test_what_must_not_be_read_or_is_no_image_is_not(picture: str, code: str) -> None:
    assert thumbnails([_reject(code, picture)]) == {}


def test_what_cannot_be_decoded_is_left_out(picture: str, tmp_path: Path) -> None:
    broken = tmp_path / "b.png"
    broken.write_bytes(b"no image")
    rejects = [_reject("missing_mask", str(broken), str(tmp_path / "gone.png"), "a\0b", picture)]

    assert thumbnails(rejects).keys() == {picture}
