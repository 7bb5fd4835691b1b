"""Telling output folders apart, and reading their records."""

import json

import pytest

from segflow import outputs
from segflow.errors import UsageError


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("dataset.json", outputs.DATASET),
        ("bundle.json", outputs.BUNDLE),
        ("metrics.json", outputs.EVALUATION),
        ("runs/a.json", outputs.LABELS),
    ],
)
def test_a_record_tells_the_kind(tmp_path, name, kind):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    record = {"format_version": kind.format_version, **dict.fromkeys(kind.keys, 1)}
    record |= {"run": "a"} if kind is outputs.LABELS else {}
    path.write_text(json.dumps(record))
    assert outputs.find_kind(tmp_path) is kind
    assert outputs.read_records(tmp_path, kind) == [record]


def test_what_is_no_output_folder(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "runs").mkdir()
    with pytest.raises(UsageError, match="no such folder; expected an output folder"):
        outputs.find_kind(tmp_path / "none")
    with pytest.raises(UsageError, match="is a file; expected an output folder"):
        outputs.find_kind(tmp_path / "file")
    told = (
        r"no dataset\.json, bundle\.json, metrics\.json, runs/\*\.json, rates\.json or sweep\.json"
    )
    with pytest.raises(UsageError, match=told):
        outputs.find_kind(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not valid JSON: "),
        ("{", "not valid JSON: "),
        ("\xff", "not valid JSON: "),
        ("[]", "no 'run' in it; restore it"),
        ('{"format_version": 2, "run": 1}', "no 'model' in it; restore it"),
        ("{}", "format version 1, this segflow reads 2; make it anew in another folder"),
    ],
)
def test_an_unsound_record_is_told(tmp_path, text, message):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/a.json").write_text(text, encoding="latin-1")
    with pytest.raises(UsageError, match=f"runs/a.json: {message}"):
        outputs.read_records(tmp_path, outputs.LABELS)


def test_runs_come_in_order(tmp_path):
    (tmp_path / "runs").mkdir()
    for name in ("b", "a", "c"):
        record = {"format_version": 2, **dict.fromkeys(outputs.LABELS.keys), "run": name}
        (tmp_path / f"runs/{name}.json").write_text(json.dumps(record))
    records = outputs.read_records(tmp_path, outputs.LABELS)
    assert [record["run"] for record in records] == ["a", "b", "c"]


@pytest.mark.parametrize("found", [{"format_version": 1}, {}])
def test_an_evaluation_of_an_older_format_says_what_to_do(tmp_path, found):
    (tmp_path / "metrics.json").write_text(json.dumps(found))
    told = "metrics.json: format version 1, this segflow reads 2; make it anew in another folder"
    with pytest.raises(UsageError, match=told):
        outputs.read_records(tmp_path, outputs.EVALUATION)


def _labels(folder, **changes):
    (folder / "runs").mkdir(exist_ok=True)
    record = dict.fromkeys(outputs.LABELS.keys) | {"format_version": 2, "run": "a", "files": []}
    record |= changes
    (folder / "runs/a.json").write_text(json.dumps(record))


@pytest.mark.parametrize("path", ["../part.parquet", "/etc/passwd", "images/../../part.parquet"])
def test_a_record_that_lists_files_outside_is_refused(tmp_path, path):
    _labels(tmp_path, files=[{"path": path}])
    with pytest.raises(UsageError, match=f"lists '{path}', which lies outside the folder"):
        outputs.read_records(tmp_path, outputs.LABELS)


@pytest.mark.parametrize("run", ["b", "../a", "/a", None, 1])
def test_a_run_is_called_as_its_record_is(tmp_path, run):
    """Its plan is looked for under that name."""
    _labels(tmp_path, run=run)
    with pytest.raises(UsageError, match=r"calls itself the run .*, expected 'a'; restore it"):
        outputs.read_records(tmp_path, outputs.LABELS)


@pytest.mark.parametrize("run", ["../a", "/a", "a/b", "..", "", 1])
@pytest.mark.parametrize("kind", [outputs.EVALUATION, outputs.DATASET])
def test_a_run_whose_name_leads_elsewhere_is_refused(tmp_path, kind, run):
    record = dict.fromkeys(kind.keys) | {"format_version": kind.format_version, "run": run}
    (tmp_path / kind.records).write_text(json.dumps(record))
    with pytest.raises(UsageError, match=r"calls itself the run .*, expected 'the name of a file'"):
        outputs.read_records(tmp_path, kind)


@pytest.mark.parametrize("file", ["../model.keras", "/model.keras"])
def test_a_bundle_whose_model_lies_outside_is_refused(tmp_path, file):
    record = dict.fromkeys(outputs.BUNDLE.keys) | {"model": {"file": file}}
    (tmp_path / "bundle.json").write_text(json.dumps(record))
    with pytest.raises(UsageError, match=f"lists '{file}', which lies outside the folder"):
        outputs.read_records(tmp_path, outputs.BUNDLE)
