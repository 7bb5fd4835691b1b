"""Where labels come from, and whether they can be made again; a stand-in for the model."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.explain import main
from segflow import hashing, storage
from segflow.data import mask_formats
from segflow.errors import UsageError
from segflow.explain import versions
from segflow.explain.command import explain
from segflow.explain.config import ExplainConfig
from segflow.label import labelling
from tests.drawn import encode
from tests.unit.label.batches import FakePredictor, Labels, draw, predicted


class Other(FakePredictor):
    """Is a little less sure, and takes one pixel for another class."""

    def predictions(self, prepared):
        for image in prepared:
            ids = image[..., 0].copy()
            ids[0, 0] = 2
            yield replace(predicted(ids), confidence=0.5)


def _explain(labels: Labels, name: str, **options: Any) -> dict[str, Any]:
    config = ExplainConfig(folder=str(labels.output), image=str(labels.images / name), **options)
    lineage = explain(config)
    storage.to_json(lineage)  # all of it is JSON
    return lineage


def test_a_row_names_its_source_its_run_and_its_model(labels):
    path = draw(labels.images / "a.png", red=1, size=(2, 3))
    record = labels.label()

    lineage = _explain(labels, "a.png")

    assert lineage["source"] == {
        "uri": str(path),
        "sha256": hashing.sha256_file(path),
        "state": "same",
    }
    assert (lineage["table"], lineage["holds_now"]) == ("images", True)
    assert (lineage["row"]["height"], lineage["row"]["width"]) == (2, 3)
    assert [(area["class_name"], area["pixels"]) for area in lineage["areas"]] == [
        ("sky", 1),
        ("road", 5),
    ]
    run = lineage["run"]
    assert run["run"] == lineage["row"]["run"] == record["run"]
    assert run["config"] == record["config"]
    assert run["versions"] == record["versions"]
    assert storage.read_json(run["record"]) == record
    assert lineage["model"]["fingerprint"] == "model a"
    assert lineage["model"]["state"] == "missing"


def test_the_newest_row_is_explained_unless_a_run_is_named(labels):
    path = draw(labels.images / "a.png")
    first = labels.label()
    draw(path, size=(4, 5))
    second = labels.label()

    newest = _explain(labels, "a.png")
    older = _explain(labels, "a.png", run=first["run"])

    assert newest["runs"] == older["runs"] == [first["run"], second["run"]]
    assert (newest["row"]["height"], newest["holds_now"]) == (4, True)
    assert (older["row"]["height"], older["holds_now"]) == (2, False)
    assert (newest["source"]["state"], older["source"]["state"]) == ("same", "changed")
    with pytest.raises(UsageError, match=r"--run x: did not deal with .*; the runs that did: "):
        _explain(labels, "a.png", run="x")
    path.unlink()
    assert _explain(labels, "a.png")["source"]["state"] == "missing"


def test_only_committed_runs_count(labels):
    path = draw(labels.images / "a.png")
    first = labels.label()
    draw(path, size=(4, 5))
    second = labels.label()
    (labels.output / "runs" / f"{second['run']}.json").unlink()

    assert _explain(labels, "a.png")["run"]["run"] == first["run"]


def test_an_image_is_found_from_where_the_user_is(labels, monkeypatch):
    draw(labels.images / "a.png")
    labels.label()
    monkeypatch.chdir(labels.images)
    config = ExplainConfig(folder=str(labels.output), image="a.png")
    assert explain(config)["row"]["image_uri"] == str(labels.images / "a.png")
    with pytest.raises(UsageError, match=r"--image b.png: no committed run .* dealt with it"):
        explain(ExplainConfig(folder=str(labels.output), image="b.png"))
    with pytest.raises(UsageError, match="is labels; say which row with --image URI"):
        explain(ExplainConfig(folder=str(labels.output)))


@pytest.mark.parametrize("mask_format", ["png", "rle", "none"])
def test_the_row_made_again_is_equal(labels, mask_format):
    draw(labels.images / "a.png")
    draw(labels.images / "b.png", red=2, size=(4, 5))
    labels.label(mask_format=mask_format)
    for name in ("a.png", "b.png"):
        assert _explain(labels, name, again=True)["again"] == {"equal": True}


def test_a_touched_source_is_still_the_same(labels):
    path = draw(labels.images / "a.png")
    labels.label()
    path.touch()
    assert _explain(labels, "a.png", again=True)["again"] == {"equal": True}


def test_a_reject_is_explained_and_made_again(labels, capsys):
    draw(labels.images / "a.png")
    (labels.images / "broken.png").write_text("no picture")
    (labels.images / "link.png").symlink_to(draw(labels.images.parent / "outside.png"))
    labels.label()

    for name, code in (("broken.png", "unreadable"), ("link.png", "outside_root")):
        lineage = _explain(labels, name, again=True)
        assert (lineage["table"], lineage["holds_now"]) == ("rejects", False)
        assert lineage["row"]["code"] == code
        assert lineage["areas"] == []
        assert lineage["again"] == {"equal": True}

    draw(labels.images / "broken.png")
    again = _explain(labels, "broken.png", again=True)["again"]
    assert not again["equal"]
    assert {"table": "images", "row": None, "column": "the row", "stored": False, "made": True} in (
        again["differences"]
    )


def test_another_model_differs_in_what_is_said(labels, monkeypatch, capsys):
    draw(labels.images / "a.png")
    labels.label()
    monkeypatch.setattr(
        labelling.LabelJob,
        "open",
        lambda job: labelling.LabelWork(job.config, Other(job.model_fingerprint)),
    )

    again = _explain(labels, "a.png", again=True)["again"]

    assert not again["equal"]
    found = {(c["table"], c["row"], c["column"]): c for c in again["differences"]}
    assert found["images", None, "mask"]["pixels"] == "1 of 6"
    confidence = found["images", None, "mean_confidence"]
    assert (confidence["stored"], confidence["made"]) == (0.625, 0.5)
    assert found["areas", 0, "the row"]["made"] is False
    assert found["areas", 2, "the row"]["stored"] is False
    assert again["why"].startswith("the libraries are the same")

    words = [str(labels.output), f"--image={labels.images / 'a.png'}"]
    assert main(words) == 0
    assert main([*words, "--again"]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("segflow explain: not equal: ")
    assert "images.mask" in captured.err
    assert "state: same" in captured.out


def test_a_pixel_that_was_changed_in_the_table_is_found(labels, monkeypatch):
    draw(labels.images / "a.png")
    record = labels.label()
    part = next(labels.output.glob("images/run=*/part-*.parquet"))
    table = pq.ParquetFile(part).read()
    mask = mask_formats.decode(table.column("mask")[0].as_py(), "png").copy()
    mask[1, 2] = 2
    buffer = encode(mask)
    index = table.column_names.index("mask")
    altered = table.set_column(index, table.schema.field("mask"), pa.array([buffer], pa.binary()))
    pq.write_table(altered, part)
    monkeypatch.setattr(versions, "_version", lambda name: "9.9")

    again = _explain(labels, "a.png", again=True)["again"]

    assert again["differences"] == [
        {"table": "images", "row": None, "column": "mask", "pixels": "1 of 6"}
    ]
    assert again["why"] == f"it was made with segflow {record['versions']['segflow']}, here 9.9"


@pytest.mark.parametrize("change", ["other bytes", "gone"])
def test_what_has_changed_cannot_be_made_again(labels, capsys, change):
    path = draw(labels.images / "a.png")
    labels.label()
    if change == "gone":
        path.unlink()
    else:
        draw(path, red=2)

    assert main([str(labels.output), f"--image={path}", "--again", "--json"]) == 1

    captured = capsys.readouterr()
    lineage = json.loads(captured.out)
    assert lineage["source"]["state"] == ("missing" if change == "gone" else "changed")
    assert lineage["again"]["equal"] is False
    assert "it cannot be made again: the image is" in captured.err


def test_options_that_do_not_fit(labels, tmp_path):
    with pytest.raises(UsageError, match="--image and --key both name a row"):
        ExplainConfig(folder="f", image="i", key="k")
    with pytest.raises(UsageError, match="name that with --image"):
        ExplainConfig(folder="f", run="r")
    with pytest.raises(UsageError, match="no such folder"):
        explain(ExplainConfig(folder=str(tmp_path / "nowhere")))


def test_without_the_plan_the_row_is_made_again_all_the_same(labels):
    draw(labels.images / "a.png")
    labels.label()
    for path in Path(labels.output).glob("_runs/*/plan/*"):
        path.unlink()
    assert _explain(labels, "a.png", again=True)["again"] == {"equal": True}


def test_folders_that_are_called_like_columns_add_none(labels, tmp_path):
    draw(labels.images / "a.png")
    odd = Labels(labels.images, tmp_path / "date=2026" / "run=x" / "labels")
    record = odd.label()

    row = _explain(odd, "a.png", again=True)["row"]

    assert row["run"] == record["run"]
    assert "date" not in row
