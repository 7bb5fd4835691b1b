"""Models side by side: an ensemble's members on its page, and several bundles on one."""

import re
from pathlib import Path

import pytest

from segflow import storage
from segflow.errors import UsageError
from segflow.report import compare, draw, side_by_side
from tests.unit.report import folders
from tests.unit.report.test_draw import Page

SIZE = f"{folders.HEIGHT} \N{MULTIPLICATION SIGN} {folders.WIDTH}"
DASH = "\N{EN DASH}"


def _text(path: Path) -> str:
    return Page(path).text


def _edit(folder: Path, **changes: object) -> None:
    record = storage.read_json(folder / "bundle.json") | changes
    storage.put(folder / "bundle.json", storage.to_json(record))


def test_an_ensembles_page_shows_its_members_weights_and_scores(tmp_path: Path) -> None:
    text = _text(draw(folders.write_ensemble(tmp_path / "both")))

    assert f"script>alert(1)<-script> unet {SIZE} 1,000 0.750 1.500 0.500" in text
    assert f"second unet {SIZE} 1,000 0.250 0.875 0.625" in text
    assert "fitted on 1,234 pixels" in text
    assert "Best epoch" not in text
    assert "IoU of each class" in text


def test_an_ensemble_that_was_not_scored_has_a_page_too(tmp_path: Path) -> None:
    text = _text(draw(folders.write_ensemble(tmp_path / "both", scored=False)))

    assert "They were not scored" in text
    assert f"second unet {SIZE} 1,000 0.250 0.875 {DASH} {DASH}" in text
    assert "Confusion" not in text


def test_several_bundles_are_compared_on_one_page(tmp_path: Path) -> None:
    models = [folders.write_bundle(tmp_path / name) for name in ("one", "two")]
    models.append(folders.write_ensemble(tmp_path / "three"))

    text = _text(compare(models, tmp_path / "pages/compare.html"))

    assert "3 models" in text
    assert "Compare with care" not in text
    rows = [f"one unet {SIZE} 1,234,567", "two unet", "three ensemble", "<script>", "second unet"]
    assert [row for row in rows if row not in text] == []
    assert sorted(rows, key=text.index) == rows
    html = (tmp_path / "pages/compare.html").read_text()
    assert html.count('<svg class="plot"') == 2
    assert all(f">{name}</text>" in html for name in ("one", "two"))


def test_models_are_named_by_as_much_of_their_paths_as_tells_them_apart() -> None:
    paths = ["/runs/a/x/model", "/runs/b/x/model", "/runs/b/unet", "/runs/b/unet/", "/model"]
    assert side_by_side.names(paths) == dict(
        zip(paths, ["a/x/model", "b/x/model", "unet", "unet", "/model"], strict=True)
    )


def test_folders_of_one_name_are_told_apart_in_tables_and_plots(tmp_path: Path) -> None:
    models = [folders.write_bundle(tmp_path / name / "model") for name in ("one", "_two")]

    html = compare(models, tmp_path / "compare.html").read_text()

    assert all(f">{name}/model</text>" in html for name in ("one", "_two"))
    assert all(f">{name}/model</span>" in html for name in ("one", "_two"))


def test_what_models_cost_stands_beside_their_scores(tmp_path: Path) -> None:
    one, two = (folders.write_bundle(tmp_path / name) for name in ("one", "two"))
    record = storage.read_json(one / "bundle.json")
    _edit(one, architecture={**record["architecture"], "flops": 12_345_000_000})

    text = _text(compare([one, two], tmp_path / "compare.html"))

    assert "Pixel accuracy GFLOPs an image" in text
    rows = [re.search(rf"{name} unet .*? ({DASH}|12\.35) ", text) for name in ("one", "two")]
    assert [row and row[1] for row in rows] == ["12.35", DASH]


def test_an_ensembles_page_shows_how_long_its_members_were_trained(tmp_path: Path) -> None:
    folder = folders.write_ensemble(tmp_path / "both")
    members = storage.read_json(folder / "bundle.json")["members"]
    members[1] |= {"training": {"seconds": 750.0}}
    _edit(folder, members=members)
    assert re.search(rf"second unet {SIZE} [-0-9., to{DASH}]* {DASH} 12\.5 ", _text(draw(folder)))


def test_scores_that_cannot_be_compared_are_named(tmp_path: Path) -> None:
    one, two = (folders.write_bundle(tmp_path / name) for name in ("one", "two"))
    training = storage.read_json(two / "bundle.json")["training"]
    _edit(two, training={**training, "loss": "focal"})
    _edit(two, dataset={"fingerprint": "f" * 64, "path": "elsewhere"})
    metrics = storage.read_json(two / "bundle.json")["metrics"]
    _edit(two, metrics={**metrics, "split": "test", "per_class": {"other": {"iou": 0.5}}})

    text = _text(compare([one, two], tmp_path / "compare.html"))

    assert "scored on different datasets" in text
    assert "different splits: val, test" in text
    assert "have different classes" in text
    assert "loss ce+dice focal" in text
    assert "epochs_run" not in text.partition("How they differ")[2]


def test_scores_stand_beside_their_intervals_and_what_they_are_of(tmp_path: Path) -> None:
    one, two = (folders.write_bundle(tmp_path / name) for name in ("one", "two"))
    metrics = storage.read_json(one / "bundle.json")["metrics"]
    known = {"intervals": {"mean_iou": [0.25, 0.75]}, "mean_boundary_iou": 0.125}
    _edit(one, metrics={**metrics, **known})

    text = _text(compare([one, two], tmp_path / "compare.html"))

    assert "Mean IoU 95 % interval Boundary IoU Pixel accuracy" in text.replace("\xa0", " ")
    assert "0.250 to 0.750 0.125" in text
    assert "on split val of dataset " in text
    assert ", 4 images." in text


def test_only_bundles_are_compared(tmp_path: Path) -> None:
    model = folders.write_bundle(tmp_path / "model")
    dataset = folders.write_dataset(tmp_path / "data")

    with pytest.raises(UsageError, match="data: is no model bundle but dataset; only"):
        compare([model, dataset], tmp_path / "compare.html")
    with pytest.raises(UsageError, match="given twice"):
        compare([model, model], tmp_path / "compare.html")
    with pytest.raises(UsageError, match=r"--output .*data: is a folder"):
        compare([model], dataset)
