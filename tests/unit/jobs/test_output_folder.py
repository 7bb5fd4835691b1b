"""What a command finds in its output folder: its own, or somebody else's."""

from pathlib import Path

import pytest

from segflow import storage
from segflow.errors import UsageError
from segflow.jobs.launch import refuse_other_output, require_free

CONFIG = {"size": (3, 4), "limits": {"max_pixels": 9, "max_bytes": 8}, "masks": None}


def _refused(output: Path, config: dict) -> str:
    with pytest.raises(UsageError) as caught:
        refuse_other_output(output, "tally.json", config)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    storage.put(tmp_path / "tally.json", storage.to_json({"config": CONFIG}))
    return tmp_path


def test_an_output_of_the_same_settings_is_its_own(output):
    refuse_other_output(output, "tally.json", CONFIG)


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"size": (3, 5)}, "size is [3, 4] there and [3, 5] here"),
        ({"masks": "m"}, "masks is None there and m here"),
        ({"limits": {"max_pixels": 9, "max_bytes": 7}}, "limits.max_bytes is 8 there and 7 here"),
        ({"new": 1}, "new is None there and 1 here"),
    ],
)
def test_the_first_difference_is_named(output, change, difference):
    message = _refused(output, {**CONFIG, **change})

    assert difference in message
    assert str(output) in message
    assert "choose another folder" in message


def test_long_values_are_cut_short(output):
    assert len(_refused(output, {**CONFIG, "masks": "m " * 5000})) < 500


@pytest.mark.parametrize("content", [b"", b"[1, 2]", b'{"description": "COCO"}', b'{"config": 3}'])
def test_a_file_of_the_same_name_that_is_no_record_is_somebody_elses(output, content):
    storage.put(output / "tally.json", content)

    assert "its tally.json is not of this command" in _refused(output, CONFIG)


def test_a_missing_or_empty_folder_is_free(tmp_path):
    require_free(tmp_path / "missing", ())
    require_free(tmp_path, ())


def test_hidden_files_do_not_matter(tmp_path):
    (tmp_path / ".DS_Store").touch()

    require_free(tmp_path, ())


def test_an_unfinished_run_may_have_left_its_own_files(tmp_path):
    (tmp_path / "_runs").mkdir()
    (tmp_path / "rejects").mkdir()

    require_free(tmp_path, ("rejects",))


@pytest.mark.parametrize("with_runs", [False, True])
def test_something_else_is_named(tmp_path, with_runs):
    (tmp_path / "thesis.docx").touch()
    if with_runs:
        (tmp_path / "_runs").mkdir()

    with pytest.raises(UsageError, match=r"is not empty .*'thesis\.docx' lies there"):
        require_free(tmp_path, ("rejects",))


def test_own_files_without_a_run_are_somebody_elses(tmp_path):
    (tmp_path / "rejects").mkdir()

    with pytest.raises(UsageError, match="'rejects' lies there"):
        require_free(tmp_path, ("rejects",))


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(UsageError, match="is a file; expected a folder or nothing"):
        require_free(tmp_path / "file", ())
