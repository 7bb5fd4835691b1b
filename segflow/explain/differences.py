"""What differs between rows that are stored and the same rows made again, bit by bit."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from segflow.data import mask_formats
from segflow.explain.tables import shown

Row = Mapping[str, Any]


def differences(
    table: str, stored: Sequence[Row], made: Sequence[Row], key: str | None = None
) -> list[dict[str, Any]]:
    """Every column that differs.

    Columns that only one side has are passed over: another version has added them.

    Args:
        table: What the result calls the table.
        stored: The rows there are.
        made: The rows made again.
        key: The column that tells rows of one image apart; None where there is but one.

    Returns:
        `table`, `row` (the key), `column`, `stored` and `made`; of masks `pixels` that differ.
    """
    found = []
    before, after = ({row[key] if key else None: row for row in rows} for rows in (stored, made))
    for which in sorted(before.keys() | after.keys(), key=str):
        where = {"table": table, "row": which}
        if which not in before or which not in after:
            sides = {"stored": which in before, "made": which in after}
            found.append({**where, "column": "the row", **sides})
            continue
        found += [{**where, **change} for change in _columns(before[which], after[which])]
    return found


def changed_pixels(stored: bytes, made: bytes, mask_format: mask_formats.MaskFormat) -> str:
    """In words, how many pixels of two encoded masks differ."""
    sizes = [mask_formats.size_of(mask, mask_format) for mask in (stored, made)]
    if sizes[0] != sizes[1]:
        return f"another size, {sizes[1]} for {sizes[0]}"
    both = (mask_formats.bands(mask, mask_format) for mask in (stored, made))
    changed = sum(int(np.count_nonzero(a != b)) for a, b in zip(*both, strict=True))
    pixels = math.prod(sizes[0])
    return f"{changed:,} of {pixels:,}" if changed else "none, but they are encoded otherwise"


def _columns(stored: Row, made: Row) -> Iterator[dict[str, Any]]:
    for column in sorted(stored.keys() & made.keys()):
        before, after = stored[column], made[column]
        if before == after:
            continue
        if column == "mask" and before is not None and after is not None:
            yield {"column": column, "pixels": changed_pixels(before, after, stored["mask_format"])}
        else:
            yield {"column": column, **shown({"stored": before, "made": after})}
