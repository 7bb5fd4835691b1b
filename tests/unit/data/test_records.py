import dataclasses
import hashlib
import struct
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segflow.data import records
from segflow.data.records import Record, decode_example, encode_example, read_frames, write_frame

RECORD = Record(
    image=b"jpeg bytes",
    image_format="jpeg",
    mask=b"png bytes",
    height=360,
    width=480,
    channels=3,
    filename="0001TP_006690.png",
    source_id="train/0001TP_006690",
)

_sizes = st.integers(0, 2**31 - 1)
_records = st.builds(
    Record,
    image=st.binary(),
    image_format=st.sampled_from(["jpeg", "png"]),
    mask=st.binary(),
    height=_sizes,
    width=_sizes,
    channels=st.integers(1, 4),
    filename=st.text(),
    source_id=st.text(),
)


def _write(path, payloads):
    with path.open("wb") as file:
        for payload in payloads:
            write_frame(file, payload)
    return path.read_bytes()


# Examples


@given(_records)
def test_any_record_survives(record):
    assert decode_example(encode_example(record)) == record


def test_the_features_are_those_of_the_contract():
    example = records._EXAMPLE.FromString(encode_example(RECORD))
    features = {
        name: list(feature.bytes_list.value or feature.int64_list.value)
        for name, feature in example.features.feature.items()
    }

    assert features == {
        "image/encoded": [b"jpeg bytes"],
        "image/format": [b"jpeg"],
        "image/height": [360],
        "image/width": [480],
        "image/channels": [3],
        "image/filename": [b"0001TP_006690.png"],
        "image/source_id": [b"train/0001TP_006690"],
        "image/key/sha256": [hashlib.sha256(b"jpeg bytes").hexdigest().encode()],
        "image/segmentation/class/encoded": [b"png bytes"],
        "image/segmentation/class/format": [b"png"],
    }


@pytest.mark.parametrize("hash_seed", ["0", "1", "random"])
def test_equal_records_give_equal_bytes_in_every_process(hash_seed):
    code = (
        "from segflow.data.records import Record, encode_example; "
        f"print(encode_example({RECORD!r}).hex())"
    )
    output = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONHASHSEED": hash_seed},
        capture_output=True,
        check=True,
    ).stdout

    assert bytes.fromhex(output.decode()) == encode_example(RECORD)


@pytest.mark.parametrize("data", [b"", b"\xff", b"not a message", encode_example(RECORD)[:-3]])
def test_what_is_no_example_is_refused(data):
    with pytest.raises(ValueError, match="not a segflow example"):
        decode_example(data)


@pytest.mark.parametrize("name", ["image/encoded", "image/height", "image/source_id"])
@pytest.mark.parametrize("kind", ["missing", "of the other kind"])
def test_a_feature_that_is_missing_or_of_the_other_kind_is_refused(name, kind):
    example = records._EXAMPLE.FromString(encode_example(RECORD))
    feature = example.features.feature[name]
    was_number = bool(feature.int64_list.value)
    if kind == "missing":
        del example.features.feature[name]
    elif was_number:
        feature.bytes_list.value.append(b"360")
    else:
        feature.int64_list.value.append(360)

    with pytest.raises(ValueError, match="not a segflow example"):
        decode_example(example.SerializeToString())


def test_text_that_is_not_utf8_is_refused():
    data = encode_example(dataclasses.replace(RECORD, filename="~~~~"))
    with pytest.raises(ValueError, match="not a segflow example"):
        decode_example(data.replace(b"~~~~", b"\xff\xff\xff\xff"))


# Frames


@given(payloads=st.lists(st.binary(max_size=300), max_size=6))
def test_any_frames_survive(tmp_path_factory, payloads):
    path = tmp_path_factory.mktemp("frames") / "file"
    _write(path, payloads)

    assert list(read_frames(path)) == payloads


def test_a_frame_is_laid_out_as_the_format_says(tmp_path):
    """Length, its masked CRC-32C, data, its masked CRC-32C; bytes as TensorFlow writes them."""
    assert _write(tmp_path / "file", [b"abc"]).hex() == ("0300000000000000b099490e6162636e57f121")


@given(data=st.data())
def test_one_flipped_bit_anywhere_is_found(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("frames") / "file"
    whole = bytearray(_write(path, [b"first record", b"", b"third"]))
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(whole)

    with pytest.raises(ValueError, match=r"damaged|cut"):
        list(read_frames(path))


def test_a_file_cut_anywhere_but_between_records_is_found(tmp_path):
    """Between records a cut cannot be seen: that is why counts are checked too."""
    path = tmp_path / "file"
    payloads = [b"first record", b"", b"third"]
    whole = _write(path, payloads)
    boundaries = {0: 0, 28: 1, 44: 2, len(whole): 3}

    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        if size in boundaries:
            assert list(read_frames(path)) == payloads[: boundaries[size]]
        else:
            with pytest.raises(ValueError, match=r"file: (damaged|cut) .* at byte \d+"):
                list(read_frames(path))


def test_bytes_after_the_last_record_are_found(tmp_path):
    whole = _write(tmp_path / "file", [b"first"])
    (tmp_path / "file").write_bytes(whole + b"\0")

    with pytest.raises(ValueError, match=f"damaged record header at byte {len(whole)}"):
        list(read_frames(tmp_path / "file"))


@pytest.mark.parametrize("size", [2**40, 2**63, 2**64 - 1])
def test_an_absurd_length_is_an_error_and_not_an_allocation(tmp_path, size):
    length = struct.pack("<Q", size)
    (tmp_path / "file").write_bytes(length + records._masked_crc(length) + b"data")

    with pytest.raises(ValueError, match="cut record at byte 0"):
        list(read_frames(tmp_path / "file"))


def test_records_before_the_damage_are_still_read(tmp_path):
    whole = bytearray(_write(tmp_path / "file", [b"first", b"second"]))
    whole[-1] ^= 1
    (tmp_path / "file").write_bytes(whole)

    frames = read_frames(tmp_path / "file")
    assert next(frames) == b"first"
    with pytest.raises(ValueError, match="at byte 21"):
        next(frames)
