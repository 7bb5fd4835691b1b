"""Reports of all kinds: found by their record, complete, escaped, equal when drawn again."""

import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from segflow import scores, storage
from segflow.errors import UsageError
from segflow.report import draw, evaluation
from segflow.scores.calibration import Reliability
from tests.unit.report import folders

AUGMENTATIONS = 15  # the original, and what the preset `strong` has


class Page(HTMLParser):
    """What a browser would make of a report: tags, images, and text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.images: list[dict[str, str]] = []
        self._texts: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    @property
    def text(self) -> str:
        return " ".join(" ".join(self._texts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "img":
            self.images.append({name: value or "" for name, value in attrs})

    def handle_data(self, data: str) -> None:
        self._texts.append(data)


@pytest.fixture(scope="module", params=folders.KINDS)
def drawn(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of each kind with its report."""
    return draw(folders.KINDS[request.param](tmp_path_factory.mktemp("kind"))).parent


def test_every_kind_shows_user_text_as_text(drawn: Path) -> None:
    page = Page(drawn / "report.html")
    assert not {"script", "b"} & set(page.tags)
    assert "house & <b>yard</b>" in page.text
    assert "<script>alert(1)" in page.text


def test_every_image_is_inside_and_described(drawn: Path) -> None:
    page = Page(drawn / "report.html")
    assert len(page.images) >= 8
    assert all(image["src"].startswith("data:image/") for image in page.images)
    assert all(image["alt"] for image in page.images)


def test_drawing_again_gives_the_same_bytes(drawn: Path) -> None:
    first = (drawn / "report.html").read_bytes()
    assert draw(str(drawn)).read_bytes() == first


def test_dataset(tmp_path: Path) -> None:
    page = Page(draw(folders.write_dataset(tmp_path / "d")))
    assert "15 12 train, 2 val, 1 test" in page.text
    assert "7 of 16 listed, 9 rejected" in page.text
    assert "in train: never seen" in page.text
    assert "unreadable 7 inputs" in page.text
    # four keys in three variants, two keys of val, one of test; image and mask of each; and the
    # two images of a set of near copies
    assert len(page.images) == 2 * (4 * 3 + 2 + 1) + 2 + AUGMENTATIONS
    assert all(name in page.text for name in ('it\'s "quoted" & 100%20.png', "Straße/图像"))


def test_dataset_shows_each_augmentation_alone(tmp_path: Path) -> None:
    page = Page(draw(folders.write_dataset(tmp_path / "d")))
    section = page.text.partition("Each operation alone")[2].partition("Rejects")[0]
    for shown in ("original", "0.3 to 0.9, 50 % crop", "±30°, 80 % rotation", "10 % grey"):
        assert shown in section
    assert "0.5 to 1, 50 % zoom" in section
    assert "flip vertical" not in section


def test_dataset_of_another_version_has_no_augmentations_to_show(tmp_path: Path) -> None:
    folder = folders.write_dataset(tmp_path / "d")
    record = json.loads((folder / "dataset.json").read_text())
    record["config"]["augmentation"] = {"swirl": 3}
    (folder / "dataset.json").write_text(json.dumps(record))
    assert "Each operation alone" not in Page(draw(folder)).text


def test_dataset_says_what_leaks(tmp_path: Path) -> None:
    page = Page(draw(folders.write_dataset(tmp_path / "d")))
    assert f"One group lies in more than one split: {folders.HOSTILE}" in page.text
    assert "Near copies: 1 set lies in more than one split" in page.text
    assert "1 group of images that belong together; 1 lies in more than one split" in page.text
    assert "Exact copies None." in page.text


def test_dataset_without_copies_names_each_example(tmp_path: Path) -> None:
    page = Page(draw(folders.write_dataset(tmp_path / "d", copies=0)))
    assert len(page.images) == 2 * (3 + 2 + 1) + 2
    assert "v1.png" in page.text


def test_dataset_whose_shard_is_damaged_says_so_in_place(tmp_path: Path) -> None:
    folder = folders.write_dataset(tmp_path / "d")
    (folder / "val-00000-of-00001.tfrecord").write_bytes(b"cut")
    page = Page(draw(folder))
    assert "val-00000-of-00001.tfrecord cannot be read" in page.text
    assert len(page.images) == 2 * (4 * 3 + 1) + 1 + AUGMENTATIONS


