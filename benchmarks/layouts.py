"""Ingests every small public data set by its layout; writes docs/results/layouts.md.

Run as `python -m benchmarks.layouts`. The data lies in ../shared/data (SEGFLOW_SHARED names another
`shared`); tests/integration/test_layouts.py holds the counts to an independent reading.
"""

import io
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from segflow.data.command import ingest
from segflow.data.config import IngestConfig
from segflow.errors import UsageError

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "docs" / "results" / "layouts.md"

_LAYOUTS = "layouts"
_COCO = f"{_LAYOUTS}/coco_dataset"
_CVAT = f"{_LAYOUTS}/cvat_dataset"
_MAPILLARY = f"{_LAYOUTS}/mapillary_vistas_dataset"
_PANOPTIC = "coco_panoptic/sample_data"
_DEEPGLOBE = "geo/deepglobelandcover/data"
_COMMON = f"{_LAYOUTS}/common_semantic_segmentation_dataset"
_SYNTHIA = f"{_LAYOUTS}/synthia_dataset"


def by_color(**colors: Sequence[int]) -> dict[str, Any]:
    """A label map of colours; `void` is ignored."""
    void = colors.pop("void", None)
    classes = [{"id": i, "name": n, "color": list(c)} for i, (n, c) in enumerate(colors.items())]
    return {"classes": classes, "ignore_colors": [list(void)] if void else []}


def by_value(**values: int) -> dict[str, Any]:
    """A label map of source values; `void` is ignored."""
    void = values.pop("void", None)
    classes = [{"id": i, "name": n, "raw_ids": [v]} for i, (n, v) in enumerate(values.items())]
    return {
        "classes": classes,
        "ignore_id": 65535,
        "ignore_raw_ids": [] if void is None else [void],
    }


# Colours and values of the sets without a label map of their own. Those of KITTI, Mapillary,
# SYNTHIA-SF, Inria and LandCover.ai are only those that these small samples hold, some under
# made-up names: their rows show that pairs are found and read, not that the classes are right.
_CAMVID_LIKE = by_color(
    void=(0, 0, 0), animal=(64, 128, 64), archway=(192, 0, 128), bicyclist=(0, 128, 192),
    child=(192, 128, 64), road=(128, 64, 128), sky=(128, 128, 128),
)  # fmt: skip
_SYNTHIA_COLORS = by_color(
    void=(0, 0, 0), sky=(128, 128, 128), building=(128, 0, 0), road=(128, 64, 128),
    sidewalk=(0, 0, 192), fence=(64, 64, 128), vegetation=(128, 128, 0), pole=(192, 192, 128),
    car=(64, 0, 128), sign=(192, 128, 128), pedestrian=(64, 64, 0), bicycle=(0, 128, 192),
    lane=(0, 172, 0), light=(0, 128, 128),
)  # fmt: skip
_SYNTHIA_SF = by_color(
    road=(128, 64, 128), terrain=(152, 251, 152), building=(70, 70, 70), sky=(70, 130, 180),
    sign=(220, 220, 0),
)  # fmt: skip
_SYNTHIA_CUSTOM = by_color(
    background=(0, 0, 0), sky=(0, 0, 64), building=(0, 128, 128), person=(128, 0, 64),
    road=(0, 192, 128),
)  # fmt: skip
_LOVEDA = by_value(
    void=0, background=1, building=2, road=3, water=4, barren=5, forest=6, agriculture=7
)
_POTSDAM = by_color(
    impervious=(255, 255, 255), building=(0, 0, 255), vegetation=(0, 255, 255), tree=(0, 255, 0),
    car=(255, 255, 0), clutter=(255, 0, 0),
)  # fmt: skip
_DEEPGLOBE_COLORS = by_color(
    void=(0, 0, 0), urban=(0, 255, 255), agriculture=(255, 255, 0), range=(255, 0, 255),
    forest=(0, 255, 0), water=(0, 0, 255), barren=(255, 255, 255),
)  # fmt: skip
_LANDCOVER = by_value(other=0, building=1, woodland=2, water=3, road=4)
_LANDCOVER_TILES = by_color(
    other=(0, 0, 0), building=(1, 1, 1), woodland=(2, 2, 2), water=(3, 3, 3), road=(4, 4, 4)
)
_INRIA = by_color(other=(0, 0, 0), building=(1, 1, 1))
_MEMBRANES = by_value(membrane=0, cell=255)
# Datumaro, which drew this set, writes 19 for what the labels of Cityscapes call 255.
_TRAIN_IDS_WITH_19 = by_value(void=19, **{f"class_{i}": i for i in range(19)})
_MAPILLARY_VALUES = by_value(first=0, second=1, third=2)
_KITTI = by_value(road=768, wall=3073, truck=6913, other_truck=6914, train=7937)


