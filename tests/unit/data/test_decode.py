"""Images from bytes: every mode and format that is allowed, and what is refused, and as what."""

import io
import random
import struct

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps

from segflow.data.config import DecodeLimits
from segflow.data.decode import FORMATS, decode_rgb, open_image
from segflow.data.masks import decode_raw_mask
from segflow.data.reading import ReadingConfig
from segflow.errors import RejectCode, RejectError
from tests.unit.data.pictures import (
    LIMITS,
    bmp,
    encode,
    oriented,
    palette_image,
    photo,
    png,
    png_chunk,
    tiff,
)


def _refused(data: bytes, limits: DecodeLimits = LIMITS) -> RejectError:
    with pytest.raises(RejectError) as caught:
        decode_rgb(data, limits)
    return caught.value


@pytest.mark.parametrize("kind", FORMATS)
def test_reads_every_format_of_the_allow_list(kind):
    options = {"WEBP": {"lossless": True}, "JPEG2000": {"irreversible": False}}.get(kind, {})

    decoded = decode_rgb(encode(photo(), kind, **options), LIMITS)

    assert decoded.dtype == np.uint8
    assert decoded.shape == (12, 16, 3)
    lossy = {"JPEG": 40, "AVIF": 40, "GIF": 40}  # of 255: chroma at half size, a palette
    assert np.abs(decoded.astype(int) - photo()).max() <= lossy.get(kind, 0)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "GIF", "TGA"])
def test_grey_becomes_three_equal_channels(kind):
    grey = photo()[..., 0]

    decoded = decode_rgb(encode(grey, kind), LIMITS)

    assert np.array_equal(decoded, np.repeat(grey[..., None], 3, axis=2))


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparency_is_left_out(mode):
    image = Image.fromarray(photo()).convert(mode)
    opaque = np.asarray(image.convert("RGB"))
    image.putalpha(Image.linear_gradient("L").resize(image.size))

    assert np.array_equal(decode_rgb(encode(image, "PNG"), LIMITS), opaque)


def test_a_palette_with_transparency_gives_its_colours(recwarn):
    image = palette_image([[0, 1], [1, 0]], [10, 20, 30, 200, 100, 50])

    decoded = decode_rgb(encode(image, "PNG", transparency=b"\x00\x80"), LIMITS)

    assert decoded[0].tolist() == [[10, 20, 30], [200, 100, 50]]
    assert not recwarn.list


def test_bilevel_is_black_and_white():
    bits = np.array([[True, False, True]])

    decoded = decode_rgb(encode(bits, "PNG"), LIMITS)

    assert decoded[0, :, 1].tolist() == [255, 0, 255]


def test_cmyk_jpegs_come_out_in_the_colours_they_had():
    image = Image.fromarray(photo())

    decoded = decode_rgb(encode(image.convert("CMYK"), "JPEG", quality=95), LIMITS)

    assert np.abs(decoded.astype(int) - photo()).max() <= 24


@pytest.mark.parametrize("big_endian", [False, True])
def test_16_bit_tiffs_are_scaled_to_8_bits_in_either_byte_order(big_endian):
    values = struct.pack(">4H" if big_endian else "<4H", 0, 257, 32896, 65535)

    decoded = decode_rgb(tiff((1, 4), 16, values, big_endian=big_endian), LIMITS)

    assert decoded[0, :, 2].tolist() == [0, 1, 128, 255]


def test_16_bit_pngs_are_scaled_and_not_clipped():
    decoded = decode_rgb(encode(np.array([[300, 40000]], np.uint16), "PNG"), LIMITS)

    assert decoded[0].tolist() == [[1, 1, 1], [156, 156, 156]]


def test_32_bit_integers_are_read_as_16_bit_and_refused_beyond():
    sound = encode(np.array([[0, 65535]], np.int32), "TIFF")
    assert decode_rgb(sound, LIMITS)[0, :, 0].tolist() == [0, 255]

    error = _refused(encode(np.array([[0, 65536]], np.int32), "TIFF"))
    assert error.code == RejectCode.UNSUPPORTED_FORMAT
    assert "0 to 65536" in str(error)


