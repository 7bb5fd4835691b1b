"""2,000 mutations of valid files of every format: each is decoded or refused; none does harm."""

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray
from PIL import features

from segflow.data import contained, decode
from segflow.data.config import DecodeLimits
from segflow.errors import RejectCode, RejectError
from tests.unit.data.pictures import encode, palette_image, photo

MUTATIONS = 2000
LIMITS = DecodeLimits(max_pixels=1_000_000, decode_seconds=10)
_PICTURE = photo(48, 64)
_PALETTE = palette_image(_PICTURE[..., 0] // 64, [0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
_DEEP = _PICTURE[..., 0].astype(np.uint16) * 257


def _valid_files() -> dict[str, bytes]:
    """One file of each format and of each kind that is decoded by other code."""
    files = {kind: encode(_PICTURE, kind) for kind in ("JPEG", "PNG", "BMP", "PPM", "TGA", "TIFF")}
    files |= {
        "JPEG, progressive": encode(_PICTURE, "JPEG", progressive=True),
        "PNG, palette": encode(_PALETTE, "PNG"),
        "PNG, 16 bits": encode(_DEEP, "PNG"),
        "BMP, palette": encode(_PALETTE, "BMP"),
        "TGA, run lengths": encode(_PICTURE, "TGA", compression="tga_rle"),
        "GIF": encode(_PALETTE, "GIF"),
        "WEBP": encode(_PICTURE, "WEBP"),
        "WEBP, lossless": encode(_PICTURE, "WEBP", lossless=True),
        "JPEG2000": encode(_PICTURE, "JPEG2000"),
        "AVIF": encode(_PICTURE, "AVIF"),
        "PPM, 16 bits": encode(_DEEP, "PPM"),
    }
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        files[f"TIFF, {compression}"] = encode(_PICTURE, "TIFF", compression=compression)
    return files


def _mutations(files: dict[str, bytes], count: int) -> Iterator[tuple[str, bytes]]:
    """What was done to which file, and the outcome; the same at each call."""
    random = np.random.default_rng(20_261_123)
    kinds = itertools.cycle(("flips", "cut", "splice", "noise"))
    names = list(files)
    for number, kind in zip(range(count), kinds, strict=False):
        name = names[number // 4 % len(names)]
        data = np.frombuffer(files[name], np.uint8).copy()
        other = np.frombuffer(files[names[random.integers(len(names))]], np.uint8)
        yield f"{number}: {kind} in {name}", _mutated(kind, data, other, random)


def _mutated(
    kind: str, data: NDArray[np.uint8], other: NDArray[np.uint8], random: np.random.Generator
) -> bytes:
    place = int(random.integers(1, len(data)))
    match kind:
        case "flips":  # half of them in the header, where they tell most
            end = len(data) if random.random() < 0.5 else min(len(data), 64)
            for position in random.integers(0, end, random.integers(1, 9)):
                data[position] ^= 1 << random.integers(8)
        case "cut":
            data = data[:place]
        case "splice":
            data = np.concatenate((data[:place], other[random.integers(len(other)) :]))
        case "noise":
            data[place : place + 8] = random.integers(0, 256, len(data[place : place + 8]))
    return data.tobytes()


def _verdict(name: str, data: bytes) -> str:
    """`decoded`, or the code of the refusal, which must be one that such a file can have."""
    decodes = contained.decode_rgb if len(data) % 2 else contained.decode_raw_mask
    try:
        pixels = decodes(data, LIMITS)
    except RejectError as error:
        assert not re.search(r"0x[0-9a-f]{6}", str(error)), f"{name}: an address differs each time"
        return error.code
    assert pixels.dtype.kind in "iu", name
    assert 0 < pixels.shape[0] * pixels.shape[1] <= LIMITS.max_pixels, name
    return "decoded"


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return _valid_files()


def test_the_files_that_are_mutated_are_sound_and_of_every_format(files):
    assert features.check("avif")
    assert features.check("jpg_2000")
    for name, data in files.items():
        assert decode.decode_rgb(data, LIMITS).shape == _PICTURE.shape, name
    kinds = {name.partition(",")[0] for name in files}
    assert kinds == set(decode.FORMATS)


@pytest.mark.timeout(300)
def test_every_mutation_gets_one_verdict_and_the_decoder_stays_small(files):
    verdicts = Counter(_verdict(*mutation) for mutation in _mutations(files, MUTATIONS))

    assert verdicts.total() == MUTATIONS
    assert verdicts["decoded"] > 200
    assert verdicts[RejectCode.UNREADABLE] > 500
    assert max(map(_peak_bytes, _decoders())) < 10**9
    sound = files["PNG"]
    np.testing.assert_array_equal(contained.decode_rgb(sound, LIMITS), _PICTURE)


def test_a_verdict_is_the_same_each_time(files):
    some = list(_mutations(files, 200))

    first = [_outcome(data) for _, data in some]
    contained.close()

    assert [_outcome(data) for _, data in some] == first


def _outcome(data: bytes) -> str:
    try:
        return contained.decode_rgb(data, LIMITS).tobytes().hex()
    except RejectError as error:
        return f"{error.code}: {error}"


def _decoders() -> list[psutil.Process]:
    children = psutil.Process().children()
    return [child for child in children if "segflow.data.decoder" in child.cmdline()]


def _peak_bytes(process: psutil.Process) -> int:
    """The most memory that a process has held."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])
