"""Stored examples: `tf.train.Example` records in TFRecord files, without TensorFlow.

TensorFlow costs a worker 600 MB that ingest does not need, so the message type is declared
here from its public definition (tensorflow/core/example/example.proto) in a descriptor pool of
its own, and the framing follows the TFRecord format: length (uint64, little-endian), masked
CRC-32C of the length, data, masked CRC-32C of the data.
"""

import hashlib
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import google_crc32c
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError


@dataclass(frozen=True)
class Record:
    """One stored example.

    Attributes:
        image: Encoded image bytes.
        image_format: `jpeg` or `png`.
        mask: PNG bytes of the mask, one channel, 8 or 16 bits.
        height: Of the stored image and mask, in pixels.
        width: Likewise.
        channels: Of the stored image.
        filename: The source's base name with its extension.
        source_id: The example's key, relative to the data set's root.
    """

    image: bytes
    image_format: str
    mask: bytes
    height: int
    width: int
    channels: int
    filename: str
    source_id: str


def encode_example(record: Record) -> bytes:
    """Serialises a record with the keys of TensorFlow's Model Garden and DeepLab.

    Map entries are sorted by key, so equal records give equal bytes.
    """
    features: dict[str, bytes | int] = {
        "image/encoded": record.image,
        "image/format": record.image_format.encode(),
        "image/height": record.height,
        "image/width": record.width,
        "image/channels": record.channels,
        "image/filename": record.filename.encode(),
        "image/source_id": record.source_id.encode(),
        "image/key/sha256": hashlib.sha256(record.image).hexdigest().encode(),
        "image/segmentation/class/encoded": record.mask,
        "image/segmentation/class/format": b"png",
    }
    example = _EXAMPLE()
    for name, value in features.items():
        feature = example.features.feature[name]
        if isinstance(value, int):
            feature.int64_list.value.append(value)
        else:
            feature.bytes_list.value.append(value)
    return bytes(example.SerializeToString(deterministic=True))


def decode_example(data: bytes) -> Record:
    """The inverse of `encode_example`.

    Raises:
        ValueError: The data is no such message or lacks a feature.
    """
    example = _EXAMPLE()
    try:
        example.ParseFromString(data)
        feature = example.features.feature
        return Record(
            image=feature["image/encoded"].bytes_list.value[0],
            image_format=feature["image/format"].bytes_list.value[0].decode(),
            mask=feature["image/segmentation/class/encoded"].bytes_list.value[0],
            height=feature["image/height"].int64_list.value[0],
            width=feature["image/width"].int64_list.value[0],
            channels=feature["image/channels"].int64_list.value[0],
            filename=feature["image/filename"].bytes_list.value[0].decode(),
            source_id=feature["image/source_id"].bytes_list.value[0].decode(),
        )
    except (DecodeError, IndexError, UnicodeDecodeError) as error:
        raise ValueError(f"not a segflow example: {error!r}") from error


_HEADER = 12  # bytes: the record's length and its checksum
_FOOTER = 4  # bytes: the record's checksum


def write_frame(file: BinaryIO, data: bytes) -> None:
    """Appends one TFRecord frame."""
    length = struct.pack("<Q", len(data))
    file.write(length + _masked_crc(length) + data + _masked_crc(data))


def read_frames(path: str | Path) -> Iterator[bytes]:
    """The records of a TFRecord file, each checked against both its checksums.

    Raises:
        ValueError: A frame is cut off or a checksum does not match.
    """
    with Path(path).open("rb") as file:
        while (size := _next_size(file)) is not None:
            yield _read_data(file, size)


def list_frames(path: str | Path) -> Iterator[tuple[int, int]]:
    """Offset and size of the records of a TFRecord file; the records are not read.

    Raises:
        ValueError: A frame is cut off or the checksum of a length does not match.
    """
    with Path(path).open("rb") as file:
        while (size := _next_size(file)) is not None:
            yield file.tell() - _HEADER, size
            file.seek(size + _FOOTER, os.SEEK_CUR)


def read_feature(path: str | Path, offset: int, name: str) -> bytes | None:
    """A bytes feature of the `tf.train.Example` in the frame at an offset; None without it.

    Raises:
        ValueError: The frame is damaged or cut off, or holds no example.
    """
    with Path(path).open("rb") as file:
        file.seek(offset)
        size = _next_size(file)
        data = b"" if size is None else _read_data(file, size)
    try:
        features = _EXAMPLE.FromString(data).features.feature
    except DecodeError as error:
        raise ValueError(f"{path}: no tf.train.Example at byte {offset}") from error
    values = features[name].bytes_list.value if name in features else ()
    return values[0] if values else None


def _next_size(file: BinaryIO) -> int | None:
    """Reads the next frame's header: its record's size; None at the end."""
    position, header = file.tell(), file.read(_HEADER)
    if not header:
        return None
    length = header[:8]
    if len(header) < _HEADER or _masked_crc(length) != header[8:]:
        raise ValueError(f"{file.name}: damaged record header at byte {position}")
    size: int = struct.unpack("<Q", length)[0]
    # Before that much memory is asked for.
    if size + _FOOTER > os.fstat(file.fileno()).st_size - file.tell():
        raise ValueError(f"{file.name}: cut record at byte {position}")
    return size


def _read_data(file: BinaryIO, size: int) -> bytes:
    position = file.tell() - _HEADER
    data, crc = file.read(size), file.read(_FOOTER)
    if _masked_crc(data) != crc:
        raise ValueError(f"{file.name}: damaged or cut record at byte {position}")
    return data


def _masked_crc(data: bytes) -> bytes:
    # The mask is TensorFlow's (core/lib/hash/crc32c.h): it keeps a CRC of data that itself
    # holds CRCs from being weak.
    crc = google_crc32c.value(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def _example_class() -> Any:
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="segflow/example.proto", package="tensorflow", syntax="proto3"
    )
    for name, kind in (
        ("BytesList", field.TYPE_BYTES),
        ("FloatList", field.TYPE_FLOAT),
        ("Int64List", field.TYPE_INT64),
    ):
        message = file.message_type.add(name=name)
        message.field.add(name="value", number=1, type=kind, label=field.LABEL_REPEATED)
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, name in enumerate(("bytes_list", "float_list", "int64_list"), start=1):
        feature.field.add(
            name=name,
            number=number,
            type=field.TYPE_MESSAGE,
            type_name=f".tensorflow.{name.title().replace('_', '')}",
            label=field.LABEL_OPTIONAL,
            oneof_index=0,
        )
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    for owner, name, number, kind, label in (
        (entry, "value", 2, "Feature", field.LABEL_OPTIONAL),
        (features, "feature", 1, "Features.FeatureEntry", field.LABEL_REPEATED),
        (file.message_type.add(name="Example"), "features", 1, "Features", field.LABEL_OPTIONAL),
    ):
        owner.field.add(
            name=name,
            number=number,
            type=field.TYPE_MESSAGE,
            type_name=f".tensorflow.{kind}",
            label=label,
        )
    pool = descriptor_pool.DescriptorPool()  # TensorFlow fills the default pool with the same names
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.Example"))


_EXAMPLE = _example_class()
