"""Masks from bytes: values are exact, or the mask is refused."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageCms

from segflow.data.decode import load, open_image
from segflow.data.masks import decode_raw_mask, encode_mask
from segflow.errors import RejectCode, RejectError
from segflow.label_map import LabelClass, LabelMap
from tests.unit.data.pictures import (
    LIMITS,
    bmp,
    decode_mask,
    encode,
    oriented,
    palette_image,
    photo,
    png,
    png_chunk,
    tiff,
)

IDS = [[0, 1, 2, 3], [3, 2, 1, 0]]
GREY = np.array(IDS, np.uint8)
LABELS = LabelMap(tuple(LabelClass(i, f"class {i}", (i, 10 * i, 7)) for i in range(4)))


def _raw(data: bytes) -> np.ndarray:
    return decode_raw_mask(data, LIMITS)


def _refused(data: bytes, label_map: LabelMap = LABELS) -> RejectError:
    with pytest.raises(RejectError) as caught:
        decode_mask(data, label_map, LIMITS)
    return caught.value


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "GIF", "BMP", "TGA", "PPM"])
def test_grey_values_are_the_ids(kind):
    mask = decode_mask(encode(GREY, kind), LABELS, LIMITS)

    assert mask.dtype == np.uint8
    assert mask.tolist() == IDS


TWO = (LabelClass(0, "background"), LabelClass(1, "cell"))


@pytest.mark.parametrize("as_colours", [False, True])
def test_a_threshold_parts_greys(as_colours):
    greys = np.array([[0, 1, 127, 128, 254, 255]], np.uint8)
    data = encode(np.stack([greys] * 3, -1) if as_colours else greys, "PNG")

    assert decode_mask(data, LabelMap(TWO, threshold=128), LIMITS).tolist() == [[0, 0, 0, 1, 1, 1]]


def test_above_and_below_a_threshold_some_values_may_not_count():
    label_map = LabelMap(TWO, threshold=300, ignore_raw_ids=(0, 65535))
    data = encode(np.array([[0, 8, 300, 65535]], np.uint16), "PNG")

    assert decode_mask(data, label_map, LIMITS).tolist() == [[255, 0, 1, 255]]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "GIF", "BMP", "TGA"])
def test_palette_masks_hold_indices_whatever_their_colours(kind):
    image = palette_image(IDS, [200, 0, 0, 3, 3, 3, 3, 3, 3, 0, 0, 0])

    assert decode_mask(encode(image, kind), LABELS, LIMITS).tolist() == IDS


@pytest.mark.parametrize(
    ("depth", "row", "values"),
    [
        (1, b"\xa0", [1, 0, 1, 0]),
        (2, b"\x1b", [0, 1, 2, 3]),
        (4, b"\x0f\x3a", [0, 15, 3, 10]),
        (8, b"\x00\x01\xfe\xff", [0, 1, 254, 255]),
        (16, struct.pack(">4H", 0, 1, 300, 65535), [0, 1, 300, 65535]),
    ],
)
def test_grey_pngs_of_any_depth_hold_what_was_written(depth, row, values):
    assert _raw(png((2, 4), depth, 0, [row, row])).tolist() == [values, values]


@pytest.mark.parametrize(("depth", "row"), [(1, b"\xa0"), (2, b"\x44"), (4, b"\x10\x10")])
def test_palette_pngs_of_few_bits_hold_what_was_written(depth, row):
    palette = png_chunk(b"PLTE", bytes(range(6)))
    data = png((1, 4), depth, 3, [row])

    header_end = data.index(b"IDAT") - 4
    assert _raw(data[:header_end] + palette + data[header_end:]).tolist() == [[1, 0, 1, 0]]


def test_a_chunk_ahead_of_the_header_does_not_change_values():
    """Pillow reads such files, though the standard forbids them."""
    data = png((1, 2), 4, 0, [b"\x12"], before_header=png_chunk(b"tEXt", b"a\0" + bytes(40)))

    assert _raw(data).tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("bits", "data", "values"),
    [
        (1, b"\xa0", [1, 0, 1, 0]),
        (2, b"\x1b", [0, 1, 2, 3]),
        (4, b"\x0f\x3a", [0, 15, 3, 10]),
        (12, b"\x00\x11\x2c\xff\xf0\x00", [1, 300, 4095, 0]),
    ],
)
def test_grey_tiffs_of_any_depth_hold_what_was_written(bits, data, values):
    assert _raw(tiff((1, 4), bits, data)).tolist() == [values]


@pytest.mark.parametrize("big_endian", [False, True])
def test_16_bit_ids_survive_in_either_byte_order(big_endian):
    data = struct.pack(">3H" if big_endian else "<3H", 1, 300, 65535)
    label_map = LabelMap(tuple(LabelClass(i, str(i)) for i in range(301)), ignore_id=65535)

    mask = decode_mask(tiff((1, 3), 16, data, big_endian=big_endian), label_map, LIMITS)

    assert mask.dtype == np.uint16
    assert mask.tolist() == [[1, 300, 65535]]


def test_negative_ids_are_unknown_and_not_wrapped():
    data = tiff((1, 2), 16, struct.pack("<2h", -1, 2), sample_format=2)

    assert _raw(data).tolist() == [[-1, 2]]
    assert "-1" in str(_refused(data))


def test_alpha_is_left_out():
    with_alpha = Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(GREY * 80)])

    assert _raw(encode(with_alpha, "PNG")).tolist() == IDS


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "TGA"])
def test_colours_are_looked_up(kind, mode):
    colors = LABELS.palette()[GREY]

    data = encode(Image.fromarray(colors).convert(mode), kind)

    assert decode_mask(data, LABELS, LIMITS).tolist() == IDS


def test_a_wrong_colour_is_named_with_the_nearest_class_and_how_many_pixels_missed():
    colors = LABELS.palette()[GREY]
    colors[0, 0] += np.array((1, 0, 2), np.uint8)
    near = colors[0, 0]
    first = LABELS.classes[GREY[0, 0]]

    with pytest.raises(RejectError) as caught:
        decode_mask(encode(colors, "PNG"), LABELS, LIMITS)

    assert caught.value.code == RejectCode.UNKNOWN_LABEL
    wrong, nearest = (f"rgb({','.join(map(str, color))})" for color in (near, first.color))
    assert f"claims: {wrong} (nearest: {first.name} {nearest}) (1 of {GREY.size} p" in str(
        caught.value
    )


def test_a_wrong_colour_near_to_an_ignored_one_says_so():
    label_map = LabelMap((LabelClass(0, "a", (9, 9, 9)),), ignore_colors=((200, 200, 0),))
    data = encode(np.full((2, 3, 3), (201, 200, 0), np.uint8), "PNG")

    with pytest.raises(RejectError, match=r"\(nearest: ignored rgb\(200,200,0\)\) \(6 of 6 pixels"):
        decode_mask(data, label_map, LIMITS)


def test_grey_masks_stored_as_rgb_are_values_where_no_class_has_a_colour():
    plain = LabelMap((LabelClass(0, "a"), LabelClass(1, "b")))
    values = np.array([[0, 1, 255]], np.uint8)
    data = encode(np.repeat(values[..., None], 3, axis=2), "PNG")

    assert decode_mask(data, plain, LIMITS).tolist() == values.tolist()
    with pytest.raises(RejectError, match=r"colours that no class claims: rgb\(1,1,1\)"):
        black = LabelMap((LabelClass(0, "a", (0, 0, 0)), LabelClass(1, "b", (255, 255, 255))))
        decode_mask(data, black, LIMITS)


def _lossless_webp(**options: object) -> bytes:
    return encode(LABELS.palette()[GREY], "WEBP", lossless=True, **options)


def test_lossless_webp_is_read_wherever_its_pixels_lie():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    other = Image.new("RGB", (4, 2), (0, 0, 7))
    plain, profiled = _lossless_webp(), _lossless_webp(icc_profile=profile)
    padded = _lossless_webp(icc_profile=profile + bytes(1 - len(profile) % 2))
    animated = _lossless_webp(save_all=True, append_images=[other])
    assert b"ICCP" in profiled
    assert b"ANMF" in animated

    for data in (plain, profiled, padded, animated):
        assert decode_mask(data, LABELS, LIMITS).tolist() == IDS


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"quality": 100}),
        ("WEBP", {}),
        ("WEBP", {"exif": b"Exif\0\0 VP8L VP8L"}),
        ("MPO", {"save_all": True, "append_images": [Image.new("RGB", (16, 16))]}),
        ("JPEG2000", {}),
        ("AVIF", {}),
        ("TIFF", {"compression": "jpeg"}),
    ],
)
def test_lossy_masks_are_refused(kind, options):
    error = _refused(encode(photo(16, 16), kind, **options))

    assert error.code == RejectCode.LOSSY_MASK
    assert kind in str(error)
    assert "PNG" in str(error)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(png((1, 1), 16, 2, [struct.pack(">3H", 300, 1, 2)]), id="16-bit colour PNG"),
        pytest.param(png((1, 1), 16, 6, [bytes(8)]), id="16-bit colour and alpha PNG"),
        pytest.param(png((1, 1), 16, 4, [struct.pack(">2H", 300, 0)]), id="16-bit grey and alpha"),
        pytest.param(tiff((1, 1), 16, bytes(6), photometric=2, samples=3), id="16-bit colour TIFF"),
        pytest.param(tiff((1, 2), 4, b"\x12", photometric=0), id="white is zero, 4 bits"),
        pytest.param(tiff((1, 2), 8, b"\1\2", photometric=0), id="white is zero, 8 bits"),
        pytest.param(tiff((1, 8), 1, b"\x55", photometric=0), id="white is zero, 1 bit"),
        pytest.param(tiff((1, 2), 8, b"\5\xfe", sample_format=2), id="signed 8 bits would wrap"),
        pytest.param(b"P5 2 1 15\n\1\2", id="PGM of 15"),
        pytest.param(b"P2 2 1 15\n1 2\n", id="plain PGM of 15"),
        pytest.param(b"P5 1 1 1023\n\1\2", id="PGM of 1023"),
        pytest.param(b"P6 1 1 65535\n" + struct.pack(">3H", 300, 600, 900), id="16-bit PPM"),
        pytest.param(b"P4 8 1\n\x55", id="PBM, where 1 is black"),
        pytest.param(bmp((2, 2), 4, range(16), [b"\x12", b"\x31"]), id="BMP with a grey ramp"),
        pytest.param(encode(palette_image([[1, 0]], [0] * 3 + [255] * 3), "BMP"), id="two greys"),
        pytest.param(encode(np.array([[1.0]], np.float32), "TIFF"), id="floating point"),
        pytest.param(encode(Image.new("CMYK", (2, 2)), "TIFF"), id="CMYK"),
    ],
)
def test_a_mask_whose_values_pillow_changes_is_refused(data):
    error = _refused(data)

    assert error.code == RejectCode.UNSUPPORTED_FORMAT


@pytest.mark.timeout(10)
def test_no_header_makes_the_look_at_it_take_for_ever():
    assert _refused(b"P5" + b" " * 60 + b"1 1 +15\n\5").code == RejectCode.UNSUPPORTED_FORMAT


def test_16_bit_pgms_keep_their_ids():
    assert _raw(b"P5 2 1 65535\n" + struct.pack(">2H", 1, 300)).tolist() == [[1, 300]]
    assert _raw(b"P2 # plain\n2 1 65535\n1 300\n").tolist() == [[1, 300]]


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_orientation_is_applied_as_to_images(orientation):
    data = encode(GREY, "PNG", exif=oriented(orientation))
    turned = np.asarray(load(open_image(data, LIMITS)))

    assert np.array_equal(decode_mask(data, LABELS, LIMITS), turned)
    assert (turned.shape == (2, 4)) == (orientation < 5)


def test_an_unknown_value_is_named_with_its_number_of_pixels():
    error = _refused(encode(np.array([[0, 77, 77, 9]], np.uint8), "PNG"))

    assert error.code == RejectCode.UNKNOWN_LABEL
    assert "9, 77 (3 of 4 pixels)" in str(error)
    assert "4 classes" in str(error)


def test_of_many_unknown_values_some_are_named_and_all_counted():
    error = _refused(encode(np.arange(100, 120, dtype=np.uint8)[None], "PNG"))

    assert "100, 101" in str(error)
    assert "and 8 more (20 of 20 pixels)" in str(error)


def test_no_channel_of_a_colour_is_taken_for_an_id():
    grey_rgb = np.repeat(GREY[..., None], 3, axis=2)

    assert "rgb(1,1,1)" in str(_refused(encode(grey_rgb, "PNG")))


@pytest.mark.parametrize("ignore_id", [255, 65535])
def test_the_ignore_id_stays_itself(ignore_id):
    label_map = LabelMap((LabelClass(0, "ground"),), ignore_id)
    dtype = np.uint8 if ignore_id == 255 else np.uint16

    mask = decode_mask(encode(np.array([[0, ignore_id]], dtype), "PNG"), label_map, LIMITS)

    assert mask.dtype == dtype
    assert mask.tolist() == [[0, ignore_id]]


def test_raw_ids_are_remapped_and_the_ids_themselves_then_unknown():
    classes = (LabelClass(0, "ground", raw_ids=(7, 300)), LabelClass(1, "disc", raw_ids=(0,)))
    label_map = LabelMap(classes)
    data = encode(np.array([[7, 300], [0, 255]], np.uint16), "PNG")

    mask = decode_mask(data, label_map, LIMITS)

    assert mask.dtype == np.uint8
    assert mask.tolist() == [[0, 0], [1, 255]]
    assert "1 (2 of 2 pixels)" in str(_refused(encode(np.ones((1, 2), np.uint8), "PNG"), label_map))


@given(
    hnp.arrays(
        st.sampled_from([np.uint8, np.uint16]), hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)
    )
)
def test_encoded_ids_come_back(ids):
    decoded = _raw(encode_mask(ids))

    assert decoded.dtype == ids.dtype
    assert np.array_equal(decoded, ids)


@given(st.data(), st.sets(st.integers(0, 65534), min_size=2, max_size=6))
def test_every_value_becomes_its_class_or_the_mask_is_refused(data, raw_ids):
    first, *others = sorted(raw_ids)
    classes = (LabelClass(0, "a", raw_ids=(first,)), LabelClass(1, "b", raw_ids=tuple(others)))
    label_map = LabelMap(classes, ignore_id=65535)
    near = st.sampled_from([*raw_ids, 65535]) | st.integers(-2, 70_000)
    values = np.array([data.draw(st.lists(near, min_size=3, max_size=3))], np.int32)

    mask_file = encode(values, "TIFF")

    if set(values.ravel().tolist()) <= {*raw_ids, 65535}:
        mask = decode_mask(mask_file, label_map, LIMITS)
        assert mask.ravel().tolist() == [label_map.raw_to_id[v] for v in values.ravel().tolist()]
    else:
        assert _refused(mask_file, label_map).code == RejectCode.UNKNOWN_LABEL