def test_model(tmp_path: Path) -> None:
    page = Page(draw(folders.write_bundle(tmp_path / "m")))
    assert page.tags.count("svg") == 3
    assert "best: 4" in page.text
    assert "1,234,567 weights" in page.text
    places = [page.text.index(name) for name in ("Straße", "median.png", "alert(1)", "it's")]
    assert places == sorted(places)
    assert len(page.images) == (1 + 1 + 2 + 1) * 4


def test_model_says_what_it_gets_wrong_how_sure_it_is_and_what_it_costs(tmp_path: Path) -> None:
    page = Page(draw(folders.write_bundle(tmp_path / "m")))
    assert "$a_1$ lake taken for meadow: 18.3 % of its pixels" in page.text
    doubtful = page.text.partition("Perhaps mislabelled")[2]
    assert "Straße/图像 é.png 12.3 % of its pixels, mIoU 0.558" in doubtful
    assert "mostly meadow in the mask, $a_1$ lake to the model" in doubtful
    assert "it is overconfident. Share of hits by confidence" in page.text
    assert "at temperature 1.8" in page.text
    assert "Training 12.5 images a second, median epoch" in page.text
    low, high = storage.read_json(tmp_path / "m/bundle.json")["metrics"]["intervals"]["mean_iou"]
    assert 0.3 < low < high < 1
    assert f"95 % interval {low:.3f} to {high:.3f}" in page.text


def test_model_without_history_or_examples_still_has_its_scores(tmp_path: Path) -> None:
    folder = folders.write_bundle(tmp_path / "m")
    (folder / "history.csv").unlink()
    (folder / "examples.parquet").unlink()
    page = Page(draw(folder))
    assert page.tags.count("svg") == 1  # calibration
    assert "Mean IoU" in page.text


def test_model_of_another_maker_has_its_plain_scores(tmp_path: Path) -> None:
    """Such as an ensemble without calibration and intervals."""
    folder = folders.write_bundle(tmp_path / "m")
    record = json.loads((folder / "bundle.json").read_text())
    matrix = np.array(record["confusion_matrix"])
    record["metrics"] = scores.summarize(matrix, folders.LABEL_MAP.names)
    record["metrics"] |= {"split": "val", "examples": 4}
    del record["calibration"]
    (folder / "bundle.json").write_text(json.dumps(record))
    page = Page(draw(folder))
    assert "Calibration" not in page.text
    assert "Boundary IoU Dice" in page.text


def test_evaluation_shows_each_image_once_worst_first(tmp_path: Path) -> None:
    page = Page(draw(folders.write_evaluation(tmp_path / "e", tmp_path / "raw")))
    section, _, doubtful = page.text.partition("Perhaps mislabelled")
    assert section.index("7.png") < section.index("2.png") < section.index("1.png")
    assert all(section.count(f"{i}.png mIoU") == 1 for i in range(1, 8))
    assert len(page.images) == (8 + 6) * 4
    assert "8 of 17 listed, 9 rejected" in page.text
    assert doubtful.index("7.png") < doubtful.index("2.png")


def test_next_to_no_disagreement_is_not_perhaps_mislabelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "NOTEWORTHY", 1.0)
    page = Page(draw(folders.write_evaluation(tmp_path / "e", tmp_path / "raw")))
    assert "Perhaps mislabelled" not in page.text


def test_evaluation_scores_each_group(tmp_path: Path) -> None:
    page = Page(draw(folders.write_evaluation(tmp_path / "e", tmp_path / "raw")))
    section = page.text.partition("Groups")[2].partition("Worst, median, best")[0]
    assert section.index("harbour 0.718 0.912 3") < section.index(f"{folders.HOSTILE} 0.773")


def test_evaluation_without_groups_or_calibration_leaves_them_out(tmp_path: Path) -> None:
    folder = folders.write_evaluation(tmp_path / "e", tmp_path / "raw")
    record = json.loads((folder / "metrics.json").read_text())
    record |= {"by_group": {}, "groups": 0, "calibration": Reliability.empty().to_dict()}
    (folder / "metrics.json").write_text(json.dumps(record))
    page = Page(draw(folder))
    assert "Groups" not in page.text
    assert "Calibration" not in page.text


