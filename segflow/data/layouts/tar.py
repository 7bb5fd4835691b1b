"""Tar files named as WebDataset does: members with one stem are one sample."""

import itertools
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from segflow.data.layouts.base import Role, SourceFile, SourcePaths
from segflow.data.layouts.packs import broken, list_packs, split_of, why_packs
from segflow.data.listing import Listed
from segflow.data.packs import Pack, Span, to_json
from segflow.errors import RejectCode
from segflow.label_map import LabelMap

_LOSSLESS = ("png", "tif", "tiff", "bmp", "gif")
_IMAGES = ("jpg", "jpeg", "webp", "jp2", "avif", "ppm", "tga", *_LOSSLESS)
_MASKS = ("mask", "seg", "segmentation", "label", "annotation", "gt")

Member = tarfile.TarInfo


@dataclass(frozen=True)
class Tar:
    """`KEY.jpg` with `KEY.png`, `KEY.mask.png` or `KEY.seg.png`, side by side in the archive."""

    name: str = "tar"
    suffixes: frozenset[str] = frozenset({".tar"})

    def recognise(self, paths: SourcePaths) -> str | None:
        """--images is a tar file, or a folder of them."""
        return why_packs(paths, self.suffixes)

    def sources(self, paths: SourcePaths) -> Iterator[SourceFile]:
        """The members of every archive; their bytes are not read."""
        for pack in list_packs(self.name, paths, self.suffixes):
            if pack.code is not None:
                yield broken(pack, pack.message or "")
                continue
            try:
                with tarfile.open(pack.path, "r:") as archive:  # a compressed one has no offsets
                    yield from _samples(pack, archive)
            except tarfile.TarError as error:
                yield broken(pack, f"no tar file, or a compressed one: unpack it ({error})")

    def images(self, paths: SourcePaths) -> Iterator[SourceFile]:
        """The images alone, of packs with masks or without."""
        return (source for source in self.sources(paths) if source.role == "image")

    def label_map(self, paths: SourcePaths) -> LabelMap | None:
        """None: an archive says nothing of classes."""
        return None


def _samples(pack: Listed, archive: tarfile.TarFile) -> Iterator[SourceFile]:
    problems: list[str] = []
    have_masks = False
    members = (member for member in _each(archive, problems) if not member.isdir())
    for stem, group in itertools.groupby(members, lambda member: _split_name(member.name)[0]):
        sample = [member for member in group if _is_image(_split_name(member.name)[1])]
        masks = _masks([_split_name(member.name)[1] for member in sample])
        for member in sample:
            role: Role = "mask" if _split_name(member.name)[1] in masks else "image"
            key = f"{pack.key}/{stem.lstrip('/')}"
            yield SourceFile(role, _listed(pack, member, key), key, split_of(pack))
        # Whether the archive ends too early is known behind the last sample only.
        if problems and sample and have_masks and not masks:
            why = "cut off: the archive ends before it"
            refused = Listed(pack.path, key, 0, pack.mtime_ns, RejectCode.UNREADABLE, why)
            yield SourceFile("mask", refused, key, split_of(pack))
        have_masks = have_masks or bool(masks)
    for problem in problems:
        why = f"the archive is cut off or broken: {problem}; what lies before it is used"
        yield broken(pack, why)


def _each(archive: tarfile.TarFile, problems: list[str]) -> Iterator[Member]:
    """The members one by one; `tarfile` itself would keep all of them in memory.

    What ends the archive early goes to `problems`, so that the sample in hand is not lost.
    """
    try:
        while (member := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]
            yield member
    except tarfile.TarError as error:
        problems.append(str(error))
        return
    # `tarfile` passes over a damaged header, and all behind it, in silence.
    assert archive.fileobj is not None
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        problems.append(f"no member and no end at byte {archive.offset}")


def _split_name(name: str) -> tuple[str, str]:
    """Stem with its folder, and extensions in lower case; the file's first dot divides them."""
    folder, slash, file = name.rpartition("/")
    stem, _, extensions = file.partition(".")
    return f"{folder}{slash}{stem}", extensions.lower()


def _is_image(extensions: str) -> bool:
    kind, _, extension = extensions.rpartition(".")
    return extension in _IMAGES and kind in ("", *_MASKS)


def _masks(found: Sequence[str]) -> set[str]:
    """Which of a sample's extensions are masks: those called so, else the lossless beside another.

    Of `jpg` and `png`, that is `png`; of `jpg`, `png` and `mask.png` it is the last alone.
    """
    named = {extensions for extensions in found if "." in extensions}
    lossless = {extensions for extensions in found if extensions in _LOSSLESS}
    return named or (lossless if lossless < set(found) else set())


def _listed(pack: Listed, member: Member, key: str) -> Listed:
    path = f"{pack.path}/{member.name}".encode(errors="replace").decode()
    code, why = _refusal(member)
    part = to_json(Span(Pack(pack.path, pack.bytes), member.offset_data, member.size))
    return Listed(path, key, member.size, pack.mtime_ns, code, why, part)


def _refusal(member: Member) -> tuple[RejectCode | None, str | None]:
    name = PurePath(member.name)
    if name.is_absolute() or ".." in name.parts:
        return RejectCode.OUTSIDE_ROOT, "its name in the archive leaves the archive"
    if member.issym() or member.islnk():
        return RejectCode.OUTSIDE_ROOT, "a link in an archive, which is not followed"
    if not member.isreg() or member.issparse():
        return RejectCode.UNREADABLE, "no regular file in its archive"
    return None, None
