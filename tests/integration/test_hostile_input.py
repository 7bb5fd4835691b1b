"""Hand-made hostile input: refused or rejected by its code; nothing outside read, nothing run."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.bundles import write_bundle
from tests.drawn import LABELS, Pairs, encode, rows_of, scene
from tests.programs import IN_MEMORY, run_here, run_program

_SECRET = scene(1)


@pytest.fixture
def pairs(tmp_path: Path) -> Pairs:
    """Sound pairs; beside their folder lie a pair that nothing names but the hostile input."""
    drawn = Pairs(tmp_path / "data")
    for name, part in zip(("secret.png", "secret-mask.png"), _SECRET, strict=True):
        (tmp_path / name).write_bytes(encode(part))
    return drawn


def _codes(output: Path) -> dict[str, str]:
    return {row["key"]: row["code"] for row in rows_of(output, "rejects")}


def _written(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*")}


def _list(pairs: Pairs, rows: list[dict[str, str]]) -> Path:
    path = pairs.folder / "list.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("root", [None, "data"])
def test_a_manifest_that_points_outside(pairs, tmp_path, capfd, root):
    (pairs.images / "link.png").symlink_to(tmp_path / "secret.png")
    (pairs.folder / "away").symlink_to(tmp_path)
    entries = {
        "up": "../secret.png",
        "deep": "images/../../secret.png",
        "link": "images/link.png",
        "folder-link": "away/secret.png",
        "absolute": str(tmp_path / "secret.png"),
    }
    rows = [
        {"key": key, "image": entry, "mask": "../secret-mask.png"} for key, entry in entries.items()
    ]
    rows += [{"image": f"images/pair-{i}.png", "mask": f"masks/pair-{i}.png"} for i in range(4)]
    rows += [{"key": "mask-up", "image": "images/pair-0.png", "mask": "../secret-mask.png"}]
    rows += [{"key": "twice", "image": "../secret.png", "mask": "masks/pair-0.png"}] * 2
    rows[4]["mask"] = str(tmp_path / "secret-mask.png")
    changes = {"images": _list(pairs, rows), "masks": None, "root": root and pairs.folder}

    ran = run_here(capfd, "ingest", *pairs.flags(tmp_path / "out", **changes))

    assert (ran.code, ran.errors) == (0, [])
    outside = dict.fromkeys((*entries, "mask-up", "twice"), "outside_root")
    if root is None:
        del outside["absolute"]  # taken as written
    assert _codes(tmp_path / "out") == outside


_CANARY = "canary"


def _attack(path: Path) -> str:
    """YAML that makes a folder when a loader makes the objects it asks for."""
    return f"!!python/object/apply:os.mkdir ['{path}']\n"


@pytest.mark.parametrize("flag", ["label-map", "config"])
def test_yaml_that_asks_for_objects(pairs, tmp_path, capfd, flag):
    file = tmp_path / "hostile.yaml"
    file.write_text(_attack(tmp_path / _CANARY))
    before = _written(tmp_path)

    ran = run_here(capfd, "ingest", *pairs.flags(tmp_path / "out", **{flag: file}))

    assert ran.code == 2
    assert "not valid" in ran.line
    assert _written(tmp_path) == before


_CVAT = """<annotations><version>1.1</version>
<image id="0" name="images/pair-0.png" width="24" height="16">
<polygon label="{label}" points="0,0;9,0;9,9"/></image></annotations>"""


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE a [<!ENTITY s SYSTEM "file://{secret}">]>',
        '<!DOCTYPE a [<!ENTITY s "ha"><!ENTITY t "&s;&s;&s;&s;"><!ENTITY u "&t;&t;&t;&t;">]>',
        '<!DOCTYPE a SYSTEM "file://{secret}">',
    ],
    ids=["external", "swelling", "fetched"],
)
def test_xml_with_entities(pairs, tmp_path, capfd, doctype):
    (tmp_path / "secret.txt").write_text("disc")
    head = doctype.format(secret=tmp_path / "secret.txt")
    (pairs.folder / "annotations.xml").write_text(head + _CVAT.format(label="&s;"))
    flags = pairs.flags(tmp_path / "out", images=pairs.folder, masks=None, layout="cvat")

    ran = run_here(capfd, "ingest", *flags)

    assert ran.code == 2
    assert "a document type (DTD)" in ran.line
    assert not (tmp_path / "out").exists()


_FAR = 10**9
_SEGMENTATIONS: dict[str, tuple[Any, str | None]] = {
    "sound": ([[1, 1, 9, 1, 9, 9]], None),
    "partly outside": ([[-50, -50, 90, -50, 90, 9, -50, 9]], None),
    "wholly outside": ([[100, 100, 190, 100, 190, 190]], None),
    "far outside": ([[-_FAR, -_FAR, _FAR, -_FAR, _FAR, _FAR, -_FAR, _FAR]], None),
    "no number": ([[0, 0, float("nan"), 0, 9, 9]], "unreadable"),
    "infinite": ([[0, 0, float("inf"), 0, 9, 9]], "unreadable"),
    "odd coordinates": ([[0, 0, 9]], "unreadable"),
    "too long": ({"size": [16, 24], "counts": [0, _FAR]}, "unreadable"),
    "too short": ({"size": [16, 24], "counts": [3]}, "unreadable"),
    "negative": ({"size": [16, 24], "counts": [-5, 389]}, "unreadable"),
    "huge size": ({"size": [10**6, 10**6], "counts": [0, 10**12]}, "unreadable"),
    "other size": ({"size": [24, 16], "counts": [384]}, "unreadable"),
    "garbage": ({"size": [16, 24], "counts": "\u00ff~~~~~~~~~~~~"}, "unreadable"),
    "overflowing": ({"size": [16, 24], "counts": "o" * 400}, "unreadable"),
}


def _number(key: str) -> int:
    return int(key.rpartition("/")[2])


def test_coco_with_impossible_shapes(pairs, tmp_path):
    names = list(_SEGMENTATIONS)
    for number in range(len(names)):
        (pairs.images / f"{number}.png").write_bytes(encode(scene(0)[0]))
    annotations = {
        "categories": [{"id": 1, "name": "disc"}],
        "images": [
            {"id": n, "file_name": f"{n}.png", "height": 16, "width": 24} for n in range(len(names))
        ],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 1, "segmentation": shape, "iscrowd": 0}
            for n, (shape, _) in enumerate(_SEGMENTATIONS.values())
        ],
    }
    (pairs.folder / "annotations").mkdir()
    (pairs.folder / "annotations" / "instances_default.json").write_text(json.dumps(annotations))
    changes = {"images": pairs.folder, "masks": None, "label_map": None, "layout": "coco"}

    ran = run_program("ingest", *pairs.flags(tmp_path / "out", **changes), IN_MEMORY)

    assert (ran.code, ran.errors) == (0, [])
    codes = {
        names[int(key.rpartition("/")[2])]: code for key, code in _codes(tmp_path / "out").items()
    }
    assert codes == {name: code for name, (_, code) in _SEGMENTATIONS.items() if code}
    pixels = {
        names[_number(row["key"])]: row["class_pixels"]
        for row in rows_of(tmp_path / "out", "index")
    }
    assert pixels["far outside"] == [0, 16 * 24]
    assert pixels["wholly outside"] == [16 * 24, 0]


@pytest.fixture(scope="module")
def whole_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pairs = Pairs(tmp_path_factory.mktemp("whole"), count=8)
    flags = pairs.flags(pairs.folder / "dataset", splits="train=0.5,val=0.5")
    assert run_program("ingest", *flags, IN_MEMORY).code == 0
    return pairs.folder / "dataset"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("model") / "model", LABELS)


@pytest.mark.parametrize("command", ["verify", "report", "train", "evaluate"])
@pytest.mark.parametrize("listed", ["shard", "index", "absolute"])
def test_a_dataset_whose_record_points_outside(
    whole_dataset, model, tmp_path, capfd, listed, command
):
    dataset = shutil.copytree(whole_dataset, tmp_path / "dataset")
    record = json.loads((dataset / "dataset.json").read_text())
    shard = record["splits"]["val"]["shards"][0]
    entry, name = (shard, "file") if listed == "shard" else (record["files"][0], "path")
    moved = tmp_path / Path(entry[name]).name
    (dataset / entry[name]).rename(moved)  # all is there and right, but for the place
    entry[name] = str(moved) if listed == "absolute" else f"index/../../{moved.name}"
    (dataset / "dataset.json").write_text(json.dumps(record))
    before = _written(tmp_path)
    flags = {
        "train": [f"--dataset={dataset}", f"--output={tmp_path / 'out'}"],
        "evaluate": [f"--model={model}", f"--dataset={dataset}", f"--output={tmp_path / 'out'}"],
    }

    ran = run_here(capfd, command, *flags.get(command, [dataset]))

    assert ran.code == (1 if command == "verify" else 2)
    assert "outside the folder" in (ran.out if command == "verify" else ran.line)
    assert _written(tmp_path) == before
