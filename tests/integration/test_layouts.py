"""The table of layouts, held to an independent reading: Pillow, json and pycocotools alone."""

import json
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from benchmarks import layouts
from segflow.data.annotations import MaskSource, mask_of
from segflow.data.config import DecodeLimits
from segflow.data.layouts import SourcePaths, find_layout
from tests.requirements import shared_data

# Verdicts of a data set's images: None for accepted, else the code.
Codes = Iterator[str | None]


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def _values(path: Path) -> set[object]:
    """Values, or colours as tuples."""
    pixels = _pixels(path)
    return set(map(tuple, pixels.reshape(-1, 3))) if pixels.ndim == 3 else set(pixels.ravel())


def _pair(image: Path, mask: Path, known: set[object]) -> str | None:
    if not mask.is_file():
        return "missing_mask"
    if _pixels(image).shape[:2] != _pixels(mask).shape[:2]:
        return "size_mismatch"
    return None if _values(mask) <= known else "unknown_label"


def _known(case: layouts.Case) -> set[object]:
    label_map = case.label_map or {}
    known: set[object] = set(label_map.get("ignore_raw_ids", []))
    known |= {tuple(color) for color in label_map.get("ignore_colors", [])}
    for entry in label_map["classes"]:
        known |= {tuple(entry["color"])} if "color" in entry else set(entry["raw_ids"])
    return known


# A part of a case's masks, and what turns the path of an image into that of its mask.
SUBSTITUTIONS: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    ("/gt_*", (("/images/image_", "/masks/gt_"),)),
    ("common_semantic", (("/images/", "/masks/"),)),
    ("v1.2", (("/images/", "/v1.2/labels/"), (".jpg", ".png"))),
    ("v2.0", (("/images/", "/v2.0/labels/"), (".jpg", ".png"))),
    ("kitti", (("/image_2/", "/instance/"),)),
    ("SemSeg", (("/RGB/", "/SemSeg/"),)),
    ("GTLeft", (("/RGBLeft/", "/GTLeft/"),)),
    ("synthia", (("/RGB/", "/GT/"),)),
    ("loveda", (("/images_png/", "/masks_png/"),)),
    ("potsdam", (("4_Ortho_RGBIR/", ""), ("RGBIR", "label"))),
    ("landcoverai/masks", (("/images/", "/masks/"),)),
    ("landcoverai/output", ((".jpg", "_m.png"),)),
    ("inria", (("/images/", "/gt/"),)),
    ("deepglobe", (("/images/", "/masks/"), ("_sat.jpg", "_mask.png"))),
    ("membranes", (("/image/", "/label/"),)),
    ("whales", ((".jpg", ".png"),)),
)


def _matched(case: layouts.Case, data: Path) -> Codes:
    """Pairs by name, for the cases that give images and masks."""
    changes = next(changes for part, changes in SUBSTITUTIONS if part in (case.masks or ""))
    pattern = case.images if "*" in case.images else f"{case.images}/*"
    for image in data.glob(pattern):
        mask = str(image)
        for old, new in changes:
            mask = mask.replace(old, new)
        assert mask != str(image)
        yield _pair(image, Path(mask), _known(case))


def _voc(case: layouts.Case, data: Path) -> Codes:
    root = data / case.images
    colors = {(0, 128, 0)}  # bicycle, the one colour in this set
    for split in ("train", "test"):
        for name in (root / f"ImageSets/Segmentation/{split}.txt").read_text().split():
            image = root / f"JPEGImages/{name}.jpg"
            yield _pair(image, root / f"SegmentationClass/{name}.png", set(colors))


def _cityscapes(case: layouts.Case, data: Path) -> Codes:
    known: set[object] = {*range(19), 255} if case.label_map is None else set(range(20))
    for image in (data / case.images / "leftImg8bit").rglob("*.png"):
        mask = str(image).replace("_leftImg8bit", "_gtFine_labelTrainIds")
        yield _pair(image, Path(mask.replace("leftImg8bit", "gtFine")), known)