def test_evaluation_of_a_split_finds_its_images_in_the_dataset(tmp_path: Path) -> None:
    dataset = folders.write_dataset(tmp_path / "d")
    folder = folders.write_split_evaluation(tmp_path / "e", dataset)
    page = Page(draw(folder))
    assert len(page.images) == (4 + 3) * 4  # one of the four is perfect, so not doubtful
    (dataset / "train-00000-of-00001.tfrecord").unlink()
    page = Page(draw(folder))
    assert page.images == []
    assert page.text.count("is gone or damaged; the scores above still hold") == 4 + 3


@pytest.mark.parametrize("gone", ["images", "masks"])
def test_evaluation_says_which_source_is_gone(gone: str, tmp_path: Path) -> None:
    folder = folders.write_evaluation(tmp_path / "e", tmp_path / "raw")
    (tmp_path / f"raw/{gone}/3.png").unlink()
    page = Page(draw(folder))
    assert f"raw/{gone}/3.png: cannot be opened" in page.text
    assert len(page.images) == (7 + 5) * 4


def test_labels(tmp_path: Path) -> None:
    page = Page(draw(folders.write_labels(tmp_path / "l", tmp_path / "batch")))
    assert "Images labelled 8 0 more are gone" in page.text
    assert "24,576" in page.text  # pixels: 8 images of 48 x 64
    assert len(page.images) == 8 * 2  # of both runs, each once
    assert page.text.index("confidence 0.620") < page.text.index("confidence 0.900")
    assert "current.sql" in page.text


def test_labels_are_the_newest_of_each_image(tmp_path: Path) -> None:
    folder, sources = tmp_path / "run=x" / "l", tmp_path / "batch"
    folders.write_run(folder, "r1", sources, [1, 2, 3, 4])
    folders.write_run(folder, "r2", sources, [2], confidence=0.01)  # changed
    folders.write_run(folder, "r3", sources, [], gone=[folders.image_uri(sources, 3)])
    folders.write_run(folder, "r4", sources, [], rejected=[folders.image_uri(sources, 4)])
    page = Page(draw(folder))
    assert "Images labelled 2 1 more are gone" in page.text
    assert "6,144" in page.text  # pixels: 2 images of 48 x 64
    assert "confidence 0.660" in page.text
    assert "confidence 0.710" in page.text
    assert "confidence 0.700" not in page.text
    assert "too_large 1 input" in page.text
    folders.write_run(folder, "r5", sources, [3, 4])  # back again
    assert "Images labelled 4 0 more are gone" in Page(draw(folder)).text


def test_labels_of_an_older_model_are_listed_but_not_counted(tmp_path: Path) -> None:
    folder, sources = tmp_path / "l", tmp_path / "batch"
    folders.write_run(folder, "r1", sources, range(5), model="00" * 32)
    folders.write_run(folder, "r2", sources, range(2), model="11" * 32)
    page = Page(draw(folder))
    assert "Images labelled 2 0 more are gone" in page.text
    assert "Runs 2 1 of them with the newest model" in page.text
    assert "000000000000" in page.text


def test_labels_of_a_run_that_only_found_images_gone(tmp_path: Path) -> None:
    folder, sources = tmp_path / "l", tmp_path / "batch"
    folders.write_run(folder, "r1", sources, [], gone=["/raw/x.png"])
    page = Page(draw(folder))
    assert "Images labelled 0" in page.text
    assert page.images == []


def test_labels_whose_image_is_gone_say_so_in_place(tmp_path: Path) -> None:
    folder = folders.write_labels(tmp_path / "l", tmp_path / "batch")
    (tmp_path / "batch/5.png").unlink()
    page = Page(draw(folder))
    assert "cannot be opened" in page.text
    assert len(page.images) == 7 * 2 + 1  # of the one without its image, the mask alone


def test_folder_names_are_escaped(tmp_path: Path) -> None:
    folder = folders.write_bundle(tmp_path / "m <i> & [x] 100%20 é")
    page = Page(draw(folder))
    assert "m <i> & [x] 100%20 é" in page.text
    assert "i" not in page.tags


def test_missing_folder_and_foreign_folder_are_usage_errors(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        draw(tmp_path / "none")
    with pytest.raises(UsageError, match=r"dataset\.json, bundle\.json, metrics\.json"):
        draw(tmp_path)


def test_nothing_but_the_report_is_written(tmp_path: Path) -> None:
    folder = folders.write_bundle(tmp_path / "m")
    before = set(folder.iterdir())
    draw(folder)
    assert set(folder.iterdir()) - before == {folder / "report.html"}
