"""One pair, from two files to stored examples."""

import hashlib
import io
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from segflow.data import pair as pairs
from segflow.data.augment_config import PRESETS, AugmentationConfig
from segflow.data.config import ExampleConfig
from segflow.data.masks import decode_raw_mask
from segflow.data.pair import Pair, count_pixels, make_examples, read_pair, read_source
from segflow.data.records import encode_example
from segflow.errors import RejectCode, RejectError
from segflow.label_map import LabelClass, LabelMap
from tests.unit.data.pictures import LIMITS, encode, oriented, photo

LABELS = LabelMap((LabelClass(0, "a"), LabelClass(1, "b"), LabelClass(2, "c")))
MASK = np.zeros((12, 16), np.uint8)
MASK[3:9, 4:8], MASK[:, 12:] = 1, 255


def _write(folder: Path, image: bytes, mask: bytes) -> dict:
    (folder / "image.jpg").write_bytes(image)
    (folder / "mask.png").write_bytes(mask)
    row = {"key": "a"}
    for what, path in (("image", folder / "image.jpg"), ("mask", folder / "mask.png")):
        stat = path.stat()
        row |= {
            f"{what}_uri": str(path),
            f"{what}_bytes": stat.st_size,
            f"{what}_mtime_ns": stat.st_mtime_ns,
        }
    return row


def _pair(mask: np.ndarray = MASK) -> Pair:
    return Pair(photo(*mask.shape), mask, "0" * 64)


def _config(**changes: object) -> ExampleConfig:
    return ExampleConfig(**{"image_size": "12x16", "image_format": "png", **changes})


def _example(pair: Pair, variant: int = 0, **changes: object):
    config = _config(**changes)
    return list(make_examples(pair, "key", "a.jpg", variant, config, LABELS))[variant]


def _refused(row: dict) -> RejectError:
    with pytest.raises(RejectError) as caught:
        read_pair(row, LABELS, LIMITS)
    return caught.value


def test_a_sound_pair_is_read(tmp_path):
    image = encode(photo(), "PNG")

    pair = read_pair(_write(tmp_path, image, encode(MASK, "PNG")), LABELS, LIMITS)

    assert np.array_equal(pair.image, photo())
    assert np.array_equal(pair.mask, MASK)
    assert pair.image_sha256 == hashlib.sha256(image).hexdigest()


def test_different_sizes_are_refused_with_both(tmp_path):
    error = _refused(_write(tmp_path, encode(photo(), "PNG"), encode(MASK[:6], "PNG")))

    assert error.code == RejectCode.SIZE_MISMATCH
    assert "12x16" in str(error)
    assert "6x16" in str(error)


def test_a_mask_of_another_size_is_that_whatever_it_holds(tmp_path):
    error = _refused(_write(tmp_path, encode(photo(), "PNG"), encode(photo(10, 10), "PNG")))

    assert error.code == RejectCode.SIZE_MISMATCH


def test_a_turn_of_the_image_alone_is_a_mismatch_of_sizes(tmp_path):
    turned = encode(photo(), "JPEG", exif=oriented(6))

    assert _refused(_write(tmp_path, turned, encode(MASK, "PNG"))).code == RejectCode.SIZE_MISMATCH


def test_a_turn_of_both_is_applied_to_both(tmp_path):
    exif = oriented(6)
    row = _write(tmp_path, encode(photo(), "PNG", exif=exif), encode(MASK, "PNG", exif=exif))

    pair = read_pair(row, LABELS, LIMITS)

    assert np.array_equal(pair.image, np.rot90(photo(), -1))
    assert np.array_equal(pair.mask, np.rot90(MASK, -1))


@pytest.mark.parametrize(("broken", "name"), [("image", "image: "), ("mask", "mask: ")])
def test_the_message_says_which_of_the_two_files(tmp_path, broken, name):
    files = {"image": encode(photo(), "PNG"), "mask": encode(MASK, "PNG")}

    error = _refused(_write(tmp_path, **{**files, broken: files[broken][:40]}))

    assert error.code == RejectCode.UNREADABLE
    assert str(error).startswith(name)


@pytest.mark.parametrize("what", ["image", "mask"])
def test_a_source_that_grew_since_is_refused(tmp_path, what):
    row = _write(tmp_path, encode(photo(), "PNG"), encode(MASK, "PNG"))
    with Path(row[f"{what}_uri"]).open("ab") as file:
        file.write(b"more")

    error = _refused(row)

    assert error.code == RejectCode.SOURCE_CHANGED
    assert str(row[f"{what}_bytes"]) in str(error)


def test_a_source_written_anew_since_is_refused_though_its_size_is_the_same(tmp_path):
    row = _write(tmp_path, encode(photo(), "PNG"), encode(MASK, "PNG"))
    os.utime(row["mask_uri"], ns=(5, 5))

    error = _refused(row)

    assert error.code == RejectCode.SOURCE_CHANGED
    assert "time" in str(error)


@pytest.mark.parametrize("planned", [(3, 5), (None, None)])
def test_a_source_that_is_gone_has_changed_if_it_was_ever_listed(tmp_path, planned):
    with pytest.raises(RejectError, match="mask: ") as caught:
        read_source(str(tmp_path / "gone"), planned, LIMITS, "mask")

    listed = planned != (None, None)
    assert caught.value.code == (RejectCode.SOURCE_CHANGED if listed else RejectCode.UNREADABLE)


def test_a_source_that_changes_while_it_is_read_is_refused(tmp_path, monkeypatch):
    row = _write(tmp_path, encode(photo(), "PNG"), encode(MASK, "PNG"))
    open_path = Path.open

    def change_and_open(path: Path, *args: object) -> object:
        with open_path(path, "ab") as file:
            file.write(b"more")
        return open_path(path, *args)

    monkeypatch.setattr(Path, "open", change_and_open)

    assert _refused(row).code == RejectCode.SOURCE_CHANGED


