"""Packs of pictures, written by other means than those that read them, where there are any."""

import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from segflow.data.records import Record, encode_example, write_frame
from tests.unit.label.batches import png


def write_tar(path: Path, pictures: Mapping[str, bytes] | Sequence[tuple[str, bytes]]) -> Path:
    """A tar file with these members; of a sequence, names may repeat."""
    path.parent.mkdir(parents=True, exist_ok=True)
    members = pictures.items() if isinstance(pictures, Mapping) else pictures
    with tarfile.open(path, "w") as archive:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def write_parquet(path: Path, pictures: Sequence[bytes], rows: int = 2) -> Path:
    """A Parquet file with a column of bytes, and `rows` rows in a group."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [{"bytes": data, "path": "ignored"} for data in pictures]
    pq.write_table(pa.table({"image": images}), path, row_group_size=rows)
    return path


def write_tfrecord(path: Path, pictures: Sequence[bytes]) -> Path:
    """A TFRecord file of examples with masks, which a label job has no use for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for number, data in enumerate(pictures):
            record = Record(data, "png", png(2, (1, 1)), 2, 3, 3, f"{number}.png", str(number))
            write_frame(file, encode_example(record))
    return path