def test_floating_point_pixels_are_refused():
    error = _refused(encode(np.array([[0.5]], np.float32), "TIFF"))

    assert error.code == RejectCode.UNSUPPORTED_FORMAT
    assert "floating-point" in str(error)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_several_frames_the_first_is_read(kind):
    red, blue = (Image.new("RGB", (6, 4), color) for color in ((255, 0, 0), (0, 0, 255)))
    options = {"lossless": True} if kind == "WEBP" else {}

    data = encode(red, kind, save_all=True, append_images=[blue], **options)

    assert np.array_equal(decode_rgb(data, LIMITS), np.asarray(red))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_applied(kind, orientation):
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encode(photo(), kind, exif=oriented(orientation), **options)
    stored = Image.open(io.BytesIO(data))

    decoded = decode_rgb(data, LIMITS)

    assert decoded.shape[:2] == ((12, 16) if orientation < 5 else (16, 12))
    assert np.array_equal(decoded, np.asarray(ImageOps.exif_transpose(stored)))


def test_a_damaged_exif_tag_costs_neither_the_image_nor_its_orientation():
    exif = oriented(6)
    exif[282] = 72.0
    damaged = exif.tobytes().replace(struct.pack(">HH", 282, 5), struct.pack(">HH", 282, 2))
    assert damaged != exif.tobytes()

    assert decode_rgb(encode(photo(), "JPEG", exif=damaged), LIMITS).shape == (16, 12, 3)


def test_exif_data_that_are_none_cost_no_image():
    data = encode(photo(), "JPEG", exif=b"Exif\0\0no TIFF header at all")

    assert decode_rgb(data, LIMITS).shape == (12, 16, 3)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000", "TGA"])
def test_half_a_file_is_unreadable(kind):
    data = encode(photo(48, 64), kind)

    assert _refused(data[: len(data) // 2]).code == RejectCode.UNREADABLE


def test_a_jpeg_that_lacks_its_last_rows_is_unreadable():
    data = encode(photo(480, 640), "JPEG")

    error = _refused(data[: len(data) - 200])

    assert error.code == RejectCode.UNREADABLE
    assert "cut off" in str(error)


@pytest.mark.parametrize(
    "data", [b"Not a picture.\n", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"\0"]
)
def test_what_is_no_image_is_unreadable(data):
    assert _refused(data).code == RejectCode.UNREADABLE


def test_an_empty_file_is_unreadable_and_called_empty():
    error = _refused(b"")

    assert error.code == RejectCode.UNREADABLE
    assert "empty" in str(error)


@pytest.mark.parametrize("size", [(0, 0), (0, 3), (3, 0)])
def test_a_picture_without_pixels_is_unreadable(size):
    assert _refused(png(size, 8, 0, [b"\0" * size[1]] * size[0])).code == RejectCode.UNREADABLE


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"8BPS\0\1" + bytes(20), "PSD"),
        (encode(photo(), "ICO"), "ICO"),
        (encode(photo(), "SGI"), "SGI"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "EPS"),
    ],
)
def test_other_formats_are_named_and_not_supported(data, name):
    error = _refused(data)

    assert error.code == RejectCode.UNSUPPORTED_FORMAT
    assert name in str(error)
    assert "JPEG" in str(error)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [13_000, 20_000])
def test_a_bomb_is_refused_by_its_header_without_decoding(side, monkeypatch):
    rows = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", rows) + png_chunk(b"IDAT", bytes(20_000))
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.fail("pixels were decoded"))

    error = _refused(bomb)

    assert error.code == RejectCode.TOO_LARGE
    assert str(side) in str(error) or str(side * side) in str(error)


def test_the_pixel_cap_counts_pixels_of_the_header():
    data = encode(photo(12, 16), "PNG")

    assert decode_rgb(data, DecodeLimits(max_pixels=192)).shape == (12, 16, 3)
    error = _refused(data, DecodeLimits(max_pixels=191))
    assert error.code == RejectCode.TOO_LARGE
    assert "16 x 12" in str(error)
    assert "--limits.max-pixels" in str(error)


