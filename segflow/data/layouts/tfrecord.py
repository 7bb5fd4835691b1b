"""TFRecords that others have made, with the keys of DeepLab and TensorFlow's Model Garden."""

from collections.abc import Iterator
from dataclasses import dataclass

from segflow.data.layouts.base import SourceFile, SourcePaths
from segflow.data.layouts.packs import broken, list_packs, split_of, why_packs
from segflow.data.listing import Listed
from segflow.data.packs import Feature, Pack, to_json
from segflow.data.records import list_frames
from segflow.label_map import LabelMap

_IMAGE, _MASK = "image/encoded", "image/segmentation/class/encoded"


@dataclass(frozen=True)
class TfRecord:
    """Examples with `image/encoded` and `image/segmentation/class/encoded`."""

    name: str = "tfrecord"
    suffixes: frozenset[str] = frozenset({".tfrecord", ".tfrecords", ".tfrec"})

    def recognise(self, paths: SourcePaths) -> str | None:
        """--images is a TFRecord file, or a folder of them."""
        return why_packs(paths, self.suffixes)

    def sources(self, paths: SourcePaths) -> Iterator[SourceFile]:
        """Image and mask of each record; the key is the file's with the record's number."""
        for pack in list_packs(self.name, paths, self.suffixes):
            if pack.code is not None:
                yield broken(pack, pack.message or "")
                continue
            try:
                for number, (offset, size) in enumerate(list_frames(pack.path)):
                    yield from _example(pack, number, offset, size)
            except ValueError as error:
                yield broken(pack, str(error))

    def images(self, paths: SourcePaths) -> Iterator[SourceFile]:
        """The images alone, of packs with masks or without."""
        return (source for source in self.sources(paths) if source.role == "image")

    def label_map(self, paths: SourcePaths) -> LabelMap | None:
        """None: records say nothing of classes."""
        return None


def _example(pack: Listed, number: int, offset: int, size: int) -> Iterator[SourceFile]:
    key, place = f"{pack.key}/{number:08d}", Pack(pack.path, pack.bytes)
    path = f"{pack.path}/{number:08d}"
    part = to_json(Feature(place, offset, size, _IMAGE))
    image = Listed(path, key, size, pack.mtime_ns, part=part)
    yield SourceFile("image", image, key, split_of(pack))
    part = to_json(Feature(place, offset, size, _MASK))
    mask = Listed(path, key, size, pack.mtime_ns, part=part)
    yield SourceFile("mask", mask, key, split_of(pack))