def test_a_source_that_may_not_be_looked_at_is_unreadable(tmp_path, monkeypatch):
    row = _write(tmp_path, encode(photo(), "PNG"), encode(MASK, "PNG"))

    def deny(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", deny)

    error = _refused(row)
    assert error.code == RejectCode.UNREADABLE
    assert "Permission denied" in str(error)


def test_a_passing_fault_of_the_storage_raises(tmp_path, monkeypatch):
    row = _write(tmp_path, encode(photo(), "PNG"), encode(MASK, "PNG"))

    def time_out(*_: object, **__: object) -> None:
        raise TimeoutError(110, "Connection timed out")

    monkeypatch.setattr(Path, "stat", time_out)

    with pytest.raises(TimeoutError):
        read_pair(row, LABELS, LIMITS)


def test_an_example_holds_what_it_says():
    record = _example(_pair(), image_size="6x8").record

    assert (record.height, record.width, record.channels) == (6, 8, 3)
    assert record.image_format == "png"
    assert (record.filename, record.source_id) == ("a.jpg", "key")
    assert Image.open(io.BytesIO(record.image)).size == (8, 6)
    assert Image.open(io.BytesIO(record.mask)).size == (8, 6)


def test_at_equal_size_the_mask_is_stored_as_it_was():
    assert np.array_equal(decode_raw_mask(_example(_pair()).record.mask, LIMITS), MASK)


def test_copies_are_made_of_the_pair_once_resized(monkeypatch):
    resized, resize = [], pairs.resize_pair
    monkeypatch.setattr(pairs, "resize_pair", lambda *a: resized.append(1) or resize(*a))

    made = list(make_examples(_pair(), "key", "a", 3, _config(), LABELS))

    assert (len(made), len(resized)) == (4, 1)


def test_16_bit_ids_are_stored_in_16_bits():
    mask = np.full((12, 16), 65535, np.uint16)
    mask[0, 0] = 300
    labels = LabelMap(tuple(LabelClass(i, str(i)) for i in range(301)), ignore_id=65535)

    example = next(make_examples(_pair(mask), "key", "a", 0, _config(), labels))

    assert np.array_equal(decode_raw_mask(example.record.mask, LIMITS), mask)
    assert example.class_pixels[300] == 1
    assert example.ignored_pixels == 12 * 16 - 1


@pytest.mark.parametrize(("kind", "magic"), [("jpeg", b"\xff\xd8\xff"), ("png", b"\x89PNG")])
def test_images_are_stored_in_the_format_asked_for(kind, magic):
    record = _example(_pair(), image_format=kind).record

    assert record.image.startswith(magic)
    assert record.image_format == kind


def test_the_quality_of_jpeg_is_that_asked_for():
    sizes = [
        len(_example(_pair(), image_format="jpeg", jpeg_quality=quality).record.image)
        for quality in (20, 95)
    ]

    assert sizes[0] < sizes[1]


def test_the_padding_of_a_letterbox_is_ignored_pixels():
    mask = np.ones((8, 16), np.uint8)

    example = _example(_pair(mask), resize="letterbox", image_size="16x16")

    assert example.class_pixels == [0, 128, 0]
    assert example.ignored_pixels == 128


@given(hnp.arrays(np.uint8, (12, 16), elements=st.sampled_from([0, 1, 2, 255])), st.integers(0, 3))
def test_class_pixels_and_ignored_ones_are_those_of_the_stored_mask(mask, variant):
    example = _example(_pair(mask), variant, image_size="9x13", resize="letterbox")

    stored = decode_raw_mask(example.record.mask, LIMITS)
    assert example.class_pixels == [int((stored == i).sum()) for i in range(3)]
    assert example.ignored_pixels == int((stored == 255).sum())
    assert sum(example.class_pixels) + example.ignored_pixels == 9 * 13


@given(
    hnp.arrays(np.uint16, (7, 11), elements=st.sampled_from([0, 299, 300, 40_000])),
    st.sampled_from([name for name in PRESETS if name != "none"]),
    st.sampled_from(["stretch", "letterbox"]),
    st.integers(0, 2**32),
)
def test_no_copy_has_an_id_that_the_source_lacks(mask, preset, resize, seed):
    labels = LabelMap(tuple(LabelClass(i, str(i)) for i in range(301)), ignore_id=40_000)
    augmentation = AugmentationConfig(preset=preset)
    config = _config(image_size="9x13", resize=resize, seed=seed, augmentation=augmentation)

    for example in make_examples(_pair(mask), "key", "a.png", 2, config, labels):
        stored = decode_raw_mask(example.record.mask, LIMITS)
        assert set(np.unique(stored)) <= {*np.unique(mask).tolist(), 40_000}


@given(st.integers(0, 5), st.integers(0, 5))
def test_an_example_is_a_pure_function_and_each_variant_another(first, second):
    encoded = [encode_example(_example(_pair(), variant).record) for variant in (first, second)]

    assert (encoded[0] == encoded[1]) == (first == second)


def test_variant_0_is_not_augmented():
    changes = {"augmentation": AugmentationConfig(flip_horizontal=1, brightness=1)}

    assert _example(_pair(), 0, **changes) == _example(_pair(), 0)
    assert _example(_pair(), 1, **changes) != _example(_pair(), 1)


def test_ignored_pixels_are_counted_for_no_class_even_within_the_table():
    labels = LabelMap((LabelClass(0, "a"), LabelClass(1, "b")), ignore_id=2)

    assert count_pixels(np.array([[0, 2], [2, 1]], np.uint8), labels) == [1, 1]