@pytest.mark.parametrize(("bits", "colors"), [(4, range(16)), (8, (0, 255)), (4, (0, 255))])
def test_a_bmp_whose_grey_palette_makes_pillow_misread_it_is_refused(bits, colors):
    """Pillow takes the depth from the palette; each such file decodes to other pixels."""
    error = _refused(bmp((2, 4), bits, list(colors), [b"\1\0\1\0"[: bits // 2]] * 2))

    assert error.code == RejectCode.UNSUPPORTED_FORMAT
    assert "BMP" in str(error)


def test_the_same_bytes_give_the_same_message():
    """Rejects are part of the output, so a message must not hold an address or the like."""
    data = encode(photo(), "PNG")
    broken = [data[:40] + bytes([byte]) + data[41:] for byte in range(0, 250, 10)]
    broken += [data[:length] for length in range(0, len(data), 9)]

    assert [_message(d) for d in broken] == [_message(d) for d in broken]


def _message(data: bytes) -> str:
    try:
        decode_rgb(data, LIMITS)
    except RejectError as error:
        return str(error)
    return "decoded"


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("kind", FORMATS)
def test_damaged_files_are_refused_and_never_raise_anything_else(kind, capfd):
    source = encode(photo(), kind)
    dice = random.Random(kind)
    limits = DecodeLimits(max_pixels=1_000_000)
    outcomes = set()
    for _ in range(40):
        data = bytearray(source)
        for _ in range(dice.randint(1, 4)):
            data[dice.randrange(len(data))] = dice.choice([0, 1, 128, 255, dice.randrange(256)])
        for decode in (decode_rgb, decode_raw_mask):
            try:
                outcomes.add(decode(bytes(data), limits).size > 0)
            except RejectError as error:
                outcomes.add(error.code in set(RejectCode))
    capfd.readouterr()  # libtiff writes its complaints to stderr

    assert outcomes == {True}


def _animation(kind: str, frames: int) -> bytes:
    pictures = [Image.fromarray(photo() // (i + 1)) for i in range(frames)]
    return encode(pictures[0], kind, save_all=True, append_images=pictures[1:])


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF"])
def test_of_an_animation_the_first_frame_is_taken_or_it_is_rejected(kind):
    moving, still = _animation(kind, 3), _animation(kind, 1)
    reject = ReadingConfig(frames="reject")

    assert np.abs(decode_rgb(moving, LIMITS).astype(int) - photo()).max() <= 40
    assert np.array_equal(decode_rgb(still, LIMITS, reject), decode_rgb(still, LIMITS))
    with pytest.raises(RejectError, match=rf"an animated {kind} \(--frames reject\)") as caught:
        decode_rgb(moving, LIMITS, reject)
    assert caught.value.code == RejectCode.UNSUPPORTED_FORMAT


@pytest.mark.parametrize("kind", ["TIFF", "MPO"])
def test_pages_and_previews_are_no_animation(kind):
    decoded = decode_rgb(_animation(kind, 2), LIMITS, ReadingConfig(frames="reject"))

    assert np.abs(decoded.astype(int) - photo()).max() <= 40


def test_an_animation_that_breaks_off_behind_its_first_frame_is_unreadable_if_none_is_wanted():
    moving = _animation("GIF", 2)
    outcomes = set()
    for length in range(len(moving) // 3, len(moving), 11):
        try:
            decode_rgb(moving[:length], LIMITS, ReadingConfig(frames="reject"))
        except RejectError as error:
            outcomes.add(error.code)

    assert outcomes <= {RejectCode.UNREADABLE, RejectCode.UNSUPPORTED_FORMAT}
    assert RejectCode.UNSUPPORTED_FORMAT in outcomes


def test_16_bit_colour_keeps_its_high_byte():
    """Pillow reads it so; within one of what even scaling gives."""
    rows = [struct.pack(">6H", 0, 257, 32896, 65535, 40000, 255)]

    decoded = decode_rgb(png((1, 2), 16, 2, rows), LIMITS)

    assert decoded[0].tolist() == [[0, 1, 128], [255, 156, 0]]


def test_open_image_decodes_nothing(monkeypatch):
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.fail("pixels were decoded"))

    assert open_image(encode(photo(), "PNG"), LIMITS).size == (16, 12)
