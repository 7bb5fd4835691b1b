"""Bad files among the input of ingest: each costs itself, with a code and a reason."""

import json
import struct
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from segflow.data.records import decode_example, read_frames
from segflow.label_map import LabelClass, LabelMap
from tests.bundles import write_bundle
from tests.drawn import LABELS, Pairs, decode, encode, rows_of, scene
from tests.programs import run_here, run_program

_LARGE = (240, 320)  # files long enough to be cut behind their header
_TURNED_RIGHT = 6  # EXIF orientation: a viewer turns the stored pixels by 90° clockwise


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _bomb() -> bytes:
    """A PNG of 20 KB that decodes to 169 megapixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    side = 13_000
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(1 + (side + 7) // 8) * side, 9)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def _turned(pixels: np.ndarray) -> bytes:
    """A PNG stored on its side, with the EXIF orientation that turns it upright."""
    exif = Image.Exif()
    exif[274] = _TURNED_RIGHT
    return encode(np.rot90(pixels), exif=exif)


def _write_bad(pairs: Pairs) -> None:
    """Adds a pair for each of the faults of single files."""
    image, mask = scene(0)
    large, large_mask = (encode(part) for part in scene(0, _LARGE))
    unknown = mask.copy()
    unknown[3, 3:5] = (77, 78)
    images = {
        "bomb.png": _bomb(),
        "bomb-mask.png": encode(image),
        "cut-jpeg.jpg": _cut(encode(scene(0, _LARGE)[0], "JPEG", quality=95)),
        "cut-mask.png": large,
        "cut-png.png": _cut(large),
        "empty.png": b"",
        "jpeg-mask.png": encode(image),
        "missing-mask.png": encode(image),
        "other-size.png": encode(image),
        "same-stem.jpg": encode(image, "JPEG"),
        "same-stem.png": encode(image),
        "text.png": b"This is a letter and not a picture.\n",
        "turned-aligned.png": _turned(image),
        "turned-raw.png": _turned(image),
        "unknown-value.png": encode(image),
    }
    masks = {
        "bomb.png": encode(mask),
        "bomb-mask.png": _bomb(),
        "cut-jpeg.png": large_mask,
        "cut-mask.png": _cut(large_mask),
        "cut-png.png": large_mask,
        "empty.png": encode(mask),
        "jpeg-mask.jpg": encode(mask, "JPEG"),
        "missing-image.png": encode(mask),
        "other-size.png": encode(mask[::2]),
        "same-stem.png": encode(mask),
        "text.png": encode(mask),
        "turned-aligned.png": encode(mask),
        "turned-raw.png": encode(np.rot90(mask)),
        "unknown-value.png": encode(unknown),
    }
    for folder, files in ((pairs.images, images), (pairs.masks, masks)):
        for name, data in files.items():
            (folder / name).write_bytes(data)


@pytest.fixture(scope="module")
def ingested(tmp_path_factory):
    """One run of the program, with all its workers, over sound pairs and every bad one."""
    folder = tmp_path_factory.mktemp("bad")
    pairs = Pairs(folder)
    _write_bad(pairs)
    ran = run_program("ingest", *pairs.flags(folder / "out", image_format="png"))
    rejects = {row["key"]: row for row in rows_of(folder / "out", "rejects")}
    return SimpleNamespace(ran=ran, pairs=pairs, output=folder / "out", rejects=rejects)


REJECTS = {
    "bomb": ("too_large", "image: 13000 x 13000 pixels by its header, over the cap of 80000000"),
    "bomb-mask": ("too_large", "mask: 13000 x 13000 pixels by its header"),
    "cut-jpeg": ("unreadable", "image: broken or cut off"),
    "cut-mask": ("unreadable", "mask: broken or cut off"),
    "cut-png": ("unreadable", "image: broken or cut off"),
    "empty": ("unreadable", "image: the file is empty"),
    "jpeg-mask": ("lossy_mask", "mask: a JPEG mask may have lost its exact values; save masks as"),
    "missing-image": ("missing_image", "no image has the key missing-image"),
    "missing-mask": ("missing_mask", "no mask has the key missing-mask"),
    "other-size": ("size_mismatch", "image 16x24 and mask 8x24"),
    "same-stem": ("duplicate_key", "same-stem.jpg"),
    "text": ("unreadable", "image: not an image"),
    "turned-raw": ("size_mismatch", "image 16x24 and mask 24x16"),
    "unknown-value": (
        "unknown_label",
        "mask: values that no class claims: 77, 78 (2 of 384 pixels)",
    ),
}


def test_bad_files_cost_themselves_and_not_the_run(ingested):
    assert (ingested.ran.code, ingested.ran.errors) == (0, [])
    assert set(ingested.rejects) == set(REJECTS)
    record = json.loads((ingested.output / "dataset.json").read_text())
    # Two images share a stem, and both are refused.
    assert record["inputs"]["rejected"] == len(REJECTS) + 1
    assert record["inputs"]["accepted"] == 5
    assert record["inputs"]["listed"] == len(REJECTS) + 6
    assert (
        f"{len(REJECTS) + 6} listed = 5 accepted + {len(REJECTS) + 1} rejected" in ingested.ran.out
    )


@pytest.mark.parametrize("key", REJECTS)
def test_each_reject_has_its_code_and_says_why(ingested, key):
    code, message = REJECTS[key]
    row = ingested.rejects[key]
    assert row["code"] == code
    assert message in row["message"]
    for name, folder in (("image_uri", "images"), ("mask_uri", "masks")):
        if row[name] is not None:
            assert row[name].startswith(f"{ingested.pairs.folder}/{folder}/{key}.")


def test_the_bomb_is_as_small_as_it_is_said_to_be():
    assert len(_bomb()) < 30_000


def test_an_image_stored_on_its_side_is_aligned_with_a_mask_drawn_on_the_upright_view(ingested):
    index = {row["key"]: row for row in rows_of(ingested.output, "index")}
    assert (index["turned-aligned"]["source_height"], index["turned-aligned"]["source_width"]) == (
        16,
        24,
    )
    stored = {}
    for shard in ingested.output.glob("*.tfrecord"):
        records = (decode_example(frame) for frame in read_frames(shard))
        stored |= {record.source_id: record for record in records}
    image, mask = scene(0)
    record = stored["turned-aligned"]
    np.testing.assert_array_equal(decode(record.image), image)
    np.testing.assert_array_equal(decode(record.mask), mask)


LABEL_REJECTS = {
    "bomb": "too_large",
    "cut-jpeg": "unreadable",
    "cut-png": "unreadable",
    "empty": "unreadable",
    "text": "unreadable",
}


def test_label_rejects_the_same_images(ingested, tmp_path, capfd):
    model = write_bundle(tmp_path / "model", LABELS)
    flags = [f"--images={ingested.pairs.images}", "--max-reject-fraction=0.5"]
    ran = run_here(capfd, "label", f"--model={model}", *flags, f"--output={tmp_path / 'out'}")
    assert (ran.code, ran.errors) == (0, [])
    rejects = rows_of(tmp_path / "out", "rejects")
    assert {row["key"]: row["code"] for row in rejects} == LABEL_REJECTS
    assert {row["mask_uri"] for row in rejects} == {None}
    labelled = {row["image_uri"]: row for row in rows_of(tmp_path / "out", "images")}
    turned = labelled[f"{ingested.pairs.images}/turned-aligned.png"]
    image, truth = scene(0)
    mask = decode(turned["mask"])
    assert (turned["height"], turned["width"]) == mask.shape == image.shape[:2]
    np.testing.assert_array_equal(mask[1:], truth[1:])  # the first row of the truth is ignored

    again = [*flags, f"--output={tmp_path / 'out'}", "--mask-format=rle"]
    ran = run_here(capfd, "label", f"--model={model}", *again)
    assert ran.code == 2
    assert "have png, and an image is not labelled twice by one model; choose another" in ran.line


def test_masks_whose_foreground_is_the_ignored_value_are_a_warning(tmp_path, capfd):
    pairs = Pairs(tmp_path / "data", count=0, label_map=LabelMap(LABELS.classes[:2]))
    for number in range(10):
        image, mask = scene(number)
        (pairs.images / f"{number}.png").write_bytes(encode(image))
        (pairs.masks / f"{number}.png").write_bytes(
            encode(np.where(mask == 1, 255, 0).astype(np.uint8))
        )
    ran = run_here(capfd, "ingest", *pairs.flags(tmp_path / "out"))
    assert ran.code == 0
    assert ran.line.startswith("warning: no mask has a pixel of 'disc', and ")
    assert 'give the class "raw_ids": [255]' in ran.line


def test_evaluate_rejects_the_same_pairs(ingested, tmp_path, capfd):
    model = write_bundle(tmp_path / "model", LABELS)
    pairs = [f"--images={ingested.pairs.images}", f"--masks={ingested.pairs.masks}"]
    flags = [*pairs, "--max-reject-fraction=1", f"--output={tmp_path / 'out'}"]
    ran = run_here(capfd, "evaluate", f"--model={model}", *flags)
    assert (ran.code, ran.errors) == (0, [])
    found = {
        row["key"]: (row["code"], row["message"]) for row in rows_of(tmp_path / "out", "rejects")
    }
    assert found == {key: (row["code"], row["message"]) for key, row in ingested.rejects.items()}


def test_a_label_map_that_lacks_one_colour_rejects_the_masks_that_have_it(tmp_path, capfd):
    pairs = Pairs(tmp_path / "data", count=2)
    colors = np.array([(60, 90, 60), (210, 70, 60)], np.uint8)
    for number, path in enumerate(sorted(pairs.masks.iterdir())):
        ids = np.zeros((16, 24), np.uint8)
        ids[3, 3] = number
        path.write_bytes(encode(colors[ids]))
    label_map = LabelMap((LabelClass(0, "ground", (60, 90, 60)),))
    pairs.label_map.write_text(json.dumps(label_map.to_dict()))
    assert run_here(capfd, "ingest", *pairs.flags(tmp_path / "out")).code == 0
    (reject,) = rows_of(tmp_path / "out", "rejects")
    assert (reject["key"], reject["code"]) == ("pair-1", "unknown_label")
    assert "colours that no class claims: rgb(210,70,60) (nearest: " in reject["message"]


def test_hundred_unknown_values_do_not_flood_the_message(tmp_path, capfd):
    pairs = Pairs(tmp_path / "data", count=1)
    (pairs.masks / "pair-0.png").write_bytes(
        encode((np.arange(384) % 256).astype(np.uint8).reshape(16, 24))
    )
    assert run_here(capfd, "ingest", *pairs.flags(tmp_path / "out")).code == 0
    (reject,) = rows_of(tmp_path / "out", "rejects")
    assert "3, 4, 5" in reject["message"]
    assert len(reject["message"]) < 200