@dataclass(frozen=True)
class Case:
    """A data set: what is given to `segflow ingest`, relative to the shared data."""

    images: str
    masks: str | None = None
    label_map: Mapping[str, Any] | None = None
    layout: str = "auto"

    @property
    def name(self) -> str:
        """The paths without what is common to most."""
        name = self.images if self.masks is None else f"{self.images} + {self.masks}"
        if self.masks is None and self.label_map is not None:
            name += " with --label-map"
        return name.replace(f"{_LAYOUTS}/", "")


@dataclass(frozen=True)
class Verdict:
    """What became of a case; `refusal` is the one line of a command that did not start."""

    layout: str = ""
    listed: int = 0
    accepted: int = 0
    by_code: Mapping[str, int] = field(default_factory=dict)
    refusal: str = ""


CASES: tuple[Case, ...] = (
    Case(f"{_LAYOUTS}/voc_dataset/voc_dataset1"),
    Case(f"{_LAYOUTS}/voc_dataset/voc_dataset3"),
    Case(f"{_LAYOUTS}/cityscapes_dataset/train_dataset"),
    Case(f"{_LAYOUTS}/cityscapes_dataset/train_dataset", None, _TRAIN_IDS_WITH_19),
    Case(f"{_LAYOUTS}/cityscapes_dataset/dataset"),
    Case(f"{_LAYOUTS}/ade20k2017_dataset/dataset", None, by_value(void=0, sky=1)),
    Case(f"{_LAYOUTS}/ade20k2020_dataset/dataset"),
    Case(f"{_COCO}/coco_instances"),
    Case(f"{_COCO}/coco_panoptic"),
    Case(f"{_COCO}/coco_stuff"),
    Case(f"{_COCO}/coco"),
    Case(f"{_COCO}/coco", f"{_COCO}/coco/annotations/instances_*.json"),
    Case(f"{_COCO}/coco", f"{_COCO}/coco/annotations/panoptic_*.json"),
    Case(f"{_COCO}/coco", f"{_COCO}/coco/annotations/stuff_*.json"),
    Case(f"{_COCO}/coco_roboflow"),
    Case(f"{_COCO}/mmdet_coco"),
    Case(f"{_COCO}/coco_captions"),
    Case(f"{_PANOPTIC}/input_images", f"{_PANOPTIC}/panoptic_examples.json"),
    Case(f"{_PANOPTIC}/input_images", f"{_PANOPTIC}/panoptic_coco_detection_format.json"),
    Case(f"{_CVAT}/for_images/export_project"),
    Case(f"{_CVAT}/for_images/export_task"),
    Case(f"{_CVAT}/for_video"),
    Case("whales"),
    Case("whales/*.jpg", "whales/*.png", by_value(water=0, tail=1)),
    Case(f"{_LAYOUTS}/labelme_dataset"),
    Case(f"{_LAYOUTS}/camvid_dataset"),
    Case(f"{_COMMON}/dataset/images", f"{_COMMON}/dataset/masks", _CAMVID_LIKE),
    Case(
        f"{_COMMON}/non_standard_dataset/images/image_*.png",
        f"{_COMMON}/non_standard_dataset/masks/gt_*.png",
        _CAMVID_LIKE,
    ),
    Case(f"{_MAPILLARY}/*/images/*.jpg", f"{_MAPILLARY}/*/v1.2/labels/*.png", _MAPILLARY_VALUES),
    Case(f"{_MAPILLARY}/*/images/*.jpg", f"{_MAPILLARY}/*/v2.0/labels/*.png", _MAPILLARY_VALUES),
    Case(
        f"{_LAYOUTS}/kitti_dataset/kitti_segmentation/training/image_2",
        f"{_LAYOUTS}/kitti_dataset/kitti_segmentation/training/instance",
        _KITTI,
    ),
    Case(f"{_SYNTHIA}/rand/RGB", f"{_SYNTHIA}/rand/GT", _SYNTHIA_COLORS),
    Case(f"{_SYNTHIA}/al/RGB", f"{_SYNTHIA}/al/SemSeg", _SYNTHIA_COLORS),
    Case(f"{_SYNTHIA}/sf/RGBLeft", f"{_SYNTHIA}/sf/GTLeft", _SYNTHIA_SF),
    Case(f"{_SYNTHIA}/rand_custom_labelmap/RGB", f"{_SYNTHIA}/rand_custom_labelmap/GT",
         _SYNTHIA_CUSTOM),
    Case("geo/loveda/*/*/images_png/*.png", "geo/loveda/*/*/masks_png/*.png", _LOVEDA),
    Case("geo/potsdam/4_Ortho_RGBIR/top_potsdam_*_RGBIR.tif",
         "geo/potsdam/top_potsdam_*_label.tif", _POTSDAM),
    Case("geo/landcoverai/images", "geo/landcoverai/masks", _LANDCOVER),
    Case("geo/landcoverai/output/*.jpg", "geo/landcoverai/output/*_m.png", _LANDCOVER_TILES),
    Case("geo/inria/AerialImageDataset/train/images", "geo/inria/AerialImageDataset/train/gt",
         _INRIA),
    Case(f"{_DEEPGLOBE}/*/images/*_sat.jpg", f"{_DEEPGLOBE}/*/masks/*_mask.png",
         _DEEPGLOBE_COLORS),
    Case("membranes/image", "membranes/label", _MEMBRANES),
)  # fmt: skip


