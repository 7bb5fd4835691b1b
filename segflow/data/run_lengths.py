"""COCO's run lengths of a mask of class ids, a band of rows at a time.

The runs of each class go down the columns, from left to right; the first counts pixels of other
classes (https://cocodataset.org/#format-results). pycocotools makes the same of a whole mask, but
not of giants: it counts in 32 bits, and keeps six characters for a count where seven may be needed.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# A change is one number, its position above its class id: 100 gigapixels take 37 bits.
_ID_BITS = 16
_AT_ONCE = 1 << 16  # counts that are turned into text at once


class RunLengthWriter:
    """Keeps where a mask changes, going down its columns; not the mask.

    Args:
        size: (height, width) in pixels.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self._size = size
        self._top = 0
        self._above: NDArray[Any] | None = None
        self._changes: list[NDArray[np.int64]] = []

    def add(self, rows: NDArray[Any]) -> None:
        """Takes the next rows, ids [n, width]."""
        changes = np.ones(rows.shape, bool)  # the first row of all begins every column
        np.not_equal(rows[1:], rows[:-1], out=changes[1:])
        if self._above is not None:
            np.not_equal(rows[0], self._above, out=changes[0])
        columns, lines = np.nonzero(changes.T)
        positions = columns * self._size[0] + self._top + lines
        self._changes.append(positions << _ID_BITS | rows[lines, columns])
        self._above, self._top = rows[-1].copy(), self._top + len(rows)

    def finish(self) -> bytes:
        """JSON [{`class_id`, `size`, `counts`}, …], for each class that there is, in order."""
        size = list(self._size)
        entries = [
            {"class_id": class_id, "size": size, "counts": to_text(counts)}
            for class_id, counts in self._by_class()
        ]
        return json.dumps(entries, separators=(",", ":")).encode()

    def _by_class(self) -> Iterator[tuple[int, NDArray[np.int64]]]:
        positions, ids = _sorted(self._changes)
        begins = np.ones(len(ids), bool)
        np.not_equal(ids[1:], ids[:-1], out=begins[1:])  # a column may go on where one ended
        positions, ids = positions[begins], ids[begins]
        pixels = self._size[0] * self._size[1]
        positions = np.append(positions, pixels)
        for class_id in np.unique(ids).tolist():
            (runs,) = np.nonzero(ids == class_id)
            bounds = np.empty(2 * len(runs) + int(ids[-1] != class_id), np.int64)
            bounds[-1] = pixels
            bounds[: 2 * len(runs) : 2] = positions[runs]
            runs += 1
            bounds[1 : 2 * len(runs) : 2] = positions[runs]
            del runs
            yield class_id, np.diff(bounds, prepend=0)


def read_bands(entries: Sequence[Mapping[str, Any]], rows: int) -> Iterator[NDArray[np.uint16]]:
    """Reads what `RunLengthWriter` made, parsed, so many rows at a time; the last may be fewer.

    Yields:
        Ids [rows, width].
    """
    height, width = entries[0]["size"]
    bounds = [np.cumsum(from_text(entry["counts"])) for entry in entries]
    starts = [bound[: len(bound) - 1 : 2] for bound in bounds]
    named = zip(starts, entries, strict=True)
    positions, ids = _sorted([start << _ID_BITS | entry["class_id"] for start, entry in named])
    columns, lines = np.divmod(positions, height)
    for top in range(0, height, rows):
        count = min(rows, height - top)
        # Numbers of runs, which grow along a column: each pixel has that of the last begun.
        runs = np.zeros((count, width), np.int64)
        first = np.arange(width) * height + top
        runs[0] = np.searchsorted(positions, first, side="right") - 1
        (inside,) = np.nonzero((lines > top) & (lines < top + count))
        runs[lines[inside] - top, columns[inside]] = inside
        yield ids[np.maximum.accumulate(runs, axis=0)]


def _sorted(changes: list[NDArray[np.int64]]) -> tuple[NDArray[np.int64], NDArray[np.uint16]]:
    """The positions of changes in order, and their ids; empties the list."""
    joined = np.concatenate(changes)
    changes.clear()
    joined.sort()
    ids = joined.astype(np.uint16)  # the low bits
    joined >>= _ID_BITS
    return joined, ids


def to_text(counts: NDArray[np.int64]) -> str:
    """Counts as COCO's text: differences to the last but one, five bits a character, low first."""
    values = counts.astype(np.int64)
    values[3:] -= counts[1:-2]
    return "".join(
        _characters(values[first : first + _AT_ONCE]) for first in range(0, len(values), _AT_ONCE)
    )


def _characters(values: NDArray[np.int64]) -> str:
    """The text of differences, which are used up."""
    unfinished = np.ones(len(values), bool)
    characters = []
    while unfinished.any():
        low = values & 31
        values >>= 5
        goes_on = values != np.where(low & 16, -1, 0)  # the last one's highest bit is the sign
        characters.append(np.where(unfinished, 48 + low + 32 * goes_on, 0).astype(np.uint8))
        unfinished &= goes_on
    table = np.stack(characters, axis=1)
    return table[table > 0].tobytes().decode("ascii")


def from_text(text: str) -> NDArray[np.int64]:
    """The counts of COCO's text."""
    characters = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64) - 48
    ends = (characters & 32) == 0
    firsts = np.append(0, np.flatnonzero(ends)[:-1] + 1)
    place = np.arange(len(characters)) - np.repeat(firsts, np.diff(firsts, append=len(characters)))
    values = np.add.reduceat((characters & 31) << (5 * place), firsts)
    is_negative = (characters[ends] & 16) > 0
    values -= is_negative.astype(np.int64) << (5 * (place[ends] + 1))
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values
