"""Pictures of refused inputs, where there is anything to see."""

from collections.abc import Sequence

from segflow.data.config import DecodeLimits
from segflow.data.decode import read_rgb
from segflow.errors import RejectCode, RejectError
from segflow.report import pictures
from segflow.report.pictures import Picture
from segflow.report.sections import Reject

_SIDE = 128  # pixels
_LIMITS = DecodeLimits(max_pixels=25_000_000, max_bytes=32 << 20)

# Codes under which the image itself was read, or never looked at. What was refused for lying
# outside the root must not be read here either, and what broke a decoder stays closed.
_SEEN = frozenset(
    (
        *(RejectCode.MISSING_MASK, RejectCode.DUPLICATE_KEY, RejectCode.DUPLICATE_IMAGE),
        *(RejectCode.SIZE_MISMATCH, RejectCode.UNKNOWN_LABEL, RejectCode.LOSSY_MASK),
    )
)


def thumbnails(rejects: Sequence[Reject]) -> dict[str, Picture]:
    """Small pictures of the examples of `rejects`, by address; those that cannot be read lack."""
    found = {}
    for reject in rejects:
        for example in reject.examples if reject.code in _SEEN else ():
            try:
                rgb = read_rgb(example["uri"], _LIMITS)
            except (RejectError, OSError, ValueError):  # gone since, or no file's name
                continue
            found[example["uri"]] = pictures.photo(rgb, example["uri"], "", _SIDE)
    return found