def judge(case: Case, shared: Path, scratch: Path) -> Verdict:
    """Ingests a case into the folder `scratch` with this process alone."""
    label_map = None
    if case.label_map is not None:
        label_map = scratch.with_suffix(".json")
        label_map.write_text(json.dumps(case.label_map))
    config = IngestConfig(
        images=str(shared / case.images),
        masks=None if case.masks is None else str(shared / case.masks),
        layout=case.layout,
        label_map=None if label_map is None else str(label_map),
        image_size="16x16",
        output=str(scratch),
        max_reject_fraction=1,
    )
    flags = ["--direct_running_mode=in_memory", "--direct_num_workers=1"]
    try:
        record = ingest(config, flags, Console(file=io.StringIO())).record
    except UsageError as error:
        return Verdict(refusal=str(error).replace(f"{shared}/", ""))
    inputs = record["inputs"]
    by_code = dict(sorted(inputs["by_code"].items()))
    return Verdict(record["layout"], inputs["listed"], inputs["accepted"], by_code)


def table(verdicts: Mapping[str, Verdict]) -> str:
    """The page, in Markdown."""
    lines = [
        "# Small public data sets, by layout",
        "",
        "What `segflow ingest` says of each, with `--layout auto`. Made by "
        "`python -m benchmarks.layouts`; `tests/integration/test_layouts.py` compares the counts "
        "with an independent reading.",
        "",
        "| data set | layout | listed | accepted | rejected |",
        "|---|---|---:|---:|---|",
    ]
    for name, verdict in verdicts.items():
        counts = ", ".join(f"{count} `{code}`" for code, count in verdict.by_code.items())
        numbers = f"{verdict.listed} | {verdict.accepted} | {counts or '0'}"
        if verdict.refusal:
            numbers = f" | | not begun: {_cell(verdict.refusal)}"
        lines.append(f"| `{_cell(name)}` | {verdict.layout} | {numbers} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main() -> int:
    """Judges every case and writes the table."""
    shared = Path(os.environ.get("SEGFLOW_SHARED") or ROOT.parent / "shared") / "data"
    if not shared.is_dir():
        print(f"needs {shared} (SEGFLOW_SHARED names another shared folder)", file=sys.stderr)
        return 2
    verdicts = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, case in enumerate(CASES):
            verdicts[case.name] = judge(case, shared, Path(folder, str(number)))
            print(case.name, verdicts[case.name])
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    TABLE.write_text(table(verdicts), encoding="utf-8")
    print(f"written: {TABLE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