def _ade20k(case: layouts.Case, data: Path) -> Codes:
    known = {0, 1} if "2017" in case.images else {0, 401, 1831}
    for image in (data / case.images).rglob("*.jpg"):
        pixels = _pixels(image.with_name(f"{image.stem}_seg.png")).astype(int)
        yield None if set(np.unique(pixels[..., 0] // 10 * 256 + pixels[..., 1])) <= known else "?"


def _coco(case: layouts.Case, data: Path) -> Codes:
    for path in _coco_files(case, data):
        content = json.loads(path.read_text())
        if any("segments_info" in entry for entry in content["annotations"]):
            sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
            for entry in content["annotations"]:
                shape = _pixels(path.with_suffix("") / entry["file_name"]).shape[:2]
                yield None if shape == sizes[entry["image_id"]] else "size_mismatch"
            continue
        api = COCO(path)
        for image in api.getImgIds():
            entries = api.loadAnns(api.getAnnIds(imgIds=[image]))
            outlined = [entry for entry in entries if entry["segmentation"]]
            assert all(api.annToMask(entry).any() for entry in outlined)
            yield None if len(outlined) == len(entries) else "missing_mask"


def _coco_files(case: layouts.Case, data: Path) -> list[Path]:
    if case.masks:
        return sorted(data.glob(case.masks))
    root = data / case.images
    return sorted({*root.glob("annotations/*.json"), *root.glob("*/_annotations.coco.json")})


def _cvat(case: layouts.Case, data: Path) -> Codes:
    (path,) = (data / case.images).glob("*.xml")
    root = ElementTree.parse(path).getroot()
    names = {label.findtext("name") for label in root.iter("label")}
    for image in root.iter("image"):
        drawn = {shape.get("label") for shape in image if shape.tag in ("box", "polygon")}
        yield None if drawn <= names else "unknown_label"


def _whales(case: layouts.Case, data: Path) -> Codes:
    for image in (data / "whales").glob("*.jpg"):
        yield None if image.with_suffix(".json").is_file() else "missing_mask"


def _camvid(case: layouts.Case, data: Path) -> Codes:
    classes = json.loads((shared_data("camvid") / "labels.json").read_text())["classes"]
    known: set[object] = {tuple(entry["color"]) for entry in classes}
    for split in ("train", "val", "test"):
        for image in (data / case.images / split).iterdir():
            mask = data / case.images / f"{split}annot" / image.name
            yield _pair(image, mask, known)


READERS: tuple[tuple[str, Callable[[layouts.Case, Path], Codes]], ...] = (
    ("voc_dataset1", _voc),
    ("cityscapes", _cityscapes),
    ("ade20k", _ade20k),
    ("coco_", _coco),
    ("cvat", _cvat),
    ("camvid", _camvid),
)

# What cannot begin, and the words that say why.
REFUSED = {
    "voc_dataset/voc_dataset3": "no layout recognised",  # it has no masks at all
    "cityscapes_dataset/dataset": "no masks found",  # instanceIds alone
    "coco_dataset/coco": "instances and panoptic and stuff; choose with --masks",
    "coco_dataset/coco_captions": "no layout recognised",
    "cvat_dataset/for_video": "for video",
    "labelme_dataset": "no layout recognised",  # XML of LabelMe's web tool, not JSON
}


def _expected(case: layouts.Case, data: Path) -> Counter[str | None]:
    if case.images == "whales":
        return Counter(_whales(case, data))
    for part, read in READERS:
        if part in case.images:
            return Counter(read(case, data))
    return Counter(_matched(case, data))


Judged = tuple[layouts.Case, layouts.Verdict]


@pytest.fixture(scope="module", params=layouts.CASES, ids=lambda case: case.name)
def judged(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Judged:
    """A case, and what ingest says of it now."""
    data = shared_data("layouts").parent
    return request.param, layouts.judge(
        request.param, data, tmp_path_factory.mktemp("case") / "out"
    )


def test_counts_are_those_of_an_independent_reading(judged: Judged) -> None:
    case, verdict = judged

    if case.name in REFUSED:
        assert REFUSED[case.name] in verdict.refusal
        return
    assert verdict.refusal == ""
    expected = _expected(case, shared_data("layouts").parent)
    assert verdict.listed == expected.total() > 0
    assert verdict.accepted == expected.pop(None, 0)
    assert verdict.by_code == expected


def test_the_twenty_whales_without_masks_are_missing_mask(tmp_path: Path) -> None:
    case = layouts.Case("whales")
    verdict = layouts.judge(case, shared_data("whales").parent, tmp_path / "out")
    assert (verdict.layout, verdict.listed, verdict.accepted) == ("labelme", 120, 100)
    assert verdict.by_code == {"missing_mask": 20}


def _page() -> list[str]:
    """Lines of the table on the page, its head left out."""
    lines = layouts.TABLE.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.startswith("| `")]


def test_the_page_says_of_a_case_what_ingest_says_now(judged: Judged) -> None:
    case, verdict = judged
    *_, row = layouts.table({case.name: verdict}).splitlines()
    assert [line for line in _page() if line.startswith(f"| `{case.name}` |")] == [row]


def test_the_page_shows_every_case_and_no_other() -> None:
    assert [line.split("`")[1] for line in _page()] == [case.name for case in layouts.CASES]


def _masks(masks: str) -> Iterator[tuple[str, np.ndarray, dict[int, int]]]:
    """Key and mask of both photos of COCO's panoptic sample, and the table of its categories."""
    folder = shared_data("coco_panoptic") / "sample_data"
    paths = SourcePaths(str(folder / "input_images"), str(folder / masks))
    layout, _ = find_layout("auto", paths)
    label_map = layout.label_map(paths)
    assert label_map is not None
    for source in layout.sources(paths):
        if source.role == "mask":
            with Image.open(folder / "input_images" / f"{source.key}.jpg") as image:
                size = image.height, image.width
            path = Path(source.file.path)
            made = MaskSource(path.read_bytes, size, label_map, DecodeLimits())
            assert source.annotation is not None
            yield source.key, mask_of(source.annotation, made), label_map.raw_to_id


def test_panoptic_masks_are_the_files_ids_through_their_categories() -> None:
    folder = shared_data("coco_panoptic") / "sample_data"
    entries = json.loads((folder / "panoptic_examples.json").read_text())["annotations"]
    segments = {Path(entry["file_name"]).stem: entry["segments_info"] for entry in entries}
    count = 0
    for key, mask, table in _masks("panoptic_examples.json"):
        colors = _pixels(folder / f"panoptic_examples/{key}.png").astype(int)
        ids = colors @ [1, 256, 65536]
        expected = np.full(mask.shape, 255)
        for segment in segments[key]:
            expected[ids == segment["id"]] = table[segment["category_id"]]
        np.testing.assert_array_equal(mask, expected)
        count += 1
    assert count == 2


def test_run_lengths_of_real_photos_are_drawn_as_pycocotools_draws_them() -> None:
    folder = shared_data("coco_panoptic") / "sample_data"
    api = COCO(folder / "panoptic_coco_detection_format.json")
    images = {Path(i["file_name"]).stem: i["id"] for i in api.loadImgs(api.getImgIds())}
    for key, mask, table in _masks("panoptic_coco_detection_format.json"):
        expected = np.full(mask.shape, table[0])
        drawn = [
            (api.annToMask(entry).astype(bool), entry["category_id"])
            for entry in api.loadAnns(api.getAnnIds(imgIds=[images.pop(key)]))
        ]
        for region, category in sorted(drawn, key=lambda pair: -int(pair[0].sum())):
            expected[region] = table[category]
        np.testing.assert_array_equal(mask, expected)
    assert not images
